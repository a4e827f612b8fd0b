"""The program without a server."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import grpc
import pytest
from click.testing import CliRunner
from rich.console import Console

from osa_grpc.cli import exit_codes, presentation
from osa_grpc.cli.doctor import Check
from osa_grpc.cli.lazy_group import LazyCommand, LazyGroup
from osa_grpc.cli.live_output import LiveBoard
from osa_grpc.cli.main import cli
from osa_grpc.cli.output import cell_json, cell_text
from osa_grpc.cli.plain_table import plain_table
from osa_grpc.cli.run_story import RunStory
from osa_grpc.cli.wording import enum_word
from osa_grpc.client import OsaRpcError
from osa_grpc.wire import pb


def test_help_lists_every_command_and_the_exit_codes() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for name in cli.list_commands(None):  # type: ignore[arg-type]
        assert f"\n  {name}" in result.stdout
    assert "10 the run was rejected" in " ".join(result.stdout.split())


@pytest.mark.parametrize("name", cli.list_commands(None))  # type: ignore[arg-type]
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output


def test_a_local_command_without_the_servers_packages_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "needs_more.py").write_text("import a_package_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    group = LazyGroup(table={"serve": LazyCommand(module="needs_more", attribute="serve", help="")})
    result = CliRunner().invoke(group, ["serve"])
    assert result.exit_code == exit_codes.UNEXPECTED
    assert "pip install 'osa-grpc[server]'" in result.stderr


def test_a_folder_without_a_hook_is_no_hook(tmp_path: Path, docker_host: str) -> None:
    result = CliRunner().invoke(cli, ["hook", "build", str(tmp_path)])
    assert result.exit_code == exit_codes.UNEXPECTED
    assert "has no hook.py" in result.stderr


def test_the_doctor_says_what_is_missing_and_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("OSA_DATA_DIRECTORY", str(blocked / "data"))
    monkeypatch.setenv("OSA_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("OSA_DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    result = CliRunner().invoke(cli, ["doctor", "--output", "json"])
    checks = {check["name"]: Check(**check) for check in map(json.loads, result.stdout.splitlines())}
    assert result.exit_code == exit_codes.UNEXPECTED
    assert checks["python"].ok
    assert checks["server packages"].ok
    assert checks["port"].ok
    assert not checks["data directory"].ok
    assert "OSA_DATA_DIRECTORY" in checks["data directory"].remedy
    assert not checks["container engine"].ok
    assert checks["container engine"].remedy
    assert all(check.ok or check.remedy for check in checks.values())


def test_the_doctor_finds_nothing_wrong_with_a_sound_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, docker_host: str
) -> None:
    monkeypatch.setenv("OSA_DATA_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("OSA_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("OSA_DOCKER_HOST", docker_host)
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "MISSING" not in result.stdout


def test_the_doctor_looks_at_a_database_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OSA_DATA_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("OSA_DATABASE_URL", "postgresql://osa:secret@127.0.0.1:1/osa")
    result = CliRunner().invoke(cli, ["doctor", "--output", "json"])
    checks = {check["name"]: Check(**check) for check in map(json.loads, result.stdout.splitlines())}
    assert result.exit_code == exit_codes.UNEXPECTED
    assert "127.0.0.1:1/osa cannot be reached" in checks["database"].detail
    assert "OSA_DATABASE_URL" in checks["database"].remedy
    assert "secret" not in result.output
    assert "embedded postgres" not in checks


@pytest.mark.parametrize("command", ["doctor", "migrate", "serve"])
def test_the_address_of_a_database_that_is_not_one_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setenv("OSA_DATA_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("OSA_DATABASE_URL", "postgresql://u:sec/ret@localhost/db")
    result = CliRunner().invoke(cli, [command])
    assert (result.exit_code, type(result.exception)) == (exit_codes.UNEXPECTED, SystemExit)
    assert "database_url: expected postgresql://" in result.output
    assert "percent-encoded" in result.output
    assert not any(part in result.output for part in ("sec/", "/ret", "u:sec"))
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_aligned_and_uncut_in_a_pipe() -> None:
    table = plain_table(("A", "B"), [("x" * 300, "1"), ("y", "22")], right=frozenset({1}))
    assert table.splitlines()[1] == "x" * 300 + "   1"
    assert table.splitlines()[2] == "y" + " " * 299 + "  22"


def test_values_read_well_and_travel_well() -> None:
    instant = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert [cell_text(value) for value in (None, True, 1.88, 3, "a\nb", instant, ["x"])] == [
        "", "true", "1.88", "3", "a⏎b", "2026-01-02 03:04:05", '["x"]',
    ]  # fmt: skip
    assert cell_json(instant) == "2026-01-02T03:04:05Z"


def event(**kind: object) -> pb.RunEvent:
    one = pb.RunEvent(sequence=1, **kind)  # type: ignore[arg-type]
    one.event_time.FromDatetime(datetime.now(UTC))
    return one


def finished_hook(verdict: int, **fields: object) -> pb.RunEvent:
    hook = pb.HookFinished(hook="chains", attempt=1, verdict=verdict, **fields)  # type: ignore[arg-type]
    hook.duration.FromTimedelta(timedelta(seconds=1.25))
    return event(hook_finished=hook)


def test_every_kind_of_event_is_told_in_a_sentence() -> None:
    failure = pb.Failure(kind=pb.FAILURE_KIND_OOM, message="used more than 64m")
    told = {
        "run_started": (event(run_started=pb.RunStarted()), "started"),
        "hook_started": (
            event(hook_started=pb.HookStarted(hook="chains", attempt=2)),
            "chains: started, attempt 2",
        ),
        "hook_progress": (
            event(
                hook_progress=pb.HookProgressed(
                    hook="chains", progress=pb.HookProgress(step="read", status="running", message="1 of 3")
                )
            ),
            "chains: read: 1 of 3",
        ),
        "hook_retrying": (
            event(hook_retrying=pb.HookRetrying(hook="chains", attempt=3, cause=failure)),
            "chains: attempt 3 at once, after OOM: used more than 64m",
        ),
        "hook_finished": (
            finished_hook(pb.VERDICT_PASSED, row_count=2),
            "chains: passed after 1.2 s, 2 rows",
        ),
        "review_requested": (
            event(review_requested=pb.ReviewRequested()),
            "waits for a person to approve or reject it",
        ),
        "reviewed": (
            event(reviewed=pb.Reviewed(decision=pb.REVIEW_DECISION_REJECT, reason="blurred")),
            "rejected by a person: blurred",
        ),
        "cancel_requested": (event(cancel_requested=pb.CancelRequested()), "is to be cancelled"),
        "record_published": (
            event(record_published=pb.RecordPublished(record="records/1@1")),
            "records/1@1 is being published",
        ),
        "run_finished": (
            event(run_finished=pb.RunFinished(state=pb.RUN_STATE_FAILED, failure=failure)),
            "failed: OOM: used more than 64m",
        ),
    }
    assert set(told) == {field.name for field in pb.RunEvent.DESCRIPTOR.oneofs_by_name["kind"].fields}
    story = RunStory.of("", ["chains"])
    for one, sentence in told.values():
        assert story.take(one) == sentence


def test_an_event_of_a_newer_contract_is_passed_over() -> None:
    assert RunStory.of("", []).take(pb.RunEvent(sequence=1)) is None


def test_every_resource_can_be_shown_alone_and_in_a_list() -> None:
    for kind in (pb.Convention, pb.Deposition, pb.DepositionFile, pb.Run, pb.Record, pb.FeatureTable):
        message = kind(name="resources/1")
        assert presentation.details_of(message)[0] == ("name", "resources/1")
        assert len(presentation.list_row_of(message)) == len(presentation.list_table_header(message))


def test_an_enum_value_of_a_newer_contract_is_shown_as_its_number() -> None:
    assert enum_word(pb.RunState, 77) == "77"


def drawn(board: LiveBoard) -> str:
    console = Console(width=100, record=True, force_terminal=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(board)
    console.file.close()
    return console.export_text()


@pytest.fixture
def board() -> LiveBoard:
    return LiveBoard(console=Console(quiet=True), hooks=["summary", "chains"])


def run_with(*hooks: str) -> pb.Run:
    return pb.Run(name="runs/1", executions=[pb.HookExecution(hook=hook) for hook in hooks])


def test_one_run_is_drawn_hook_by_hook(board: LiveBoard) -> None:
    board.run("", run_with("summary", "chains"))
    board.event("", event(hook_started=pb.HookStarted(hook="chains", attempt=1)))
    board.event("", finished_hook(pb.VERDICT_REJECTED, rejection_reason="no [chain] at all"))
    summary, chains = drawn(board).splitlines()
    assert summary.split() == ["·", "summary"]
    assert chains.split() == ["✗", "chains", "1.2", "s", "no", "[chain]", "at", "all"]


def test_several_runs_are_drawn_as_a_line_each(board: LiveBoard) -> None:
    for label in ("1abc", "2abc"):
        board.run(label, run_with("summary", "chains"))
    board.upload("1abc", "1abc.cif", 10, 20)
    board.event("1abc", finished_hook(pb.VERDICT_PASSED, row_count=1))
    board.event("1abc", event(run_finished=pb.RunFinished(state=pb.RUN_STATE_COMPLETED)))
    upload, heading, first, second = drawn(board).splitlines()
    assert "1abc.cif" in upload
    assert heading.split() == ["summary", "chains"]
    assert first.split() == ["1abc", "-", "✓", "1.2", "s", "1", "row", "completed"]
    assert second.split() == ["2abc", "·", "·", "waits"]


def test_what_a_run_waits_for_is_drawn(board: LiveBoard) -> None:
    engine = pb.Failure(kind=pb.FAILURE_KIND_ENGINE, message="away")
    for label in ("1abc", "2abc"):
        board.run(label, run_with("summary"))
    board.event("1abc", event(review_requested=pb.ReviewRequested()))
    board.event("2abc", event(hook_started=pb.HookStarted(hook="summary", attempt=1)))
    board.event("2abc", event(hook_retrying=pb.HookRetrying(hook="summary", attempt=2, cause=engine)))
    _, reviewed, retried = drawn(board).splitlines()
    assert reviewed.split()[-4:] == ["waits", "for", "a", "review"]
    assert retried.strip().endswith("attempt 2 at once, after ENGINE: away")
    board.event("1abc", event(reviewed=pb.Reviewed(decision=pb.REVIEW_DECISION_APPROVE)))
    assert "review" not in drawn(board)


def test_an_error_that_ended_a_group_of_tasks_is_told_like_any_other() -> None:
    missing = OsaRpcError(
        code=grpc.StatusCode.NOT_FOUND, message="run 'runs/1' does not exist", reason="RESOURCE_NOT_FOUND"
    )

    @click.command()
    def fail() -> None:
        raise ExceptionGroup("unhandled", [ExceptionGroup("inner", [missing])])

    program = type(cli)(table={})
    program.add_command(fail, "fail")
    result = CliRunner().invoke(program, ["fail"])
    assert result.exit_code == exit_codes.NOT_FOUND
    assert result.stderr == "error: NOT_FOUND RESOURCE_NOT_FOUND: run 'runs/1' does not exist\n"
