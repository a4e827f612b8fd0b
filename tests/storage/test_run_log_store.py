from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osa_grpc.application.ports import run_bell
from osa_grpc.application.storage_ports import LogState, RunLease, Transaction
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.names import ExecutionId
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import LONG, ONE, OTHER, a_run, held_run

NOT_NOW = timedelta(0)


async def an_execution(tx: Transaction) -> tuple[RunLease, ExecutionId]:
    """An execution of a run that is held."""
    run = await a_run(tx)
    lease = await tx.runs.claim(ONE, LONG)
    assert lease is not None
    assert lease.run == run.id
    return lease, run.execution("summary").id


async def test_an_attempt_that_never_was_has_no_log(storage: PostgresStorage) -> None:
    async with storage.reading() as tx:
        assert await tx.run_logs.state(ExecutionId(uuid4()), 1) is None
        assert await tx.run_logs.read(ExecutionId(uuid4()), 1, 0, limit=10) == b""


async def test_a_log_grows_at_its_end_and_attempts_have_their_own(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        lease, execution = await an_execution(tx)
        await tx.run_logs.append(lease, execution, 1, 0, b"one\n")
        await tx.run_logs.append(lease, execution, 1, 4, b"\xff\x00two")
        await tx.run_logs.append(lease, execution, 2, 0, b"again")
    async with storage.reading() as tx:
        assert await tx.run_logs.read(execution, 1, 0, limit=100) == b"one\n\xff\x00two"
        assert await tx.run_logs.read(execution, 2, 0, limit=100) == b"again"
        assert await tx.run_logs.state(execution, 1) == LogState(
            size_bytes=9, is_closed=False, is_truncated=False
        )


async def test_bytes_that_are_there_are_not_added_twice(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        lease, execution = await an_execution(tx)
        for _ in range(2):
            await tx.run_logs.append(lease, execution, 1, 0, b"one")
        await tx.run_logs.append(lease, execution, 1, 3, b"two")
        await tx.run_logs.append(lease, execution, 1, 0, b"one")
        assert await tx.run_logs.read(execution, 1, 0, limit=100) == b"onetwo"


async def test_a_gap_is_refused(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        lease, execution = await an_execution(tx)
        with pytest.raises(ValueError, match="has not come to 1 bytes"):
            await tx.run_logs.append(lease, execution, 1, 1, b"late")
        await tx.run_logs.append(lease, execution, 1, 0, b"one")
        with pytest.raises(ValueError, match="has not come to 4 bytes"):
            await tx.run_logs.append(lease, execution, 1, 4, b"late")


async def test_a_closed_log_takes_no_more(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        lease, execution = await an_execution(tx)
        await tx.run_logs.append(lease, execution, 1, 0, b"one")
        await tx.run_logs.close(execution, 1, is_truncated=True)
        await tx.run_logs.close(execution, 1, is_truncated=False)
        await tx.run_logs.append(lease, execution, 1, 0, b"one")
        with pytest.raises(LeaseLostError):
            await tx.run_logs.append(lease, execution, 1, 3, b"late")
        assert await tx.run_logs.state(execution, 1) == LogState(
            size_bytes=3, is_closed=True, is_truncated=True
        )


async def test_a_log_takes_nothing_of_a_worker_that_lost_the_run(storage: PostgresStorage) -> None:
    lost = await held_run(storage, for_=NOT_NOW)
    async with storage.transaction() as tx:
        lease = await tx.runs.claim(OTHER, LONG)
        run = await tx.runs.find(lost.run)
    assert lease is not None
    assert run is not None
    execution = run.execution("summary").id
    async with storage.transaction() as tx:
        await tx.run_logs.append(lease, execution, 1, 0, b"one")
    for offset, data in ((0, b"one"), (3, b"late")):
        with pytest.raises(LeaseLostError):
            async with storage.transaction() as tx:
                await tx.run_logs.append(lost, execution, 1, offset, data)
    with pytest.raises(LeaseLostError):
        async with storage.transaction() as tx:
            await tx.run_logs.mark_gap(lost, execution, 1)
    async with storage.reading() as tx:
        assert await tx.run_logs.state(execution, 1) == LogState(
            size_bytes=3, is_closed=False, is_truncated=False
        )


async def test_whoever_claims_a_run_waits_for_bytes_that_are_being_added(storage: PostgresStorage) -> None:
    lease = await held_run(storage, for_=NOT_NOW)
    async with storage.transaction() as tx:
        run = await tx.runs.find(lease.run)
        assert run is not None
        await tx.run_logs.append(lease, run.execution("summary").id, 1, 0, b"one")
        async with storage.transaction() as other:
            assert await other.runs.claim(OTHER, LONG) is None
    async with storage.transaction() as tx:
        assert await tx.runs.claim(OTHER, LONG) is not None


async def test_a_place_where_bytes_may_be_missing_is_marked_once(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        lease, execution = await an_execution(tx)
        await tx.run_logs.mark_gap(lease, execution, 1)
        await tx.run_logs.append(lease, execution, 1, 0, b"one")
        for _ in range(2):
            await tx.run_logs.mark_gap(lease, execution, 1)
        await tx.run_logs.append(lease, execution, 1, 3, b"two")
        assert await tx.run_logs.state(execution, 1) == LogState(
            size_bytes=6, is_closed=False, is_truncated=False, gap_offsets=(0, 3)
        )


async def test_an_attempt_that_wrote_nothing_has_an_empty_log_once_it_is_closed(
    storage: PostgresStorage,
) -> None:
    async with storage.transaction() as tx:
        _, execution = await an_execution(tx)
        await tx.run_logs.close(execution, 1, is_truncated=False)
        assert await tx.run_logs.state(execution, 1) == LogState(
            size_bytes=0, is_closed=True, is_truncated=False
        )


async def test_followers_are_rung_by_bytes_and_by_the_end(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    async with storage.transaction() as tx:
        lease, execution = await an_execution(tx)
    with doorbell.subscription(run_bell(lease.run)) as bell:
        async with storage.transaction() as tx:
            await tx.run_logs.append(lease, execution, 1, 0, b"one")
        assert await bell.wait(at_most=NOT_NOW)
        bell.clear()
        async with storage.transaction() as tx:
            await tx.run_logs.close(execution, 1, is_truncated=False)
        assert await bell.wait(at_most=NOT_NOW)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=20), max_size=12),
    reads=st.lists(
        st.tuples(st.integers(min_value=0, max_value=260), st.integers(min_value=1, max_value=300))
    ),
)
async def test_any_part_of_a_log_is_read_exactly(
    storage: PostgresStorage, chunks: list[bytes], reads: list[tuple[int, int]]
) -> None:
    whole = b"".join(chunks)
    async with storage.transaction() as tx:
        lease, execution = await an_execution(tx)
        offset = 0
        for chunk in chunks:
            await tx.run_logs.append(lease, execution, 1, offset, chunk)
            offset += len(chunk)
        for start, limit in reads:
            assert await tx.run_logs.read(execution, 1, start, limit=limit) == whole[start : start + limit]
