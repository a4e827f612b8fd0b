"""Cancelling at every moment of a run; and runs that wait for a place."""

import asyncio

import grpc
import pytest

from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, kinds, refusal, rows, until
from tests.fixtures.registry import Registry


@pytest.fixture
def server_settings(server_settings: Settings) -> Settings:
    return server_settings.model_copy(update={"max_running_hooks": 1})


async def containers(archive: Archive, docker_host: str) -> int:
    server = (archive.data_directory / "server-id").read_text().strip()
    async with DockerEngine(docker_host=docker_host) as engine:
        return len(await engine.find({"org.opensciencearchive.server": server}))


async def is_waiting(archive: Archive, run: str) -> bool:
    states = [execution.state for execution in (await archive.client.get_run(run)).executions]
    return pb.HOOK_EXECUTION_STATE_WAITING in states


async def test_a_hook_that_runs_is_stopped_and_its_run_cancelled(archive: Archive, docker_host: str) -> None:
    client = archive.client
    draft = await archive.draft(
        await archive.convention(archive.hook("check"), archive.hook("last")),
        scripts={"check": "trap '' TERM\n" + WAIT},
    )
    run = (await client.submit_deposition(draft)).name
    await archive.until(run, "hook_started")
    assert await containers(archive, docker_host) == 1
    assert (await client.cancel_run(run)).state == pb.RUN_STATE_CANCELLING
    over = await archive.end_of(run)
    assert await containers(archive, docker_host) == 0
    assert over.state == pb.RUN_STATE_CANCELLED
    assert [execution.state for execution in over.executions] == [
        pb.HOOK_EXECUTION_STATE_CANCELLED,
        pb.HOOK_EXECUTION_STATE_SKIPPED,
    ]
    assert kinds(await archive.history(run))[-2:] == ["cancel_requested", "run_finished"]
    again = await client.cancel_run(run)
    assert (again, len(await archive.history(run))) == (over, 4)
    deposition = await client.get_deposition(draft)
    assert (deposition.state, deposition.rejection_reason) == (pb.DEPOSITION_STATE_DRAFT, "cancelled")
    await client.delete_deposition(draft)
    assert (await client.get_run(run)) == over


async def test_a_hook_waits_visibly_for_a_place_and_can_be_cancelled_there(archive: Archive) -> None:
    client = archive.client
    convention = await archive.convention()
    running = await archive.start(convention, check=WAIT)
    await archive.until(running, "hook_started")
    waiting = await archive.start(convention, check="")
    later = await archive.start(convention, check=rows('{"score": 1}'))
    for run in (waiting, later):
        await until(lambda run=run: is_waiting(archive, run))
    await client.cancel_run(waiting)
    cancelled = await archive.end_of(waiting)
    assert cancelled.state == pb.RUN_STATE_CANCELLED
    assert kinds(await archive.history(waiting)) == ["run_started", "cancel_requested", "run_finished"]
    assert await is_waiting(archive, later)
    archive.go(running)
    assert (await archive.end_of(later)).state == pb.RUN_STATE_COMPLETED
    assert (await archive.end_of(running)).state == pb.RUN_STATE_COMPLETED


async def test_a_run_cancelled_between_two_hooks_runs_no_other(archive: Archive) -> None:
    convention = await archive.convention(archive.hook("check"), archive.hook("last"))
    other = await archive.start(convention, check="", last=WAIT)
    await archive.until(other, "hook_started", hook="last")
    # There is one place, and whoever has waited longest gets it: `check` of this run, then the third's, then `last` of this run.
    run = await archive.start(convention, check="", last="")
    await until(lambda: is_waiting(archive, run))
    third = await archive.start(convention, check=WAIT, last="")
    await until(lambda: is_waiting(archive, third))
    archive.go(other)
    await archive.until(third, "hook_started", hook="check")
    assert (await archive.client.cancel_run(run)).state == pb.RUN_STATE_CANCELLING
    over = await archive.end_of(run)
    assert over.state == pb.RUN_STATE_CANCELLED
    assert over.executions[0].verdict == pb.VERDICT_PASSED
    assert over.executions[1].state in (pb.HOOK_EXECUTION_STATE_SKIPPED, pb.HOOK_EXECUTION_STATE_CANCELLED)
    await archive.client.cancel_run(third)
    await archive.end_of(third)


async def test_a_run_is_cancelled_while_its_image_is_pulled(archive: Archive, registry: Registry) -> None:
    registry.hold()
    hook = archive.hook(digest="sha256:" + 64 * "7")
    hook.oci.image = registry.name()
    run = await archive.start(await archive.convention(hook), check="")
    await registry.held.wait()
    async with asyncio.timeout(5):
        await archive.client.cancel_run(run)
        assert (await archive.end_of(run)).state == pb.RUN_STATE_CANCELLED
    assert "hook_started" not in kinds(await archive.history(run))


async def test_a_run_that_is_over_is_not_cancelled(archive: Archive) -> None:
    run = await archive.finish(await archive.convention(), check="")
    error = await refusal(archive.client.cancel_run(run.name))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_CANCELLABLE")
    assert error.metadata["state"] == "COMPLETED"
    assert await archive.client.get_run(run.name) == run
