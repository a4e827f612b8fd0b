"""Reading a log whose hook outlived its server, from the table."""

from contextlib import aclosing
from datetime import timedelta

from osa_grpc.application.log_following import LogFollowing, as_text
from osa_grpc.application.storage_ports import RunLease
from osa_grpc.domain.names import ExecutionId
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import held_run

Told = list[tuple[int, bytes, bool]]


async def an_attempt(storage: PostgresStorage) -> tuple[RunLease, ExecutionId]:
    """The first attempt of the run's first hook, under way."""
    lease = await held_run(storage)
    async with storage.transaction() as tx:
        run = await tx.runs.lock(lease)
        run = run.started(at=await tx.now())
        execution = run.execution("summary").model_copy(update={"attempt": 1})
        await tx.runs.save(run.with_execution(execution))
    return lease, execution.id


async def read(logs: LogFollowing, lease: RunLease, offset: int = 0) -> Told:
    pieces = logs.read(lease.run, "summary", attempt=1, offset=offset, follow=False)
    return [(p.offset, p.data, p.is_after_gap) async for p in pieces if p.data or p.is_after_gap]


async def test_no_piece_spans_a_gap_and_the_one_after_it_says_so(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    lease, execution = await an_attempt(storage)
    logs = LogFollowing(storage=storage, doorbell=doorbell)
    async with storage.transaction() as tx:
        await tx.run_logs.append(lease, execution, 1, 0, b"one ")
        await tx.run_logs.mark_gap(lease, execution, 1)
    assert await read(logs, lease) == [(0, b"one ", False), (4, b"", True)]
    async with storage.transaction() as tx:
        await tx.run_logs.append(lease, execution, 1, 4, b"two ")
        await tx.run_logs.append(lease, execution, 1, 8, b"three")
    assert await read(logs, lease) == [(0, b"one ", False), (4, b"two three", True)]
    assert await read(logs, lease, offset=2) == [(2, b"e ", False), (4, b"two three", True)]
    assert await read(logs, lease, offset=4) == [(4, b"two three", True)]
    assert await read(logs, lease, offset=5) == [(5, b"wo three", False)]


async def test_a_gap_before_the_first_byte_is_told(storage: PostgresStorage, doorbell: Doorbell) -> None:
    lease, execution = await an_attempt(storage)
    async with storage.transaction() as tx:
        await tx.run_logs.mark_gap(lease, execution, 1)
        await tx.run_logs.append(lease, execution, 1, 0, b"late")
    assert await read(LogFollowing(storage=storage, doorbell=doorbell), lease) == [(0, b"late", True)]


async def test_a_follower_of_a_silent_log_is_shown_that_it_goes_on_and_where(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    lease, execution = await an_attempt(storage)
    async with storage.transaction() as tx:
        await tx.run_logs.append(lease, execution, 1, 0, b"caf\xc3")
    logs = LogFollowing(
        storage=storage,
        doorbell=doorbell,
        poll=timedelta(milliseconds=20),
        longest_silence=timedelta(milliseconds=50),
    )
    pieces = logs.read(lease.run, "summary", attempt=1, offset=0, follow=True)
    async with aclosing(as_text(pieces, lambda piece, text: (piece.offset, piece.data, text))) as told:
        assert await anext(told) == (0, b"caf", "caf")
        assert [await anext(told) for _ in range(2)] == [(3, b"", None)] * 2
        async with storage.transaction() as tx:
            await tx.run_logs.append(lease, execution, 1, 4, b"\xa9")
        while (piece := await anext(told)) == (3, b"", None):
            pass
        assert piece == (3, b"\xc3\xa9", "é")
