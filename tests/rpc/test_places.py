"""Hooks wait for places, conventions have them in turn, and what a hook waits for can be seen."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import aiodocker
import pytest

from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.archive import OBEDIENT, WAIT, Archive, rows, until
from tests.fixtures.registry import Registry

FINE = rows('{"score": 1}')


@pytest.fixture
def server_settings(server_settings: Settings) -> Settings:
    return server_settings.model_copy(update={"max_running_hooks": 1})


@pytest.fixture
async def offered(
    registry: Registry, docker_host: str, shell_hook: Callable[[str], Awaitable[str]]
) -> AsyncIterator[str]:
    """The digest of an image that is in the registry and not on the engine."""
    async with aiodocker.Docker(url=docker_host) as docker:
        digest = await registry.offer(docker, await shell_hook(OBEDIENT), label=secrets.token_hex(8))
        yield digest
        for image in await docker.images.list(digests="1"):
            if any(known.endswith(f"@{digest}") for known in image["RepoDigests"] or ()):
                await docker.images.delete(image["Id"], force=True)


async def waits_for(archive: Archive, run: str, reason: pb.WaitingReason.ValueType) -> None:
    """Wait until the run's hook says that it waits for this."""

    async def does() -> bool:
        [execution] = (await archive.client.get_run(run)).executions
        return execution.waiting.reason == reason

    await until(does)


async def test_a_conventions_only_run_is_next_or_next_but_one_however_many_of_another_wait(
    archive: Archive,
) -> None:
    many = await archive.convention(id="many")
    few = await archive.convention(id="few")
    first = await archive.start(many, check=WAIT + FINE)
    await archive.until(first, "hook_started")
    waiting = [await archive.start(many, check=FINE) for _ in range(20)]
    await waits_for(archive, waiting[0], pb.WAITING_REASON_PLACE)
    only = await archive.start(few, check=FINE)
    archive.go(first)
    over = await archive.end_of(only)
    assert over.state == pb.RUN_STATE_COMPLETED
    began_at = over.executions[0].start_time.ToDatetime()
    runs = [await archive.client.get_run(run) for run in waiting]
    before = [run for run in runs if run.executions[0].start_time.ToSeconds() > 0]
    earlier = [run for run in before if run.executions[0].start_time.ToDatetime() < began_at]
    assert len(earlier) <= 1


async def test_a_hook_says_that_it_waits_for_a_place_and_then_for_its_image(
    archive: Archive, registry: Registry, offered: str
) -> None:
    hook = archive.hook(digest=offered)
    hook.oci.image = registry.name()
    pulled = await archive.convention(hook, id="pulled")
    first = await archive.start(await archive.convention(), check=WAIT + FINE)
    await archive.until(first, "hook_started")
    registry.hold()
    run = await archive.start(pulled, check=FINE)
    await waits_for(archive, run, pb.WAITING_REASON_PLACE)
    [waiting] = (await archive.client.get_run(run)).executions
    assert waiting.state == pb.HOOK_EXECUTION_STATE_WAITING
    assert not waiting.waiting.HasField("until_time")
    archive.go(first)
    await waits_for(archive, run, pb.WAITING_REASON_IMAGE)
    registry.let_go()
    over = await archive.end_of(run)
    assert over.state == pb.RUN_STATE_COMPLETED
    assert not over.executions[0].HasField("waiting")


async def test_a_hook_that_has_a_place_waits_for_nothing(archive: Archive) -> None:
    run = await archive.start(await archive.convention(), check=WAIT + FINE)
    await archive.until(run, "hook_started")
    [running] = (await archive.client.get_run(run)).executions
    assert running.state == pb.HOOK_EXECUTION_STATE_RUNNING
    assert not running.HasField("waiting")
    archive.go(run)
    await archive.end_of(run)


async def test_what_is_decided_about_other_runs_waits_for_no_hook(archive: Archive) -> None:
    reviewed = await archive.convention(archive.hook("look"), id="reviewed", review=pb.REVIEW_MODE_MANUAL)
    approved, cancelled = [await archive.start(reviewed, look="") for _ in range(2)]
    for run in (approved, cancelled):
        await archive.until(run, "review_requested")
    convention = await archive.convention()
    waiting = [  # more than the worker holds at once
        await archive.start(convention, check=WAIT) for _ in range(6)
    ]
    await archive.until(waiting[0], "hook_started")
    async with asyncio.timeout(10):
        await archive.client.approve_run(approved)
        await archive.client.cancel_run(cancelled)
        assert (await archive.end_of(approved)).state == pb.RUN_STATE_COMPLETED
        assert (await archive.end_of(cancelled)).state == pb.RUN_STATE_CANCELLED
        for run in reversed(waiting):
            await archive.client.cancel_run(run)
            assert (await archive.end_of(run)).state == pb.RUN_STATE_CANCELLED
