import asyncio
from datetime import timedelta

import asyncpg
import pytest

from osa_grpc.application.ports import DELIVERY_QUEUE
from osa_grpc.application.storage_ports import DeliveryLease, WorkerId
from osa_grpc.domain.convention import ConventionState
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.events import (
    ConventionReady,
    ConventionRegistered,
    DepositionSubmitted,
    DomainEvent,
    RecordPublished,
    RunFinished,
)
from osa_grpc.domain.names import DepositionId, RecordRef, RunId, new_id
from osa_grpc.domain.run import RunState
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.event_store import key_of
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import CONVENTION, LONG, ONE, OTHER, OVERDUE, hook, registered

NOT_NOW = timedelta(0)
MAKE = "make_feature_tables"
EVENT = ConventionRegistered(convention=CONVENTION, hooks=(hook("summary"),))


async def owed(storage: PostgresStorage, *handlers: str) -> None:
    async with storage.transaction() as tx:
        await tx.events.append(EVENT, owed_to=handlers or [MAKE])


async def claimed(
    storage: PostgresStorage, worker: WorkerId = ONE, *, for_: timedelta = LONG
) -> DeliveryLease | None:
    async with storage.transaction() as tx:
        return await tx.events.claim([MAKE], worker, for_)


async def held(storage: PostgresStorage, worker: WorkerId = ONE, *, for_: timedelta = LONG) -> DeliveryLease:
    lease = await claimed(storage, worker, for_=for_)
    assert lease is not None
    return lease


@pytest.mark.parametrize(
    ("event", "key"),
    [
        (EVENT, "pdb-structures@1.0.0"),
        (ConventionReady(convention=CONVENTION), "pdb-structures@1.0.0"),
        (DepositionSubmitted(deposition=DepositionId("d"), run=RunId("r")), "d"),
        (RecordPublished(record=RecordRef(id="c", version=2), run=RunId("r")), "c@2"),
        (RunFinished(run=RunId("r"), state=RunState.FAILED), "r"),
    ],
)
async def test_an_event_is_delivered_as_it_was_appended(
    storage: PostgresStorage, event: DomainEvent, key: str
) -> None:
    async with storage.transaction() as tx:
        event_id = await tx.events.append(event, owed_to=[MAKE])
        now = await tx.now()
    lease = await held(storage)
    assert lease.event.body == event
    assert lease.event.id == event_id
    assert lease.event.occurred_at == now
    assert (lease.handler, lease.attempt) == (MAKE, 1)
    assert key_of(event) == key


async def test_an_event_is_owed_to_each_of_its_handlers_and_claimed_by_those_asked_for(
    storage: PostgresStorage,
) -> None:
    await owed(storage, MAKE, "announce")
    async with storage.transaction() as tx:
        assert await tx.events.claim(["nothing"], ONE, LONG) is None
        first = await tx.events.claim([MAKE, "announce"], ONE, LONG)
        second = await tx.events.claim([MAKE, "announce"], ONE, LONG)
        assert first
        assert second
        assert {first.handler, second.handler} == {MAKE, "announce"}
        assert await tx.events.claim([MAKE, "announce"], ONE, LONG) is None


async def test_each_delivery_is_claimed_by_one_of_many_workers(storage: PostgresStorage) -> None:
    for _ in range(20):
        await owed(storage)

    async def work(worker: WorkerId) -> list[int]:
        done: list[int] = []
        while (lease := await claimed(storage, worker)) is not None:
            async with storage.transaction() as tx:
                await tx.events.finish(lease)
            done.append(lease.delivery)
        return done

    done = [d for ds in await asyncio.gather(*(work(WorkerId(f"w{n}")) for n in range(6))) for d in ds]
    assert len(done) == len(set(done)) == 20


async def test_what_is_done_is_not_delivered_again(storage: PostgresStorage) -> None:
    await owed(storage)
    lease = await held(storage)
    async with storage.transaction() as tx:
        await tx.events.finish(lease)
    assert await claimed(storage) is None


async def test_effect_and_done_mark_are_undone_together(storage: PostgresStorage) -> None:
    await owed(storage)
    async with storage.transaction() as tx:
        await registered(tx)
    lease = await held(storage, for_=OVERDUE)
    with pytest.raises(KeyError):  # noqa: PT012 - the whole block is the matter
        async with storage.transaction() as tx:
            await tx.conventions.mark_ready(CONVENTION)
            await tx.events.finish(lease)
            raise KeyError
    again = await held(storage)
    assert again.attempt == 2
    async with storage.transaction() as tx:
        found = await tx.conventions.find(CONVENTION)
        assert found is not None
        assert found.state is ConventionState.PENDING
        assert await tx.conventions.mark_ready(CONVENTION)
        await tx.events.finish(again)


async def test_a_handler_that_wakes_up_late_changes_nothing(storage: PostgresStorage) -> None:
    await owed(storage)
    async with storage.transaction() as tx:
        await registered(tx)
    late = await held(storage, for_=OVERDUE)
    current = await held(storage, OTHER)
    assert (current.delivery, current.attempt) == (late.delivery, 2)
    with pytest.raises(LeaseLostError):  # noqa: PT012 - the whole block is the matter
        async with storage.transaction() as tx:
            await tx.conventions.mark_ready(CONVENTION)
            await tx.events.finish(late)
    async with storage.transaction() as tx:
        with pytest.raises(LeaseLostError):
            await tx.events.renew(late, LONG)
        with pytest.raises(LeaseLostError):
            await tx.events.fail(late, "too late", retry_at=None)
        found = await tx.conventions.find(CONVENTION)
        assert found is not None
        assert found.state is ConventionState.PENDING
        await tx.events.finish(current)


async def test_a_worker_finishes_under_its_newest_lease_only(storage: PostgresStorage) -> None:
    await owed(storage)
    first = await held(storage, for_=OVERDUE)
    second = await held(storage)
    async with storage.transaction() as tx:
        with pytest.raises(LeaseLostError):
            await tx.events.finish(first)
        await tx.events.finish(second)


async def test_a_finished_delivery_cannot_be_finished_twice(storage: PostgresStorage) -> None:
    await owed(storage)
    lease = await held(storage)
    async with storage.transaction() as tx:
        await tx.events.finish(lease)
        with pytest.raises(LeaseLostError):
            await tx.events.finish(lease)


async def test_a_renewed_lease_is_nobody_elses(storage: PostgresStorage) -> None:
    await owed(storage)
    lease = await held(storage, for_=OVERDUE)
    async with storage.transaction() as tx:
        await tx.events.renew(lease, LONG)
    assert await claimed(storage, OTHER) is None


async def test_a_failed_delivery_is_due_again_at_its_time(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await owed(storage)
    lease = await held(storage)
    async with storage.transaction() as tx:
        await tx.events.fail(lease, "no room", retry_at=await tx.now() + timedelta(hours=1))
    assert await claimed(storage) is None
    await connection.execute("UPDATE osa.delivery SET next_attempt_at = now()")
    assert await connection.fetchval("SELECT last_error FROM osa.delivery") == "no room"
    assert (await held(storage)).attempt == 2


async def test_a_dead_delivery_waits_until_it_is_wanted_again(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    await owed(storage)
    lease = await held(storage)
    async with storage.transaction() as tx:
        await tx.events.fail(lease, "never", retry_at=None)
    assert await claimed(storage) is None
    with doorbell.subscription(DELIVERY_QUEUE) as bell:
        async with storage.transaction() as tx:
            await tx.events.deliver_again("ConventionRegistered", CONVENTION.key, MAKE)
        assert await bell.wait(at_most=NOT_NOW)
    again = await held(storage)
    assert (again.event.body, again.attempt) == (EVENT, 1)


async def test_the_latest_event_is_delivered_again_also_to_a_handler_it_was_not_owed_to(
    storage: PostgresStorage,
) -> None:
    await owed(storage, "announce")
    async with storage.transaction() as tx:
        latest = await tx.events.append(EVENT)
        await tx.events.deliver_again("ConventionRegistered", CONVENTION.key, MAKE)
    assert (await held(storage)).event.id == latest


async def test_whoever_holds_a_delivery_that_is_delivered_again_loses_it(storage: PostgresStorage) -> None:
    await owed(storage)
    held_before = await held(storage)
    async with storage.transaction() as tx:
        await tx.events.deliver_again("ConventionRegistered", CONVENTION.key, MAKE)
    async with storage.transaction() as tx:
        with pytest.raises(LeaseLostError):
            await tx.events.finish(held_before)
    assert await claimed(storage, OTHER) is not None


async def test_an_event_that_never_was_is_not_delivered_again(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        with pytest.raises(LookupError):
            await tx.events.deliver_again("RunFinished", new_id(), MAKE)


async def test_only_an_owed_event_rings_the_handlers(storage: PostgresStorage, doorbell: Doorbell) -> None:
    with doorbell.subscription(DELIVERY_QUEUE) as bell:
        async with storage.transaction() as tx:
            await tx.events.append(EVENT)
        assert not await bell.wait(at_most=NOT_NOW)
        await owed(storage)
        assert await bell.wait(at_most=NOT_NOW)
