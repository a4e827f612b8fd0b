"""How hooks end, as a watcher and a depositor see it. Hooks run in real containers."""

from typing import Any

import pytest

from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, progress, reject, rows

ERRORS_LINE = """echo '{"id": "'$(basename /osa/files/*)'", "error": "no model", "retryable": true}' > /osa/out/errors.jsonl\n"""


@pytest.mark.parametrize(
    ("script", "limits", "kind", "says"),
    [
        ("exit 3\n", {}, pb.FAILURE_KIND_HOOK_EXIT, "code 3"),
        ("sleep 60\n", {"timeout_seconds": 1}, pb.FAILURE_KIND_TIMEOUT, "1 s"),
        ("tail /dev/zero\n", {"memory": "64m"}, pb.FAILURE_KIND_OOM, "64m"),
        (rows('{"score": "high"}'), {}, pb.FAILURE_KIND_BAD_OUTPUT, "score"),
        (rows('{"score": 1, "colour": 2}'), {}, pb.FAILURE_KIND_BAD_OUTPUT, "colour"),
        (rows('{"score": 1, "record_srn": "x"}'), {}, pb.FAILURE_KIND_BAD_OUTPUT, "record_srn"),
        (
            "rm /osa/out/features.json; ln -s /etc/passwd /osa/out/features.json\n",
            {},
            pb.FAILURE_KIND_BAD_OUTPUT,
            "",
        ),
        ("rm /osa/out/features.json; mkfifo /osa/out/features.json\n", {}, pb.FAILURE_KIND_BAD_OUTPUT, ""),
        (ERRORS_LINE, {}, pb.FAILURE_KIND_HOOK_EXIT, "no model"),
    ],
    ids=["exit", "time-out", "memory", "type", "column", "system column", "symlink", "fifo", "errors.jsonl"],
)
async def test_a_hook_that_fails_ends_the_run_with_its_kind(
    archive: Archive, script: str, limits: dict[str, Any], kind: pb.FailureKind, says: str
) -> None:
    convention = await archive.convention(
        archive.hook("first"), archive.hook("check", **limits), archive.hook("last")
    )
    draft = await archive.draft(convention, scripts={"first": rows('{"score": 1}'), "check": script})
    run = await archive.end_of((await archive.client.submit_deposition(draft)).name)
    assert run.state == pb.RUN_STATE_FAILED
    assert run.failure.kind == kind, run.failure
    assert says in run.failure.message
    first, execution, last = run.executions
    assert (execution.verdict, execution.failure) == (pb.VERDICT_FAILED, run.failure)
    assert first.verdict == pb.VERDICT_PASSED
    assert last.state == pb.HOOK_EXECUTION_STATE_SKIPPED
    assert (await archive.history(run.name))[-1].run_finished.failure == run.failure
    deposition = await archive.client.get_deposition(draft)
    assert deposition.state == pb.DEPOSITION_STATE_DRAFT
    assert deposition.rejection_reason.startswith(pb.FailureKind.Name(kind).removeprefix("FAILURE_KIND_"))
    assert [row async for row in archive.client.query("featureTables/first")] == []
    assert [record async for record in archive.client.list_records()] == []


async def test_an_image_that_is_not_there_fails_the_run_with_image_pull(archive: Archive) -> None:
    convention = await archive.convention(archive.hook(digest="sha256:" + 64 * "5"))
    run = await archive.finish(convention, check="")
    assert (run.state, run.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_IMAGE_PULL)
    assert "hook_started" not in [e.WhichOneof("kind") for e in await archive.history(run.name)]


@pytest.mark.parametrize("script", [reject("too coarse") + "exit 1\n", reject("too coarse")])
async def test_a_rejection_wins_over_the_exit_code(archive: Archive, script: str) -> None:
    run = await archive.finish(await archive.convention(), check=script)
    assert (run.state, run.rejection_reason) == (pb.RUN_STATE_REJECTED, "too coarse")


async def test_a_row_that_cannot_fit_a_message_is_bad_output(archive: Archive) -> None:
    text = pb.ColumnDef(name="text", json_type=pb.JSON_TYPE_STRING)
    convention = await archive.convention(archive.hook("check", text))
    script = """{ printf '[{"text": "'; head -c 5000000 /dev/zero | tr '\\0' x; printf '"}]'; } > /osa/out/features.json\n"""
    run = await archive.finish(convention, check=script)
    assert (run.state, run.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_BAD_OUTPUT)


async def test_pages_of_large_rows_never_exceed_a_message(archive: Archive) -> None:
    text = pb.ColumnDef(name="text", json_type=pb.JSON_TYPE_STRING)
    convention = await archive.convention(archive.hook("check", text))
    script = (
        "x=$(head -c 900000 /dev/zero | tr '\\0' x)\n"
        """{ printf '['; for i in 1 2 3 4 5 6 7 8; do printf '{"text": "%s"},' "$x"; done; printf '{}]'; }"""
        " > /osa/out/features.json\n"
    )
    run = await archive.finish(convention, check=script)
    assert run.state == pb.RUN_STATE_COMPLETED, run.failure
    pages = [page async for page in archive.client.query_pages("featureTables/check", page_size=1000)]
    assert sum(len(page.rows) for page in pages) == 9
    assert len(pages) > 1


async def test_the_same_results_again_are_another_records_rows(archive: Archive) -> None:
    convention = await archive.convention()
    first = await archive.finish(convention, check=rows('{"score": 1}'))
    second = await archive.finish(convention, check=rows('{"score": 2}', '{"score": 3}'))
    assert [run.state for run in (first, second)] == 2 * [pb.RUN_STATE_COMPLETED]
    found = [row async for row in archive.client.query("featureTables/check", order_by="score")]
    by_execution = {execution.execution_id: run for run in (first, second) for execution in run.executions}
    assert [by_execution[str(row["execution_id"])].name for row in found] == [
        first.name,
        second.name,
        second.name,
    ]


async def test_progress_that_is_not_what_it_should_be_fails_no_hook(archive: Archive) -> None:
    script = (
        "echo nonsense >> /osa/out/progress.jsonl\n"
        + progress("half")
        + "echo '[1]' >> /osa/out/progress.jsonl\n"
    )
    run = await archive.finish(await archive.convention(), check=script)
    assert run.state == pb.RUN_STATE_COMPLETED
    told = [
        e.hook_progress for e in await archive.history(run.name) if e.WhichOneof("kind") == "hook_progress"
    ]
    assert [one.progress.status for one in told] == ["half"]
