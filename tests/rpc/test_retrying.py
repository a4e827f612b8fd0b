"""RetryRun: what did not publish is submitted once more, as it is now, by a new run."""

import asyncio
from uuid import uuid4

import grpc
import pytest

from osa_grpc.client import OsaRpcError
from osa_grpc.client.channel import Stubs
from osa_grpc.server.app import Started
from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, kinds, refusal, reject, rows

STUBBORN = "[ -e /osa/in/files/cure.sh ] || exit 7\n" + rows('{"score": 1}')


async def test_a_failed_run_is_retried_with_the_deposition_as_it_is_now(archive: Archive) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention(), scripts={"check": STUBBORN})
    failed = await archive.end_of((await client.submit_deposition(draft)).name)
    assert failed.failure.kind == pb.FAILURE_KIND_HOOK_EXIT
    history = await archive.history(failed.name)

    again = await archive.end_of((await client.retry_run(failed.name)).name)
    assert (again.state, again.retry_of) == (pb.RUN_STATE_FAILED, failed.name)
    await client.upload_file(draft, b"", file_name="cure.sh")
    new = await client.retry_run(again.name)
    assert (new.state, new.retry_of) == (pb.RUN_STATE_PENDING, again.name)
    assert (await client.get_deposition(draft)).run == new.name
    published = await archive.end_of(new.name)
    assert (published.state, published.retry_of) == (pb.RUN_STATE_COMPLETED, again.name)
    assert [row["score"] async for row in client.query("featureTables/check")] == [1.0]
    assert await client.get_run(failed.name) == failed
    assert await archive.history(failed.name) == history
    assert kinds(await archive.history(new.name))[0] == "run_started"


async def test_the_answer_has_the_new_run_and_where_its_history_begins(
    archive: Archive, server: Started
) -> None:
    rejected = await archive.finish(await archive.convention(), check=reject("too coarse"))
    assert rejected.state == pb.RUN_STATE_REJECTED
    async with grpc.aio.insecure_channel(server.address) as channel:
        answer = await Stubs(channel).runs.RetryRun(pb.RetryRunRequest(name=rejected.name))
    watch = archive.client.watch_run(answer.run.name, resume_token=answer.resume_token)
    told = [event async for event in watch]
    assert [event.sequence for event in told] == list(range(1, len(told) + 1))
    assert told[-1].run_finished.rejection_reason == "too coarse"


async def test_a_retry_starts_with_executions_and_logs_of_its_own(archive: Archive) -> None:
    failed = await archive.finish(await archive.convention(), check="echo once; exit 7\n")
    again = await archive.end_of((await archive.client.retry_run(failed.name)).name)
    [before], [after] = failed.executions, again.executions
    assert (before.attempt, after.attempt) == (1, 1)
    assert before.execution_id != after.execution_id
    for execution in (before, after):
        log = [piece.data async for piece in archive.client.read_run_log(execution.name)]
        assert b"".join(log) == b"once\n"


async def test_a_cancelled_run_is_retried_but_none_that_is_under_way_or_published(archive: Archive) -> None:
    client = archive.client
    run = await archive.start(await archive.convention(), check=WAIT)
    await archive.until(run, "hook_started")
    error = await refusal(client.retry_run(run))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_RETRYABLE")
    assert error.metadata["state"] == "RUNNING"
    await client.cancel_run(run)
    assert (await archive.end_of(run)).state == pb.RUN_STATE_CANCELLED

    new = (await client.retry_run(run)).name
    await archive.until(new, "hook_started")
    error = await refusal(client.retry_run(run))
    assert (error.reason, new in error.message) == ("RUN_NOT_RETRYABLE", True)
    archive.go(new)
    assert (await archive.end_of(new)).state == pb.RUN_STATE_COMPLETED
    error = await refusal(client.retry_run(new))
    assert (error.reason, error.metadata["state"]) == ("RUN_NOT_RETRYABLE", "COMPLETED")


async def test_of_many_retries_at_once_one_is_made(archive: Archive) -> None:
    client = archive.client
    failed = await archive.finish(await archive.convention(), check="exit 7\n")
    answers = await asyncio.gather(*(client.retry_run(failed.name) for _ in range(6)), return_exceptions=True)
    [new] = [answer for answer in answers if isinstance(answer, pb.Run)]
    refused = [answer for answer in answers if isinstance(answer, OsaRpcError)]
    assert [error.reason for error in refused] == ["RUN_NOT_RETRYABLE"] * 5

    await archive.end_of(new.name)
    again = await asyncio.gather(*(client.retry_run(new.name, request_id="again") for _ in range(6)))
    assert len({run.name for run in again}) == 1
    await archive.end_of(again[0].name)
    assert await client.retry_run(new.name, request_id="again") == again[0]
    assert {run.name async for run in client.list_runs()} == {failed.name, new.name, again[0].name}


async def test_what_is_missing_by_now_is_told(archive: Archive) -> None:
    failed = await archive.finish(await archive.convention(), check="exit 7\n")
    draft = failed.deposition.deposition
    await archive.client.delete_file(f"{draft}/files/check.sh")
    error = await refusal(archive.client.retry_run(failed.name))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DEPOSITION_INCOMPLETE")
    assert (await archive.client.get_deposition(draft)).run == failed.name
    await archive.client.delete_deposition(draft)
    error = await refusal(archive.client.retry_run(failed.name))
    assert (error.reason, "was deleted" in error.message) == ("RUN_NOT_RETRYABLE", True)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (f"runs/{uuid4()}", grpc.StatusCode.NOT_FOUND),
        ("depositions/1", grpc.StatusCode.INVALID_ARGUMENT),
        ("", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_what_is_no_run_is_not_retried(archive: Archive, name: str, code: grpc.StatusCode) -> None:
    assert (await refusal(archive.client.retry_run(name))).code is code
