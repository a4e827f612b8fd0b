"""Any commands of users and workers at the same moment, against the real database: what must hold afterwards, holds.

Users submit, cancel, review and retry; workers claim, take each step of a run under a lease of any age, and crash (a lease is
overdue at once, or is never let go). Several of them act at once, each in a transaction of its own.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, TypeVar, cast

import asyncpg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from osa_grpc.application import run_steps
from osa_grpc.application.depositing import submit
from osa_grpc.application.ports import HookOutputs
from osa_grpc.application.publication import PassedHook, publish
from osa_grpc.application.run_control import request_cancel, retry_run, review_run
from osa_grpc.application.storage_ports import RunLease, Transaction, WorkerId
from osa_grpc.domain.convention import ConventionDefinition, FileRequirements, ReviewMode
from osa_grpc.domain.deposition import DepositionState
from osa_grpc.domain.errors import LeaseLostError, PreconditionError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.names import ConventionRef, DepositionId, RunId, new_id
from osa_grpc.domain.run import ReviewDecision, Ruling, Run, RunState
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.storage.database import Database
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import LONG, OVERDUE, hook

T = TypeVar("T")

AUTHORITY = SrnAuthority(domain="example.org")
SUMMARY = hook("summary")
CONVENTIONS = [
    ConventionDefinition(
        ref=ConventionRef(id=review.value.lower(), version="1.0.0"),
        title="Commands",
        file_requirements=FileRequirements(min_count=0),
        hooks=(SUMMARY,),
        review=review,
    )
    for review in ReviewMode
]
BROKEN = Failure(kind=FailureKind.HOOK_EXIT, message="it ended with exit code 3")


@dataclass(frozen=True)
class Submit:
    """Submit one of the depositions."""

    deposition: int


@dataclass(frozen=True)
class Cancel:
    """Cancel one of the runs; so below."""

    run: int


@dataclass(frozen=True)
class ReviewIt:
    run: int
    decision: ReviewDecision


@dataclass(frozen=True)
class Retry:
    run: int


@dataclass(frozen=True)
class Claim:
    """A worker claims whatever there is, for `duration`."""

    duration: timedelta


@dataclass(frozen=True)
class Step:
    """A worker takes the next step under one of the leases, of whatever age; a hook passes, or not."""

    lease: int
    passes: bool


@dataclass(frozen=True)
class Work:
    """A worker claims whatever there is, takes some steps, and crashes, unless it comes to let go."""

    steps: int
    passes: bool


@dataclass(frozen=True)
class Release:
    lease: int


Command = Submit | Cancel | ReviewIt | Retry | Claim | Step | Work | Release
WHICH = st.integers(0, 7)
NEWEST = WHICH.map(lambda back: -1 - back)
PASSES = st.sampled_from([True, True, True, False])
COMMANDS: st.SearchStrategy[Command] = st.sampled_from(
    [
        *[st.builds(Work, st.integers(1, 4), PASSES)] * 6,
        *[st.builds(Submit, WHICH)] * 5,
        *[st.builds(ReviewIt, NEWEST, st.sampled_from(ReviewDecision))] * 3,
        *[st.builds(Step, NEWEST, PASSES)] * 3,
        *[st.builds(Claim, st.sampled_from([*[OVERDUE] * 5, LONG]))] * 2,
        st.builds(Retry, NEWEST),
        st.builds(Cancel, NEWEST),
        st.builds(Release, NEWEST),
    ]
).flatmap(lambda command: command)


class Commands(RuleBasedStateMachine):
    """Eight depositions, and all runs that come of them."""

    loop: ClassVar[asyncio.Runner]
    storage: ClassVar[PostgresStorage]
    dsn: ClassVar[str]
    outcomes: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.depositions = self.loop.run(self._make_depositions())
        self.runs: list[RunId] = []
        self.leases: list[RunLease] = []
        self.ends: dict[RunId, Run] = {}

    async def _make_depositions(self) -> list[DepositionId]:
        async with self.storage.transaction() as tx:
            return [
                (await tx.depositions.insert(DepositionId(new_id()), one.ref, {})).id
                for one in CONVENTIONS * 4
            ]

    @rule(commands=st.lists(COMMANDS, min_size=1, max_size=4))
    def at_the_same_moment(self, commands: list[Command]) -> None:
        self.loop.run(self._do_all(commands))

    async def _do_all(self, commands: Sequence[Command]) -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*(self._do(command) for command in commands))

    async def _do(self, command: Command) -> None:
        try:
            outcome = await self._act(command)
        except (PreconditionError, LeaseLostError) as error:
            outcome = error.reason if isinstance(error, PreconditionError) else "LEASE_LOST"
        self.outcomes[f"{type(command).__name__} {outcome}"] += 1

    async def _act(self, command: Command) -> str:
        match command:
            case Submit(deposition):
                return await self._submit(self.depositions[deposition % len(self.depositions)])
            case Claim(duration):
                return await self._claim(duration)
            case Step(lease, passes) if self.leases:
                return await self._step(self.leases[lease % len(self.leases)], passes=passes)
            case Work(steps, passes):
                return await self._work(steps, passes=passes)
            case Release(lease) if self.leases:
                released = self.leases[lease % len(self.leases)]
                await self._within(lambda tx: tx.runs.release(released))
                return "done"
            case Cancel(run) | ReviewIt(run) | Retry(run) if self.runs:
                return await self._ask(command, self.runs[run % len(self.runs)])
            case _:
                return "nothing to do"

    async def _submit(self, deposition: DepositionId) -> str:
        run = await self._within(lambda tx: submit(tx, deposition, etag=""))
        self.runs.append(run.id)
        return "done"

    async def _ask(self, command: Cancel | ReviewIt | Retry, run: RunId) -> str:
        match command:
            case Cancel():
                return (await self._within(lambda tx: request_cancel(tx, run))).state
            case ReviewIt(decision=decision):
                ruling = Ruling(decision=decision, reason="why")
                return (await self._within(lambda tx: review_run(tx, run, ruling))).state
            case Retry():
                new = await self._within(lambda tx: retry_run(tx, run))
                self.runs.append(new.id)
                return "done"

    async def _claim(self, duration: timedelta) -> str:
        return "nothing" if await self._claimed(duration) is None else "done"

    async def _claimed(self, duration: timedelta) -> RunLease | None:
        worker = WorkerId(f"worker {len(self.leases)}")
        lease = await self._within(lambda tx: tx.runs.claim(worker, duration))
        if lease is not None:
            self.leases.append(lease)
        return lease

    async def _work(self, steps: int, *, passes: bool) -> str:
        lease = await self._claimed(OVERDUE)
        if lease is None:
            return "nothing"
        for _ in range(steps):
            state = await self._step(lease, passes=passes)
            if state == "nothing to do":
                await self._within(lambda tx: tx.runs.release(lease))
                return "let go"
        return "crashed"

    async def _step(self, lease: RunLease, *, passes: bool) -> str:
        """What a worker does next, as `run_execution` does it, without the containers."""
        run = await self._within(lambda tx: tx.runs.find(lease.run))
        assert run is not None
        review = next(one.review for one in CONVENTIONS if one.ref == run.convention)
        match run.state:
            case RunState.PENDING:
                await self._within(lambda tx: run_steps.take_up(tx, lease, AUTHORITY))
            case RunState.RUNNING if passes:
                await self._within(lambda tx: run_steps.after_hooks(tx, lease, review))
            case RunState.RUNNING:
                await self._within(lambda tx: run_steps.fail(tx, lease, BROKEN))
            case RunState.PUBLISHING:
                await self._within(lambda tx: _published(tx, lease, run))
            case RunState.CANCELLING:
                await self._within(lambda tx: run_steps.cancelled(tx, lease))
            case _:
                return "nothing to do"
        return run.state

    async def _within(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self.storage.transaction() as tx:
            return await work(tx)

    @invariant()
    def what_must_hold_holds(self) -> None:
        self.loop.run(self._check())

    async def _check(self) -> None:
        async with self.storage.reading() as tx:
            runs = [cast("Run", await tx.runs.find(run)) for run in self.runs]
            for run in runs:
                await self._check_run(tx, run)
            for deposition in self.depositions:
                await self._check_deposition(
                    tx, deposition, [run for run in runs if run.source.deposition == deposition]
                )
        self._check_retries(runs)
        await self._check_what_is_visible(runs)

    async def _check_run(self, tx: Transaction, run: Run) -> None:
        assert self.ends.setdefault(run.id, run) == run if run.state.is_terminal else run.id not in self.ends
        history = await tx.runs.events_after(run.id, 0, limit=1000)
        assert history is not None
        assert [event.sequence for event in history.events] == list(range(1, run.last_sequence + 1))
        kinds = Counter(event.body.kind for event in history.events)
        assert kinds["run_finished"] == run.state.is_terminal
        assert kinds["reviewed"] == (run.review is not None)
        assert kinds["record_published"] == (run.state is RunState.COMPLETED)
        assert max(kinds.values(), default=1) == 1
        if run.state.is_terminal:
            assert history.events[-1].body.kind == "run_finished"

    async def _check_deposition(self, tx: Transaction, deposition: DepositionId, runs: Sequence[Run]) -> None:
        found = await tx.depositions.find(deposition)
        assert found is not None
        latest = next((run for run in runs if run.id == found.run), None)
        assert (latest is None) is (not runs)
        assert [run for run in runs if not run.state.is_terminal and run is not latest] == []
        assert [run for run in runs if run.state is RunState.COMPLETED and run is not latest] == []
        if latest is None:
            assert found.state is DepositionState.DRAFT
        elif not latest.state.is_terminal:
            assert (found.state, found.rejection_reason) == (DepositionState.SUBMITTED, None)
        elif latest.state is RunState.COMPLETED:
            assert (found.state, found.record) == (DepositionState.PUBLISHED, latest.record)
        else:
            assert found.state is DepositionState.DRAFT
            assert found.rejection_reason

    @staticmethod
    def _check_retries(runs: Sequence[Run]) -> None:
        by_id = {run.id: run for run in runs}
        retried = [run.retry_of for run in runs if run.retry_of is not None]
        assert len(retried) == len(set(retried))
        for run in runs:
            if run.retry_of is not None:
                before = by_id[run.retry_of]
                assert before.source == run.source
                assert before.state in {RunState.REJECTED, RunState.FAILED, RunState.CANCELLED}

    async def _check_what_is_visible(self, runs: Sequence[Run]) -> None:
        """Rows and records are there exactly for the runs that are COMPLETED; the audit log has each end once."""
        connection = await asyncpg.connect(self.dsn)
        try:
            rows = await connection.fetch("SELECT execution_id, record_srn FROM features.summary")
            records = await connection.fetch("SELECT run_id, id FROM osa.record")
            ends = await connection.fetch(
                "SELECT body->>'run' AS run FROM osa.event WHERE type = 'RunFinished'"
            )
        finally:
            await connection.close()
        published = [run for run in runs if run.state is RunState.COMPLETED]
        assert sorted((row["execution_id"], row["record_srn"]) for row in rows) == sorted(
            (run.execution("summary").id, AUTHORITY.record(run.record)) for run in published if run.record
        )
        assert {(str(row["run_id"]), str(row["id"])) for row in records} == {
            (run.id, run.record.id) for run in published if run.record
        }
        assert sorted(row["run"] for row in ends) == sorted(run.id for run in runs if run.state.is_terminal)

    def teardown(self) -> None:
        """Leave nothing to be claimed by the next example's workers."""

        async def clear() -> None:
            connection = await asyncpg.connect(self.dsn)
            await connection.execute("TRUNCATE osa.deposition, osa.run, osa.record, osa.event CASCADE")
            await connection.close()

        self.loop.run(clear())


async def _score(
    _outputs: HookOutputs, _hook: HookDefinition, _subject: str
) -> AsyncIterator[tuple[Any, ...]]:
    yield (1.5,)


async def _published(tx: Transaction, lease: RunLease, run: Run) -> Run:
    execution = run.execution("summary").id
    passed = [PassedHook(hook=SUMMARY, execution=execution, outputs=cast("HookOutputs", None))]
    return await publish(tx, lease, passed, authority=AUTHORITY, rows=_score)


async def _prepare(database: Database, storage: PostgresStorage) -> None:
    await database.connect()
    async with storage.transaction() as tx:
        await tx.feature_tables.create_table(SUMMARY)
        for one in CONVENTIONS:
            await tx.conventions.insert(one)


def test_whatever_is_commanded_at_once_no_end_changes_and_rows_are_there_exactly_with_it(
    database_dsn: str,
) -> None:
    with asyncio.Runner() as runner:
        database = Database(dsn=database_dsn, max_size=6)

        class Here(Commands):
            loop = runner
            storage = PostgresStorage(database=database, doorbell=Doorbell(dsn=None))
            dsn = database_dsn
            outcomes: ClassVar[Counter[str]] = Counter()

        runner.run(_prepare(database, Here.storage))
        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=15,
                stateful_step_count=25,
                deadline=None,
                phases=[Phase.generate],  # what happens at the same moment does not happen again
                suppress_health_check=list(HealthCheck),
            ),
        )
        runner.run(database.aclose())
    assert Here.outcomes["Work let go"], "no run came to its end"
