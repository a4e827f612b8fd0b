"""Publication against the real database: everything at once, once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import pytest

from osa_grpc.application.ports import HookOutputs
from osa_grpc.application.publication import PassedHook, RowStream, publish
from osa_grpc.application.run_control import review_run
from osa_grpc.application.storage_ports import ListQuery, PageRequest, RunLease, Transaction, WorkerId
from osa_grpc.domain.deposition import DepositionState
from osa_grpc.domain.errors import BadOutput, BadOutputError, LeaseLostError
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.run import ReviewDecision, Ruling, Run, RunState
from osa_grpc.domain.run_event import RecordPublished, RunFinished
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import LONG, ONE, OTHER, OVERDUE, a_run_that_is, hook, until_somebody_waits

AUTHORITY = SrnAuthority(domain="example.org")
HOOKS = (hook("summary"), hook("chains"))
NO_OUTPUTS = cast("HookOutputs", None)  # the rows are given below


async def score(
    _outputs: HookOutputs, _hook: HookDefinition, _subject: str
) -> AsyncIterator[tuple[Any, ...]]:
    yield (1.5,)


async def chains_are_bad(
    _outputs: HookOutputs, hook: HookDefinition, _subject: str
) -> AsyncIterator[tuple[Any, ...]]:
    yield (1.5,)
    if hook.name == "chains":
        raise BadOutputError(BadOutput(file="features.json", message="a row too many"))


async def publishing(storage: PostgresStorage, worker: WorkerId = ONE) -> RunLease:
    """A run whose hooks have passed, held under a lease that anybody may take over."""
    async with storage.transaction() as tx:
        for definition in HOOKS:
            await tx.feature_tables.create_table(definition)
        run = await a_run_that_is(tx, RunState.PUBLISHING)
        draft = await tx.depositions.find(run.source.deposition)
        assert draft is not None
        await tx.depositions.save(
            draft.model_copy(update={"state": DepositionState.SUBMITTED, "run": run.id})
        )
    async with storage.transaction() as tx:
        lease = await tx.runs.claim(worker, OVERDUE)
    assert lease is not None
    return lease


async def published(tx: Transaction, lease: RunLease, rows: RowStream = score) -> None:
    run = await tx.runs.find(lease.run)
    assert run is not None
    passed = [PassedHook(hook=h, execution=run.execution(h.name).id, outputs=NO_OUTPUTS) for h in HOOKS]
    await publish(tx, lease, passed, authority=AUTHORITY, rows=rows)


async def counts(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[int, ...]:
    """How many records, rows of each hook and events of the run there are."""
    row = await connection.fetchrow(
        """
        SELECT (SELECT count(*) FROM osa.record), (SELECT count(*) FROM features.summary),
               (SELECT count(*) FROM features.chains), (SELECT count(*) FROM osa.run_event)
        """
    )
    assert row is not None
    return tuple(row)


async def test_record_rows_and_the_end_are_visible_together(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    lease = await publishing(storage)
    async with storage.transaction() as tx:
        await published(tx, lease)
        assert await counts(connection) == (0, 0, 0, 0)
    assert await counts(connection) == (1, 1, 1, 2)
    async with storage.reading() as tx:
        run = await tx.runs.find(lease.run)
        assert run is not None
        [record] = (await tx.records.list(ListQuery(page=PageRequest(size=2)))).items
        assert (run.state, run.record) == (RunState.COMPLETED, record.ref)
        deposition = await tx.depositions.find(record.deposition)
        assert deposition is not None
        assert (deposition.state, deposition.record) == (DepositionState.PUBLISHED, record.ref)
        history = await tx.runs.events_after(lease.run, 0, limit=10)
        assert history is not None
        assert history.is_complete
        assert [event.body for event in history.events] == [
            RecordPublished(record=record.ref),
            RunFinished(state=RunState.COMPLETED, record=record.ref),
        ]


async def test_a_run_that_is_approved_while_its_worker_lets_it_go_is_left_to_be_taken_up_anew(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with storage.transaction() as tx:
        run = await a_run_that_is(tx, RunState.RUNNING)
    async with storage.transaction() as tx:
        lease = await tx.runs.claim(ONE, LONG)
        assert lease is not None
        await tx.runs.save((await tx.runs.lock(lease)).awaiting_review())

    async def publish_it() -> Run:
        async with storage.transaction() as tx:
            return await publish(tx, lease, [], authority=AUTHORITY, rows=score)

    async with storage.transaction() as tx:
        await review_run(tx, run.id, Ruling(decision=ReviewDecision.APPROVE))
        publishing = asyncio.create_task(publish_it())
        await until_somebody_waits(connection)
    assert (await publishing).state is RunState.AWAITING_REVIEW
    async with storage.transaction() as tx:
        await tx.runs.release(lease)
        again = await tx.runs.claim(OTHER, LONG)
    assert again is not None
    async with storage.transaction() as tx:
        over = await publish(tx, again, [], authority=AUTHORITY, rows=score)
    assert over.state is RunState.COMPLETED


async def test_tables_of_others_are_made_while_rows_are_copied(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    lease = await publishing(storage)

    async def score_meanwhile(
        _outputs: HookOutputs, _hook: HookDefinition, _subject: str
    ) -> AsyncIterator[tuple[Any, ...]]:
        async with storage.transaction() as other:
            await other.feature_tables.create_table(hook("another"))
        yield (1.5,)

    async with asyncio.timeout(20), storage.transaction() as tx:
        await published(tx, lease, score_meanwhile)
    assert await counts(connection) == (1, 1, 1, 2)


async def test_when_a_second_hooks_rows_fail_nothing_is_there_and_a_second_try_makes_it_once(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    lease = await publishing(storage)
    with pytest.raises(BadOutputError):
        async with storage.transaction() as tx:
            await published(tx, lease, chains_are_bad)
    assert await counts(connection) == (0, 0, 0, 0)
    async with storage.transaction() as tx:
        await published(tx, lease)
    assert await counts(connection) == (1, 1, 1, 2)


async def test_a_publisher_that_was_taken_over_writes_nothing(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    late = await publishing(storage)
    async with storage.transaction() as tx:
        current = await tx.runs.claim(OTHER, LONG)
    assert current is not None
    with pytest.raises(LeaseLostError):
        async with storage.transaction() as tx:
            await published(tx, late)
    assert await counts(connection) == (0, 0, 0, 0)
    async with storage.transaction() as tx:
        await published(tx, current)
    assert await counts(connection) == (1, 1, 1, 2)
    with pytest.raises(LeaseLostError):
        async with storage.transaction() as tx:
            await published(tx, late)
    assert await counts(connection) == (1, 1, 1, 2)


async def test_two_workers_that_publish_at_once_publish_once(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """One was taken over in the middle of its COPY; the other publishes without waiting for it."""
    late = await publishing(storage)
    half_way, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: Any) -> AsyncIterator[tuple[object, ...]]:
        half_way.set()
        await may_go_on.wait()
        async for row in score(*arguments):
            yield row

    async def one() -> None:
        async with storage.transaction() as tx:
            await published(tx, late, slowly)

    async def other() -> None:
        async with storage.transaction() as tx:
            current = await tx.runs.claim(OTHER, LONG)
        assert current is not None
        async with storage.transaction() as tx:
            await published(tx, current)

    first = asyncio.create_task(one())
    await half_way.wait()
    await other()
    may_go_on.set()
    with pytest.raises(LeaseLostError):
        await first
    assert await counts(connection) == (1, 1, 1, 2)
