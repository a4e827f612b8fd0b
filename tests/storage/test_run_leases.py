"""Leases of runs: who holds one writes, and nobody else; what is let go is taken up, now or in its time."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from osa_grpc.application.ports import RUN_QUEUE
from osa_grpc.application.storage_ports import RunLease
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.run import (
    Run,
    RunState,
)
from osa_grpc.domain.run_event import (
    RunStarted,
)
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import (
    LONG,
    ONE,
    OTHER,
    OVERDUE,
    a_record,
    held_run,
    until_somebody_waits,
)

NOT_NOW = timedelta(0)


async def test_a_run_taken_over_by_another_worker_accepts_no_write_of_the_first(
    storage: PostgresStorage,
) -> None:
    first = await held_run(storage, for_=OVERDUE)
    async with storage.transaction() as tx:
        second = await tx.runs.claim(OTHER, LONG)
    assert second is not None
    assert second.run == first.run
    assert second.epoch > first.epoch
    async with storage.transaction() as tx:
        with pytest.raises(LeaseLostError):
            await tx.runs.lock(first)
        with pytest.raises(LeaseLostError):
            await tx.runs.renew(first, LONG)
        with pytest.raises(RuntimeError, match="was not locked"):
            await tx.runs.append(first.run, [RunStarted()])
        await tx.runs.release(first)
    async with storage.transaction() as tx:
        run = await tx.runs.lock(second)
        assert (run.state, run.last_sequence) == (RunState.PENDING, 0)
        assert await tx.runs.claim(ONE, LONG) is None


async def test_a_worker_taken_over_by_itself_writes_under_its_newer_lease_only(
    storage: PostgresStorage,
) -> None:
    first = await held_run(storage, for_=OVERDUE)
    async with storage.transaction() as tx:
        second = await tx.runs.claim(ONE, LONG)
        assert second is not None
        await tx.runs.lock(second)
        with pytest.raises(LeaseLostError):
            await tx.runs.lock(first)


async def test_what_a_late_worker_wrote_in_the_same_transaction_is_undone_with_it(
    storage: PostgresStorage,
) -> None:
    """A publication: the rows first, the lock last."""
    first = await held_run(storage, for_=OVERDUE)
    with pytest.raises(LeaseLostError):  # noqa: PT012 - the whole block is the matter
        async with storage.transaction() as late:
            run = await late.runs.find(first.run)
            assert run is not None
            ref = await a_record(late, run)
            async with storage.transaction() as tx:
                assert await tx.runs.claim(OTHER, LONG) is not None
            await late.runs.lock(first)
    async with storage.reading() as tx:
        assert await tx.records.find(ref) is None


async def test_a_lease_that_is_overdue_but_not_taken_over_can_be_renewed(storage: PostgresStorage) -> None:
    lease = await held_run(storage, for_=OVERDUE)
    async with storage.transaction() as tx:
        await tx.runs.renew(lease, LONG)
    async with storage.transaction() as tx:
        assert await tx.runs.claim(OTHER, LONG) is None
        await tx.runs.lock(lease)


async def test_a_released_run_can_be_claimed_at_once_and_not_be_written_any_more(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    lease = await held_run(storage)
    with doorbell.subscription(RUN_QUEUE) as bell:
        async with storage.transaction() as tx:
            await tx.runs.release(lease)
        assert await bell.wait(at_most=NOT_NOW)
    async with storage.transaction() as tx:
        with pytest.raises(LeaseLostError):
            await tx.runs.renew(lease, LONG)
        with pytest.raises(LeaseLostError):
            await tx.runs.lock(lease)
        taken = await tx.runs.claim(OTHER, LONG)
    assert taken == RunLease(run=lease.run, worker=OTHER, epoch=lease.epoch + 1)


async def waiting_run(storage: PostgresStorage, *, for_: timedelta) -> RunLease:
    """A run that is RUNNING, and was let go until later; the lease it was let go with."""
    lease = await held_run(storage)
    async with storage.transaction() as tx:
        await tx.runs.save((await tx.runs.lock(lease)).started(at=await tx.now()))
        await tx.runs.release(lease, not_before=await tx.now() + for_)
    return lease


async def test_a_run_that_waits_for_its_time_is_nobodys_before_and_anybodys_then(
    storage: PostgresStorage,
) -> None:
    await waiting_run(storage, for_=LONG)
    async with storage.transaction() as tx:
        assert await tx.runs.claim(OTHER, LONG) is None
    due = await waiting_run(storage, for_=OVERDUE)
    async with storage.transaction() as tx:
        taken = await tx.runs.claim(OTHER, LONG)
    assert taken is not None
    assert taken.run == due.run


async def test_a_run_that_waits_for_its_time_is_taken_up_at_once_when_somebody_changes_it(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    lease = await waiting_run(storage, for_=LONG)
    with doorbell.subscription(RUN_QUEUE) as bell:
        async with storage.transaction() as tx:
            run = await tx.runs.lock_unleased(lease.run)
            assert run is not None
            await tx.runs.save(run.cancelling())
        assert await bell.wait(at_most=NOT_NOW)
    async with storage.transaction() as tx:
        taken = await tx.runs.claim(OTHER, LONG)
    assert taken is not None
    assert taken.run == lease.run


async def test_a_run_whose_row_is_locked_is_left_to_whoever_has_it(storage: PostgresStorage) -> None:
    lease = await held_run(storage, for_=OVERDUE)
    async with storage.transaction() as publishing:
        await publishing.runs.lock(lease)
        async with storage.transaction() as tx:
            assert await tx.runs.claim(OTHER, LONG) is None


async def test_whoever_waited_for_a_run_sees_what_the_other_wrote(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    lease = await held_run(storage)

    async def cancel() -> Run | None:
        async with storage.transaction() as tx:
            return await tx.runs.lock_unleased(lease.run)

    async with storage.transaction() as tx:
        run = (await tx.runs.lock(lease)).started(at=await tx.now())
        cancelling = asyncio.create_task(cancel())
        await until_somebody_waits(connection)
        execution = run.execution("summary").model_copy(update={"attempt": 1})
        await tx.runs.save(run.with_execution(execution))
    seen = await cancelling
    assert seen is not None
    assert seen.state is RunState.RUNNING
    assert seen.execution("summary").attempt == 1
