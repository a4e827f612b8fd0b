import asyncio
from datetime import UTC, datetime, timedelta
from itertools import product

import asyncpg
import pytest

from osa_grpc.application.ports import RUN_QUEUE, run_bell
from osa_grpc.application.storage_ports import ListQuery, PageRequest, WorkerId
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.hook import OciLimits
from osa_grpc.domain.names import RecordRef, RunId, new_id
from osa_grpc.domain.run import (
    RUN_TRANSITIONS,
    HookExecutionState,
    HookProgress,
    IllegalTransitionError,
    Provenance,
    Run,
    RunState,
    Verdict,
)
from osa_grpc.domain.run_event import (
    CancelRequested,
    HookFinished,
    HookProgressed,
    HookRetrying,
    HookStarted,
    RecordPublished,
    RunEventKind,
    RunFinished,
    RunStarted,
)
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import (
    LONG,
    ONE,
    a_run,
    a_run_that_is,
    stepped,
)

NOT_NOW = timedelta(0)

OOM = Failure(kind=FailureKind.OOM, message="killed at 2 GiB", retryable=True)

EVENTS: list[RunEventKind] = [
    RunStarted(),
    HookStarted(hook="summary", attempt=1, image_id="sha256:ab"),
    HookProgressed(
        hook="summary",
        attempt=1,
        progress=HookProgress(step="parse", status="ok", message="½ done"),
        dropped_count=3,
    ),
    HookRetrying(hook="summary", attempt=2, cause=OOM, retry_delay=timedelta(seconds=1, microseconds=1)),
    HookFinished(
        hook="summary",
        attempt=2,
        verdict=Verdict.FAILED,
        failure=OOM,
        row_count=2,
        duration=timedelta(milliseconds=1234),
    ),
    CancelRequested(),
    RecordPublished(record=RecordRef(id=new_id())),
    RunFinished(state=RunState.FAILED, failure=OOM),
]


async def test_a_run_is_read_as_it_was_stored(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        stored = await a_run(tx)
    async with storage.reading() as tx:
        found = await tx.runs.find(stored.id)
    assert found == stored
    assert stored.state is RunState.PENDING
    assert [e.hook for e in stored.executions] == ["summary", "chains"]


async def test_executions_are_read_as_they_were_saved(storage: PostgresStorage) -> None:
    at = datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)
    async with storage.transaction() as tx:
        run = (await a_run(tx)).started(at=at)
        execution = run.execution("chains").model_copy(
            update={
                "attempt": 2,
                "state": HookExecutionState.FINISHED,
                "verdict": Verdict.FAILED,
                "rejection_reason": "no",
                "failure": OOM,
                "progress": HookProgress(step="a", status="b", message="c"),
                "log_bytes": 2**40,
                "row_count": 7,
                "created_at": at,
                "started_at": at,
                "ended_at": at,
                "provenance": Provenance(image="i", digest="d", limits=OciLimits(cpu="0.5"), engine="e"),
            }
        )
        run = run.with_execution(execution)
        await tx.runs.save(run)
    async with storage.reading() as tx:
        assert await tx.runs.find(run.id) == run


async def test_a_run_that_is_not_there_is_neither_found_nor_locked(storage: PostgresStorage) -> None:
    nowhere = RunId(new_id())
    async with storage.transaction() as tx:
        assert await tx.runs.find(nowhere) is None
        assert await tx.runs.lock_unleased(nowhere) is None
        assert await tx.runs.events_after(nowhere, 0, limit=10) is None


async def test_each_run_is_claimed_by_one_of_many_workers(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        runs = {(await a_run(tx)).id for _ in range(40)}

    async def work(worker: WorkerId) -> list[RunId]:
        claimed: list[RunId] = []
        while True:
            async with storage.transaction() as tx:
                lease = await tx.runs.claim(worker, LONG)
            if lease is None:
                return claimed
            claimed.append(lease.run)

    claims = await asyncio.gather(*(work(WorkerId(f"worker {n}")) for n in range(8)))
    claimed = [run for worker in claims for run in worker]
    assert len(claimed) == len(runs)
    assert set(claimed) == runs


async def test_the_oldest_run_is_claimed_first(storage: PostgresStorage) -> None:
    runs = []
    for _ in range(3):
        async with storage.transaction() as tx:
            runs.append((await a_run(tx)).id)
    async with storage.transaction() as tx:
        leases = [await tx.runs.claim(ONE, LONG) for _ in runs]
        assert [lease.run for lease in leases if lease] == runs
        assert await tx.runs.claim(ONE, LONG) is None


async def test_a_run_is_claimed_until_it_is_over_but_while_it_waits_for_a_person(
    storage: PostgresStorage,
) -> None:
    async with storage.transaction() as tx:
        for state in RunState:
            await a_run_that_is(tx, state)
            expected_none = state.is_terminal or state is RunState.AWAITING_REVIEW
            assert (await tx.runs.claim(ONE, LONG) is None) is expected_none


async def test_every_transition_is_refused_but_those_of_the_state_machine(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        for before, after in product(RunState, RunState):
            run = await a_run_that_is(tx, before)
            may_follow = after in RUN_TRANSITIONS[before]
            if may_follow:
                await tx.runs.save(await stepped(tx, run, after))
            elif after is before and not before.is_terminal:
                await tx.runs.save(run)
            else:
                with pytest.raises(IllegalTransitionError, match=f"{before} cannot become {after}"):
                    await tx.runs.save(run.model_copy(update={"state": after}))
            stored = await tx.runs.find(run.id)
            assert stored is not None
            assert stored.state is (after if may_follow else before)


@pytest.mark.parametrize(
    "change",
    [
        "state = 'RUNNING', record_id = NULL, record_version = NULL",
        "rejection_reason = 'another'",
        """failure = '{"kind": "OOM"}'""",
        "ended_at = now() + interval '1 day'",
        """review = '{"decision": "APPROVE"}'""",
    ],
)
async def test_the_database_itself_refuses_to_change_an_end(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]", change: str
) -> None:
    for end in (state for state in RunState if state.is_terminal):
        async with storage.transaction() as tx:
            run = await a_run_that_is(tx, end)
        with pytest.raises(asyncpg.CheckViolationError, match="a terminal state never changes"):
            await connection.execute(f"UPDATE osa.run SET {change} WHERE id = '{run.id}'")
        await connection.execute(f"UPDATE osa.run SET epoch = epoch + 1 WHERE id = '{run.id}'")


async def test_events_are_read_as_they_were_appended(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        run = await a_run(tx)
        assert await tx.runs.append(run.id, EVENTS[:3]) == 3
        assert await tx.runs.append(run.id, []) == 3
        assert await tx.runs.append(run.id, EVENTS[3:]) == len(EVENTS)
    async with storage.reading() as tx:
        history = await tx.runs.events_after(run.id, 0, limit=100)
        some = await tx.runs.events_after(run.id, 2, limit=3)
    assert history is not None
    assert [event.body for event in history.events] == EVENTS
    assert [event.sequence for event in history.events] == list(range(1, len(EVENTS) + 1))
    times = [event.occurred_at for event in history.events]
    assert times == sorted(times)
    assert some is not None
    assert [event.sequence for event in some.events] == [3, 4, 5]
    assert some.last_sequence == len(EVENTS)


async def test_times_follow_sequences_also_for_a_transaction_that_began_earlier(
    storage: PostgresStorage,
) -> None:
    async with storage.transaction() as tx:
        run = (await a_run(tx)).id
    async with storage.transaction() as early:
        await early.now()
        async with storage.transaction() as late:
            await late.runs.lock_unleased(run)
            await late.runs.append(run, [RunStarted()])
        await early.runs.lock_unleased(run)
        await early.runs.append(run, [RunStarted()])
        history = await early.runs.events_after(run, 0, limit=10)
    assert history is not None
    first, second = history.events
    assert first.occurred_at < second.occurred_at


async def test_a_history_is_complete_when_the_run_is_over_and_nothing_is_left(
    storage: PostgresStorage,
) -> None:
    async with storage.transaction() as tx:
        run = await a_run_that_is(tx, RunState.RUNNING)
        await tx.runs.append(run.id, [RunStarted()])
        going = await tx.runs.events_after(run.id, 0, limit=10)
        assert going is not None
        assert not going.is_complete
        await tx.runs.save(run.failed(failure=OOM, at=await tx.now()))
        await tx.runs.append(run.id, [RunFinished(state=RunState.FAILED, failure=OOM)])
        for after, limit, events, is_complete in [
            (0, 10, 2, True),
            (0, 1, 1, False),
            (1, 10, 1, True),
            (2, 10, 0, True),
        ]:
            history = await tx.runs.events_after(run.id, after, limit=limit)
            assert history is not None
            assert (len(history.events), history.is_complete) == (events, is_complete)


async def test_concurrent_writers_leave_no_gap_and_a_reader_misses_nothing(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        run = (await a_run(tx)).id
    writers, rounds = 8, 10

    async def write(name: str) -> None:
        for n in range(rounds):
            async with storage.transaction() as tx:
                await tx.runs.lock_unleased(run)
                events = [HookStarted(hook="summary", attempt=n, image_id=name) for _ in range(1 + n % 3)]
                await tx.runs.append(run, events)

    async def follow(total: int) -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        while len(seen) < total:
            async with storage.reading() as tx:
                history = await tx.runs.events_after(run, seen[-1][0] if seen else 0, limit=7)
            assert history is not None
            seen += [(e.sequence, e.body.image_id) for e in history.events if isinstance(e.body, HookStarted)]
        return seen

    total = writers * sum(1 + n % 3 for n in range(rounds))
    following = asyncio.create_task(follow(total))
    await asyncio.gather(*(write(f"w{n}") for n in range(writers)))
    seen = await following
    assert [sequence for sequence, _ in seen] == list(range(1, total + 1))


async def test_events_ring_the_run_at_commit_and_not_before(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    async with storage.transaction() as tx:
        run = await a_run(tx)
    with doorbell.subscription(run_bell(run.id)) as bell:
        async with storage.transaction() as tx:
            await tx.runs.lock_unleased(run.id)
            await tx.runs.append(run.id, EVENTS)
            assert not await bell.wait(at_most=NOT_NOW)
        assert await bell.wait(at_most=NOT_NOW)


async def test_a_transaction_that_is_undone_leaves_no_event_and_rings_nobody(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    async with storage.transaction() as tx:
        run = await a_run(tx)
    with doorbell.subscription(run_bell(run.id)) as bell:
        with pytest.raises(KeyError):  # noqa: PT012 - the whole block is the matter
            async with storage.transaction() as tx:
                await tx.runs.lock_unleased(run.id)
                await tx.runs.append(run.id, EVENTS)
                raise KeyError
        assert not await bell.wait(at_most=NOT_NOW)
    async with storage.transaction() as tx:
        await tx.runs.lock_unleased(run.id)
        assert await tx.runs.append(run.id, [RunStarted()]) == 1


async def test_a_transaction_notifies_each_bell_once(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    heard: list[object] = []
    over = asyncio.Event()

    def hear(*arguments: object) -> None:
        heard.append(arguments[-1])
        if arguments[-1] == "over":
            over.set()

    await connection.add_listener("osa_grpc", hear)
    async with storage.transaction() as tx:
        run = (await a_run(tx)).id
        for _ in range(20):
            await tx.runs.append(run, EVENTS)
    await connection.execute("SELECT pg_notify('osa_grpc', 'over')")
    await over.wait()
    keys = [str(payload).partition("\t")[0] for payload in heard]
    assert sorted(keys) == sorted([RUN_QUEUE, run, "over"])


async def test_a_new_run_and_a_cancelled_one_ring_the_workers(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    with doorbell.subscription(RUN_QUEUE) as bell:
        async with storage.transaction() as tx:
            run = await a_run_that_is(tx, RunState.RUNNING)
        assert await bell.wait(at_most=NOT_NOW)
        bell.clear()
        async with storage.transaction() as tx:
            await tx.runs.lock_unleased(run.id)
            await tx.runs.save(run)
        assert not await bell.wait(at_most=NOT_NOW)
        async with storage.transaction() as tx:
            await tx.runs.lock_unleased(run.id)
            await tx.runs.save(run.cancelling())
        assert await bell.wait(at_most=NOT_NOW)


async def test_pages_list_every_run_once_the_newest_first(storage: PostgresStorage) -> None:
    stored = []
    for _ in range(2):
        async with storage.transaction() as tx:
            stored += [await a_run(tx) for _ in range(3)]
    seen: list[Run] = []
    page = PageRequest(size=4)
    async with storage.reading() as tx:
        while True:
            listed = await tx.runs.list(ListQuery(page=page))
            seen += listed.items
            if listed.after is None:
                break
            page = PageRequest(size=4, after=listed.after)
    assert seen == sorted(stored, key=lambda run: (run.created_at, run.id), reverse=True)
