"""Deliveries as an operator sees them: one that is dead is found, understood, mended and retried, or let go."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from osa_grpc.client import Client
from osa_grpc.server.app import Started
from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, refusal, until
from tests.fixtures.storage import until_somebody_waits

Connection = "asyncpg.Connection[asyncpg.Record]"
DEAD, PENDING = pb.DELIVERY_STATE_DEAD, pb.DELIVERY_STATE_PENDING


async def a_dead_delivery(archive: Archive, connection: Connection) -> pb.Delivery:
    """The delivery of a convention whose feature table is in the way of itself."""
    await connection.execute("CREATE TABLE features.check (something text)")
    made = await archive.client.register_convention(
        "shapes", pb.Convention(title="Shapes", version="1.0.0", hooks=[archive.hook()])
    )
    failed = await archive.client.wait_until_ready(made.name)
    assert failed.state == pb.CONVENTION_STATE_FAILED
    [dead] = [found async for found in archive.client.list_deliveries(filter="state = DEAD")]
    return dead


async def mend(connection: Connection) -> None:
    await connection.execute("DROP TABLE features.check")


async def count_of(connection: Connection, event_type: str) -> int:
    count: int = await connection.fetchval("SELECT count(*) FROM osa.event WHERE type = $1", event_type)
    return count


async def test_a_dead_delivery_says_what_it_is_about_and_why(
    archive: Archive, connection: Connection
) -> None:
    dead = await a_dead_delivery(archive, connection)
    assert (dead.event_type, dead.subject) == ("ConventionRegistered", "shapes@1.0.0")
    assert (dead.handler, dead.attempts) == ("make_feature_tables", 1)
    assert "featureTables/check has other columns" in dead.last_error
    assert not dead.HasField("next_attempt_time")
    assert dead.update_time.ToDatetime() >= dead.create_time.ToDatetime()
    assert await archive.client.get_delivery(dead.name) == dead


async def test_once_its_cause_is_mended_a_retry_makes_the_failed_convention_ready(
    archive: Archive, connection: Connection
) -> None:
    dead = await a_dead_delivery(archive, connection)
    await mend(connection)
    retried = await archive.client.retry_delivery(dead.name)
    assert (retried.state, retried.attempts, retried.last_error) == (PENDING, 0, dead.last_error)
    assert retried.HasField("next_attempt_time")

    async def ready() -> bool:
        found = await archive.client.get_convention("conventions/shapes@1.0.0")
        return found.state == pb.CONVENTION_STATE_READY

    await until(ready)
    done = await archive.client.get_delivery(dead.name)
    assert (done.state, done.attempts) == (pb.DELIVERY_STATE_DONE, 1)
    convention = await archive.client.get_convention("conventions/shapes@1.0.0")
    assert not convention.HasField("failure")
    await archive.finish(convention.name, check="")


async def test_a_retry_before_its_cause_is_mended_dies_again_and_says_so(
    archive: Archive, connection: Connection
) -> None:
    dead = await a_dead_delivery(archive, connection)
    await archive.client.retry_delivery(dead.name)

    async def dead_again() -> bool:
        found = await archive.client.get_delivery(dead.name)
        return found.state == DEAD and found.update_time != dead.update_time

    await until(dead_again)
    assert (await archive.client.get_delivery(dead.name)).last_error == dead.last_error


async def test_a_discarded_delivery_stays_so_until_somebody_retries_it(
    archive: Archive, connection: Connection
) -> None:
    dead = await a_dead_delivery(archive, connection)
    discarded = await archive.client.discard_delivery(dead.name)
    assert discarded.state == pb.DELIVERY_STATE_DISCARDED
    assert await archive.client.discard_delivery(dead.name) == discarded
    assert [found async for found in archive.client.list_deliveries(filter="state = DEAD")] == []
    failed = await archive.client.get_convention("conventions/shapes@1.0.0")
    assert failed.state == pb.CONVENTION_STATE_FAILED
    await mend(connection)
    assert (await archive.client.retry_delivery(dead.name)).state == PENDING
    await archive.convention()


async def test_registering_again_retries_a_delivery_that_was_discarded(
    archive: Archive, connection: Connection
) -> None:
    dead = await a_dead_delivery(archive, connection)
    await archive.client.discard_delivery(dead.name)
    await mend(connection)
    await archive.convention()
    assert (await archive.client.get_delivery(dead.name)).state == pb.DELIVERY_STATE_DONE


async def test_what_was_handled_can_be_neither_retried_nor_discarded(archive: Archive) -> None:
    await archive.convention()
    [done] = [found async for found in archive.client.list_deliveries()]
    assert done.state == pb.DELIVERY_STATE_DONE
    error = await refusal(archive.client.retry_delivery(done.name))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DELIVERY_DONE")
    error = await refusal(archive.client.discard_delivery(done.name))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DELIVERY_NOT_DEAD")


async def test_what_is_being_delivered_is_left_alone(archive: Archive, connection: Connection) -> None:
    dead = await a_dead_delivery(archive, connection)
    await mend(connection)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('feature table check', 0))")
        await archive.client.retry_delivery(dead.name)
        await until_somebody_waits(connection)
        pending = await archive.client.get_delivery(dead.name)
        assert (pending.state, pending.attempts) == (PENDING, 1)
        assert (await archive.client.retry_delivery(dead.name)).attempts == 1
        error = await refusal(archive.client.discard_delivery(dead.name))
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DELIVERY_NOT_DEAD")
    await archive.convention()
    assert await count_of(connection, "ConventionReady") == 1


async def test_retries_by_many_at_once_deliver_once(
    archive: Archive, server: Started, connection: Connection
) -> None:
    dead = await a_dead_delivery(archive, connection)
    await mend(connection)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(server.address)) for _ in range(6)]
        answers: list[Any] = await asyncio.gather(
            *(client.retry_delivery(dead.name) for client in clients), return_exceptions=True
        )
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert {getattr(error, "reason", error) for error in refused} <= {"DELIVERY_DONE"}
    assert len(refused) < len(answers)
    await archive.convention()
    assert await count_of(connection, "ConventionReady") == 1
    assert (await archive.client.get_delivery(dead.name)).attempts == 1


async def test_a_retry_and_a_discard_at_once_leave_one_of_the_two(
    archive: Archive, server: Started, connection: Connection
) -> None:
    dead = await a_dead_delivery(archive, connection)
    await mend(connection)
    async with Client(server.address) as other:
        retried, discarded = await asyncio.gather(
            archive.client.retry_delivery(dead.name),
            other.discard_delivery(dead.name),
            return_exceptions=True,
        )
    if isinstance(discarded, BaseException):  # the retry came first
        assert getattr(discarded, "reason", discarded) == "DELIVERY_NOT_DEAD"
    else:
        assert discarded.state == pb.DELIVERY_STATE_DISCARDED
    assert not isinstance(retried, BaseException)  # it may come first or last, and delivers either way
    await archive.convention()


async def test_deliveries_are_listed_by_what_is_asked(archive: Archive, connection: Connection) -> None:
    dead = await a_dead_delivery(archive, connection)
    await archive.convention(archive.hook("other"), id="others")

    async def listed(text: str, order_by: str = "") -> list[str]:
        found = archive.client.list_deliveries(filter=text, order_by=order_by, page_size=1)
        return [delivery.subject async for delivery in found]

    assert await listed("") == ["others@1.0.0", "shapes@1.0.0"]
    assert await listed("", "subject desc") == ["shapes@1.0.0", "others@1.0.0"]
    assert await listed('last_error:"COLUMNS"') == ["shapes@1.0.0"]
    assert await listed(f'name = "{dead.name}"') == ["shapes@1.0.0"]
    assert await listed("state = DONE handler:make") == ["others@1.0.0"]
    assert await listed("next_attempt_time:*") == []


@pytest.mark.parametrize("change", ["retry_delivery", "discard_delivery"])
async def test_a_change_again_under_its_request_id_gets_the_same_answer(
    archive: Archive, connection: Connection, change: str
) -> None:
    dead = await a_dead_delivery(archive, connection)
    act = getattr(archive.client, change)
    first = await act(dead.name, request_id="again")
    assert await act(dead.name, request_id="again") == first
    error = await refusal(act("deliveries/9", request_id="again"))
    assert error.reason == "REQUEST_ID_REUSED"
