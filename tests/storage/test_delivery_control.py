"""What operators do with deliveries, at the same time as each other and as workers."""

import asyncio

import pytest

from osa_grpc.application.dead_deliveries import DeadDeliveries
from osa_grpc.application.delivery_control import delivery_of, discard_delivery, retry_delivery
from osa_grpc.application.ports import DELIVERY_QUEUE
from osa_grpc.application.storage_ports import DeliveryLease
from osa_grpc.domain.delivery import Delivery, DeliveryState
from osa_grpc.domain.errors import LeaseLostError, NotFoundError, PreconditionError
from osa_grpc.domain.events import ConventionRegistered
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import CONVENTION, LONG, ONE, OTHER, hook, until_somebody_waits

MAKE = "make_feature_tables"
EVENT = ConventionRegistered(convention=CONVENTION, hooks=(hook("summary"),))
Connection = "asyncpg.Connection[asyncpg.Record]"


async def a_held_one(storage: PostgresStorage) -> DeliveryLease:
    async with storage.transaction() as tx:
        await tx.events.append(EVENT, owed_to=[MAKE])
    async with storage.transaction() as tx:
        lease = await tx.events.claim([MAKE], ONE, LONG)
    assert lease is not None
    return lease


async def a_dead_one(storage: PostgresStorage) -> DeliveryLease:
    lease = await a_held_one(storage)
    async with storage.transaction() as tx:
        await tx.events.fail(lease, "no such luck", retry_at=None)
    return lease


async def found(storage: PostgresStorage, delivery: int) -> Delivery:
    async with storage.reading() as tx:
        return await delivery_of(tx, delivery)


async def test_a_delivery_tells_what_is_owed_and_how_it_went(storage: PostgresStorage) -> None:
    lease = await a_dead_one(storage)
    dead = await found(storage, lease.delivery)
    assert dead == Delivery(
        id=lease.delivery,
        event_type="ConventionRegistered",
        key="pdb-structures@1.0.0",
        handler=MAKE,
        state=DeliveryState.DEAD,
        attempts=1,
        last_error="no such luck",
        next_attempt_at=None,
        created_at=lease.event.occurred_at,
        updated_at=dead.updated_at,
    )
    async with storage.reading() as tx:
        with pytest.raises(NotFoundError):
            await delivery_of(tx, 2**63 - 1)


async def test_a_retry_makes_it_due_at_once_and_wakes_the_workers(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    lease = await a_dead_one(storage)
    with doorbell.subscription(DELIVERY_QUEUE) as bell:
        async with storage.transaction() as tx:
            retried = await retry_delivery(tx, lease.delivery)
        assert await bell.wait(at_most=LONG)
    assert (retried.state, retried.attempts) == (DeliveryState.PENDING, 0)
    assert retried.next_attempt_at is not None
    async with storage.transaction() as tx:
        again = await tx.events.claim([MAKE], OTHER, LONG)
    assert again is not None
    assert (again.delivery, again.attempt) == (lease.delivery, 1)


async def test_whoever_held_it_before_can_write_nothing_after_a_retry(storage: PostgresStorage) -> None:
    lease = await a_dead_one(storage)
    async with storage.transaction() as tx:
        await retry_delivery(tx, lease.delivery)
    for late in ("finish", "fail"):
        async with storage.transaction() as tx:
            with pytest.raises(LeaseLostError):
                await (
                    tx.events.finish(lease)
                    if late == "finish"
                    else tx.events.fail(lease, "late", retry_at=None)
                )
    assert (await found(storage, lease.delivery)).state is DeliveryState.PENDING


async def test_one_that_a_worker_holds_is_given_back_as_it_is_and_stays_the_workers(
    storage: PostgresStorage,
) -> None:
    lease = await a_held_one(storage)
    async with storage.transaction() as tx:
        assert (await retry_delivery(tx, lease.delivery)).attempts == 1
        with pytest.raises(PreconditionError) as caught:
            await discard_delivery(tx, lease.delivery)
    assert caught.value.reason == "DELIVERY_NOT_DEAD"
    async with storage.transaction() as tx:
        await tx.events.finish(lease)
    assert (await found(storage, lease.delivery)).state is DeliveryState.DONE


@pytest.mark.parametrize("first", ["retry", "discard"])
async def test_of_a_retry_and_a_discard_at_once_the_second_sees_what_the_first_did(
    storage: PostgresStorage, connection: Connection, first: str
) -> None:
    lease = await a_dead_one(storage)
    acts = {"retry": retry_delivery, "discard": discard_delivery}
    second = "discard" if first == "retry" else "retry"

    async def late() -> Delivery:
        async with storage.transaction() as tx:
            return await acts[second](tx, lease.delivery)

    async with storage.transaction() as tx:
        await acts[first](tx, lease.delivery)
        waiting = asyncio.create_task(late())
        await until_somebody_waits(connection)
    if second == "retry":
        assert (await waiting).state is DeliveryState.PENDING
    else:
        with pytest.raises(PreconditionError) as caught:
            await waiting
        assert caught.value.reason == "DELIVERY_NOT_DEAD"
    assert (await found(storage, lease.delivery)).state is DeliveryState.PENDING


async def test_a_worker_does_not_wait_for_an_operator(storage: PostgresStorage) -> None:
    lease = await a_dead_one(storage)
    other = await a_held_one(storage)
    async with storage.transaction() as tx:
        await tx.events.postpone(other, "busy", retry_at=await tx.now())
    async with storage.transaction() as operator:
        await retry_delivery(operator, lease.delivery)
        async with storage.transaction() as tx:
            claimed = await tx.events.claim([MAKE], OTHER, LONG)
    assert claimed is not None
    assert claimed.delivery == other.delivery


async def test_what_is_discarded_is_not_claimed(storage: PostgresStorage) -> None:
    lease = await a_dead_one(storage)
    async with storage.transaction() as tx:
        await discard_delivery(tx, lease.delivery)
        assert await tx.events.claim([MAKE], OTHER, LONG) is None


async def test_the_dead_are_counted_until_somebody_decides(storage: PostgresStorage) -> None:
    dead = DeadDeliveries(storage=storage)
    first, second = await a_dead_one(storage), await a_dead_one(storage)
    await a_held_one(storage)
    await dead.look()
    assert dead.count == 2
    async with storage.transaction() as tx:
        await retry_delivery(tx, first.delivery)
        await discard_delivery(tx, second.delivery)
    await dead.look()
    assert dead.count == 0
