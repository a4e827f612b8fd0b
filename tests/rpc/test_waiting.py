"""What hooks wait for, as a client sees it."""

import pytest

from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, rows, until
from tests.fixtures.registry import Registry


@pytest.fixture
def server_settings(server_settings: Settings) -> Settings:
    return server_settings.model_copy(update={"max_running_hooks": 1})


async def until_it_waits(archive: Archive, run: str, reason: pb.WaitingReason.ValueType) -> None:
    """Wait until a run's hook waits for that."""

    async def waits() -> bool:
        [execution] = (await archive.client.get_run(run)).executions
        return execution.waiting.reason == reason

    await until(waits)
    [execution] = (await archive.client.get_run(run)).executions
    assert (execution.state, execution.attempt) == (pb.HOOK_EXECUTION_STATE_WAITING, 1)
    assert not execution.waiting.HasField("until_time")


async def test_a_hook_waits_for_a_place_until_another_gives_its_own_back(archive: Archive) -> None:
    convention = await archive.convention()
    first = await archive.start(convention, check=WAIT)
    await archive.until(first, "hook_started")
    second = await archive.start(convention, check=rows('{"score": 1}') + WAIT)
    await until_it_waits(archive, second, pb.WAITING_REASON_PLACE)
    archive.go(first)
    await archive.until(second, "hook_started")
    [execution] = (await archive.client.get_run(second)).executions
    assert execution.state == pb.HOOK_EXECUTION_STATE_RUNNING
    assert not execution.HasField("waiting")
    archive.go(second)
    assert (await archive.end_of(second)).state == pb.RUN_STATE_COMPLETED


async def test_a_hook_waits_for_its_image_while_that_is_pulled(
    archive: Archive, registry: Registry, offered: str
) -> None:
    hook = archive.hook(digest=offered)
    hook.oci.image = registry.name()
    convention = await archive.convention(hook)
    registry.hold()
    run = await archive.start(convention, check="")
    await until_it_waits(archive, run, pb.WAITING_REASON_IMAGE)
    registry.let_go()
    over = await archive.end_of(run)
    assert over.state == pb.RUN_STATE_COMPLETED, over.failure
    assert not over.executions[0].HasField("waiting")
