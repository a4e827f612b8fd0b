"""What a user types, and what they see."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from osa_grpc.cli import exit_codes
from osa_grpc.cli.demo_server import demo_server
from osa_grpc.cli.main import cli
from tests.cli.conftest import CONVENTION, Osa


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def sent(osa: Osa, convention: str, mood: str, *more: str | Path) -> str:
    """A deposition that was submitted; the name of its run."""
    result = osa("deposit", "--convention", convention, "--set", f"mood={mood}", "--no-follow", *more)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[-1]


def test_a_convention_is_registered_from_a_file_and_shown(osa: Osa, moods: str) -> None:
    shown = osa("convention", "get", moods)
    assert shown.exit_code == 0
    assert "state:" in shown.stdout
    assert "READY" in shown.stdout
    assert "featureTables/look" in shown.stdout
    [listed] = lines(osa("convention", "list", "--output", "json"))
    assert listed["name"] == "conventions/moods@1.0.0"
    assert listed["hooks"][0]["oci"]["limits"]["timeoutSeconds"] == 300
    watched = osa("convention", "watch", moods)
    assert (watched.exit_code, watched.stdout) == (0, "conventions/moods@1.0.0 is READY\n")


def test_a_convention_without_digests_is_refused_with_the_field(osa: Osa, convention_file: Path) -> None:
    result = osa("convention", "register", convention_file)
    assert result.exit_code == exit_codes.INVALID
    assert "INVALID_ARGUMENT INVALID_FIELD" in result.stderr
    assert result.stderr.count("convention.hooks[0].oci.digest: ") == 1
    assert "no image is given for look: --image look=IMAGE_ID" in result.stderr


def test_a_convention_that_conflicts_names_the_columns(
    osa: Osa, moods: str, convention_file: Path, look_image: str
) -> None:
    changed = json.loads(json.dumps(CONVENTION))
    changed["name"] = "conventions/other-moods@1.0.0"
    changed["hooks"][0]["table"]["columns"][0]["jsonType"] = "JSON_TYPE_STRING"
    convention_file.write_text(json.dumps(changed))
    command = ("convention", "register", convention_file, "--image", f"look={look_image}")
    plain = osa(*command)
    assert plain.exit_code == exit_codes.PRECONDITION
    assert "featureTables/look size: expected number, required, found string, required" in plain.stderr
    error = json.loads(osa(*command, "--output", "json").stderr)["error"]
    assert error["reason"] == "FEATURE_TABLE_CONFLICT"
    assert error["details"][0]["columns"][0]["column"] == "size"


def test_validate_only_stores_nothing(osa: Osa, convention_file: Path, look_image: str) -> None:
    other = {**CONVENTION, "name": "conventions/never@1.0.0"}
    convention_file.write_text(json.dumps(other))
    asked = osa("convention", "register", convention_file, "--validate-only", "--image", f"look={look_image}")
    assert asked.exit_code == 0, asked.output
    assert osa("convention", "get", "never@1.0.0").exit_code == exit_codes.NOT_FOUND


def test_an_image_for_a_hook_that_is_not_there_is_wrong_usage(osa: Osa, convention_file: Path) -> None:
    result = osa("convention", "register", convention_file, "--image", "see=sha256:0")
    assert result.exit_code == exit_codes.USAGE
    assert "no hook see; it has look" in result.stderr


def test_a_file_that_is_no_convention_is_wrong_usage(osa: Osa) -> None:
    result = osa("convention", "register", "-", input='{"titel": "x"}')
    assert result.exit_code == exit_codes.USAGE
    assert "titel" in result.stderr


def test_one_command_deposits_uploads_submits_and_follows(osa: Osa, moods: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a note")
    result = osa("deposit", tmp_path / "note.txt", "--convention", moods, "--set", "mood=fine")
    assert result.exit_code == 0, result.output
    assert "uploaded note.txt (6 B)" in result.stdout
    assert "look: look: closely" in result.stdout
    assert "look: passed after" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("published as records/")


def test_a_deposit_tells_programs_everything_line_by_line(osa: Osa, moods: str, tmp_path: Path) -> None:
    metadata = tmp_path / "metadata.json"
    metadata.write_text('{"mood": "fine"}')
    result = osa("deposit", "--convention", moods, "--metadata", metadata, "--logs", "--output", "json")
    told = lines(result)
    assert result.exit_code == 0
    assert told[0]["run"]["state"] == "RUN_STATE_PENDING"
    events = [one["event"] for one in told if "event" in one]
    assert [event["sequence"] for event in events] == [str(n) for n in range(1, len(events) + 1)]
    assert events[-1]["runFinished"]["state"] == "RUN_STATE_COMPLETED"
    assert {"log": {"hook": "look", "text": "looking at the mood"}} in told


def test_what_was_published_can_be_found_and_queried(osa: Osa, moods: str) -> None:
    run = sent(osa, moods, "fine")
    assert osa("run", "watch", run).exit_code == 0
    seen = json.loads(osa("run", "get", run, "--output", "json").stdout)
    record = json.loads(osa("record", "get", seen["record"], "--output", "json").stdout)
    assert record["metadata"] == {"mood": "fine"}
    listed = lines(osa("record", "list", "--limit", "1", "--output", "json"))
    assert [one["name"] for one in listed] == [record["name"]]

    query = ("feature", "query", "look", "--filter", f'record_srn = "{record["srn"]}"')
    rows = lines(osa(*query, "--order-by", "size desc", "--columns", "size,day", "--output", "json"))
    assert rows == [{"size": 4.0, "day": None}, {"size": 3.5, "day": "2026-01-02"}]
    table = osa(*query, "--order-by", "size", "--columns", "day,size").stdout
    assert table.splitlines() == ["day         size", "2026-01-02   3.5", "               4"]
    more = osa(*query, "--limit", "1")
    assert "more than 1 rows; --limit 0 shows all" in more.stderr
    described = osa("feature", "describe", "look").stdout
    assert "size  number, in m, required" in described
    assert "featureTables/look" in osa("feature", "list").stdout


def test_a_filter_that_is_wrong_says_where(osa: Osa, moods: str) -> None:
    result = osa("feature", "query", "look", "--filter", 'size > "tall"')
    assert result.exit_code == exit_codes.INVALID
    assert "INVALID_FILTER" in result.stderr
    assert "size" in result.stderr


def test_what_is_rejected_is_corrected_and_submitted_again(osa: Osa, moods: str, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("first")
    rejected = osa("deposit", note, "--convention", moods, "--set", "mood=sour")
    assert rejected.exit_code == exit_codes.REJECTED, rejected.output
    assert rejected.stdout.splitlines()[-1] == "rejected: the mood is sour"
    deposition = rejected.stdout.splitlines()[0]
    assert f"osa-grpc deposit --to {deposition}" in rejected.stderr
    assert "the mood is sour" in osa("deposition", "get", deposition).stdout

    note.write_text("second")
    corrected = osa("deposit", note, "--to", deposition, "--set", "mood=fine")
    assert corrected.exit_code == 0, corrected.output
    again = osa("deposit", "--to", deposition, "--set", "mood=fine")
    assert again.exit_code == exit_codes.PRECONDITION
    assert "DEPOSITION_NOT_DRAFT" in again.stderr
    assert "the draft stays" not in again.stderr
    folder = tmp_path / "downloaded"
    folder.mkdir()
    assert osa("deposition", "download", deposition, "--to", folder).exit_code == 0
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("note.txt", "second")]


def test_a_hook_that_fails_is_told_by_the_exit_code_and_its_log(osa: Osa, moods: str) -> None:
    followed = osa("deposit", "--convention", moods, "--set", "mood=broken")
    assert followed.exit_code == exit_codes.FAILED
    name = next(line.removeprefix("run ") for line in followed.stdout.splitlines() if line.startswith("run "))
    assert f"what the hook printed: osa-grpc run logs {name}\n" in followed.stderr

    run = sent(osa, moods, "broken")
    watched = osa("run", "watch", run, "--logs")
    assert watched.exit_code == exit_codes.FAILED
    assert "look | oh no" in watched.stdout
    assert "failed: HOOK_EXIT" in watched.stdout
    assert osa("run", "logs", run).stdout == "looking at the mood\noh no\n"
    assert osa("run", "logs", run, "look", "--offset", "20").stdout == "oh no\n"
    assert "HOOK_EXIT" in osa("run", "get", run).stdout
    events = lines(osa("run", "watch", run, "--output", "json"))
    assert events[-1]["runFinished"]["failure"]["kind"] == "FAILURE_KIND_HOOK_EXIT"


def test_a_run_is_cancelled(osa: Osa, moods: str) -> None:
    run = sent(osa, moods, "slow")
    assert osa("run", "cancel", run).exit_code == 0
    watched = osa("run", "watch", run)
    assert watched.exit_code == exit_codes.CANCELLED
    assert watched.stdout.splitlines()[-1] == "cancelled"
    again = osa("run", "watch", run, "--until-now")
    assert again.exit_code == exit_codes.CANCELLED


@pytest.fixture
def reviewed_moods(osa: Osa, convention_file: Path, look_image: str) -> str:
    """The name of a convention whose runs a person reviews."""
    convention = json.loads(json.dumps(CONVENTION))
    convention |= {"name": "conventions/reviewed-moods@1.0.0", "review": "REVIEW_MODE_MANUAL"}
    convention["hooks"][0]["name"] = "glance"
    convention_file.write_text(json.dumps(convention))
    result = osa("convention", "register", convention_file, "--image", f"glance={look_image}")
    assert result.exit_code == 0, result.output
    assert "review:" in result.stdout
    return "reviewed-moods@1.0.0"


def test_a_deposit_ends_where_a_person_has_to_review_it_and_is_approved(
    osa: Osa, reviewed_moods: str
) -> None:
    result = osa("deposit", "--convention", reviewed_moods, "--set", "mood=fine")
    assert result.exit_code == exit_codes.AWAITING_REVIEW, result.output
    assert result.stdout.splitlines()[-1] == "waits for a person to approve or reject it"
    run = next(line.removeprefix("run ") for line in result.stdout.splitlines() if line.startswith("run "))
    assert f"osa-grpc run watch {run}" in result.stderr
    assert f"osa-grpc run approve {run}" in osa("run", "get", run).stdout

    assert osa("run", "approve", run, "--reason", "a fine mood").exit_code == 0
    watched = osa("run", "watch", run)
    assert watched.exit_code == 0
    assert "approved by a person: a fine mood\n" in watched.stdout
    assert watched.stdout.splitlines()[-1].startswith("published as records/")
    assert "approved by a person: a fine mood" in osa("run", "get", run).stdout
    late = osa("run", "reject", run, "--reason", "no")
    assert late.exit_code == exit_codes.PRECONDITION
    assert "RUN_NOT_REVIEWABLE" in late.stderr


def test_a_run_is_rejected_with_a_reason_and_retried(osa: Osa, reviewed_moods: str) -> None:
    told = lines(osa("deposit", "--convention", reviewed_moods, "--set", "mood=fine", "--output", "json"))
    assert "reviewRequested" in told[-1]["event"]
    run = told[0]["run"]["name"]
    assert osa("run", "reject", run).exit_code == exit_codes.USAGE
    rejected = osa("run", "reject", run, "--reason", "too fine")
    assert rejected.exit_code == 0
    assert "rejected by a person: too fine" in rejected.stdout
    assert osa("run", "watch", run).exit_code == exit_codes.REJECTED
    assert "too fine" in osa("deposition", "get", told[0]["run"]["deposition"]["deposition"]).stdout

    again = json.loads(osa("run", "retry", run, "--output", "json").stdout)
    assert (again["retryOf"], again["state"]) == (run, "RUN_STATE_PENDING")
    assert f"retry of:   {run}" in osa("run", "get", again["name"]).stdout
    twice = osa("run", "retry", run)
    assert twice.exit_code == exit_codes.PRECONDITION
    assert "RUN_NOT_RETRYABLE" in twice.stderr
    osa("run", "cancel", again["name"])
    assert osa("run", "watch", again["name"]).exit_code == exit_codes.CANCELLED


def test_a_command_gives_up_after_its_timeout(osa: Osa, moods: str) -> None:
    run = sent(osa, moods, "slow")
    result = osa("--timeout", "1", "run", "watch", run)
    assert result.exit_code == exit_codes.DEADLINE
    assert "DEADLINE_EXCEEDED" in result.stderr
    osa("run", "cancel", run)


def test_a_draft_is_left_without_submit_and_deleted(osa: Osa, moods: str) -> None:
    result = osa("deposit", "--convention", moods, "--no-submit", "--output", "json")
    [draft] = lines(result)
    assert draft["state"] == "DEPOSITION_STATE_DRAFT"
    assert draft["name"] in osa("deposition", "list").stdout
    incomplete = osa("deposit", "--to", draft["name"])
    assert incomplete.exit_code == exit_codes.PRECONDITION
    assert "DEPOSITION_INCOMPLETE" in incomplete.stderr
    assert "mood" in incomplete.stderr
    assert osa("deposition", "delete", draft["name"]).exit_code == 0
    assert osa("deposition", "get", draft["name"]).exit_code == exit_codes.NOT_FOUND


def test_a_file_of_the_wrong_kind_is_refused_with_its_reason(osa: Osa, moods: str, tmp_path: Path) -> None:
    (tmp_path / "note.exe").write_bytes(b"MZ")
    result = osa("deposit", tmp_path / "note.exe", "--convention", moods, "--set", "mood=fine")
    assert result.exit_code == exit_codes.INVALID
    assert "FILE_EXTENSION" in result.stderr
    assert f"the draft stays: osa-grpc deposit --to {result.stdout.splitlines()[0]}" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["deposit"], "either --convention"),
        (["deposit", "--convention", "a@1.0.0", "--to", "depositions/1"], "either --convention"),
        (["deposit", "--convention", "a@1.0.0", "--set", "mood"], "FIELD=VALUE"),
        (["deposit", "--convention", "a@1.0.0", "--metadata", "-"], "JSON object"),
        (["run", "get"], "Missing argument"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_is_told(osa: Osa, arguments: list[str], complaint: str) -> None:
    result = osa(*arguments, input="[]")
    assert result.exit_code == exit_codes.USAGE
    assert complaint in result.stderr


def test_a_number_that_would_change_on_the_way_is_refused(osa: Osa, moods: str) -> None:
    result = osa("deposit", "--convention", moods, "--set", f"mood={2**60 + 1}")
    assert result.exit_code == exit_codes.INVALID
    assert "deposition.metadata.mood" in result.stderr


def test_the_server_tells_what_it_can_do(osa: Osa) -> None:
    info = json.loads(osa("server", "info", "--output", "json").stdout)
    assert info["runtimes"] == ["oci"]
    assert info["engine"]["reachable"] is True
    assert "oci" in osa("--output", "plain", "server", "info").stdout


def test_a_server_that_is_not_there_is_told_with_a_hint() -> None:
    result = CliRunner().invoke(cli, ["--server", "127.0.0.1:1", "run", "list"])
    assert result.exit_code == exit_codes.UNAVAILABLE
    assert "osa-grpc serve" in result.stderr


def test_an_option_after_the_command_wins_over_the_one_before(address: str) -> None:
    result = CliRunner().invoke(cli, ["--server", "127.0.0.1:1", "run", "list", "--server", address])
    assert result.exit_code == 0, result.output


def test_an_option_before_the_command_wins_over_the_environment(address: str) -> None:
    result = CliRunner(env={"OSA_SERVER": "127.0.0.1:1"}).invoke(cli, ["--server", address, "run", "list"])
    assert result.exit_code == 0, result.output


def test_ctrl_c_is_quick_and_quiet(osa: Osa, moods: str, address: str) -> None:
    run = sent(osa, moods, "slow")
    watching = subprocess.Popen(
        [sys.executable, "-u", "-m", "osa_grpc", "--server", address, "run", "watch", run],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    for line in watching.stdout:
        if line.startswith("look: started"):
            break
    watching.send_signal(2)
    _, errors = watching.communicate(timeout=10)
    assert (watching.returncode, errors) == (exit_codes.INTERRUPTED, "")
    osa("run", "cancel", run)


def test_a_server_that_stays_away_is_told_by_the_exit_code(docker_host: str, tmp_path: Path) -> None:
    convention = tmp_path / "convention.json"
    convention.write_text(json.dumps({**CONVENTION, "hooks": []}))
    with demo_server(docker_host=docker_host, listen="127.0.0.1:0", data_directory=None) as server:
        arguments = ["--server", server.address, "convention", "register", str(convention)]
        assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert server.process.returncode == 0
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == exit_codes.UNAVAILABLE
    assert "Traceback" not in result.output


def test_a_reader_that_goes_away_is_no_traceback(address: str, moods: str) -> None:
    listing = subprocess.run(
        f"{sys.executable} -m osa_grpc --server {address} feature query look --limit 0 | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in listing.stderr
