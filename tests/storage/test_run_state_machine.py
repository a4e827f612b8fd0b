"""Any sequence of what workers and users may do to a run, against the real database, beside a model of it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import ClassVar, TypeVar

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from osa_grpc.application.run_control import request_cancel, review_run
from osa_grpc.application.storage_ports import RunLease, Transaction, WorkerId
from osa_grpc.domain.errors import LeaseLostError, PreconditionError
from osa_grpc.domain.run import (
    RUN_TRANSITIONS,
    IllegalTransitionError,
    ReviewDecision,
    Ruling,
    Run,
    RunState,
)
from osa_grpc.domain.run_event import Reviewed, RunFinished, RunStarted
from osa_grpc.storage.database import Database
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import LONG, OVERDUE, a_run, stepped

T = TypeVar("T")

WORKERS = st.sampled_from([WorkerId("one"), WorkerId("two"), WorkerId("three")])
DURATIONS = st.sampled_from([LONG, OVERDUE])
RULINGS = st.builds(Ruling, decision=st.sampled_from(ReviewDecision), reason=st.sampled_from(["why", "so"]))
TO_CLAIM = {RunState.PENDING, RunState.RUNNING, RunState.PUBLISHING, RunState.CANCELLING}


class OneRun(RuleBasedStateMachine):
    """One run, three workers who may each hold leases of any age, a user who cancels, and one who reviews."""

    loop: ClassVar[asyncio.Runner]
    storage: ClassVar[PostgresStorage]
    dsn: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.run = self.within(a_run)
        self.sequence = 0
        self.is_finished = False
        self.leases: list[RunLease] = []
        self.holder: RunLease | None = None
        self.is_overdue = True

    def within(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async def transaction() -> T:
            async with self.storage.transaction() as tx:
                return await work(tx)

        return self.loop.run(transaction())

    @rule(worker=WORKERS, duration=DURATIONS)
    def a_worker_claims(self, worker: WorkerId, duration: timedelta) -> None:
        lease = self.within(lambda tx: tx.runs.claim(worker, duration))
        assert (lease is not None) is (self.is_overdue and self.run.state in TO_CLAIM)
        if lease is not None:
            assert all(lease.epoch > before.epoch for before in self.leases)
            self.leases.append(lease)
            self.holder, self.is_overdue = lease, duration == OVERDUE

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), duration=DURATIONS)
    def a_worker_renews_a_lease_of_any_age(self, data: st.DataObject, duration: timedelta) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        if self._is_refused(lease, lambda tx: tx.runs.renew(lease, duration)):
            return
        self.is_overdue = duration == OVERDUE

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def a_worker_releases_a_lease_of_any_age(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.within(lambda tx: tx.runs.release(lease))
        if lease == self.holder:
            self.holder, self.is_overdue = None, True

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), state=st.sampled_from(RunState))
    def a_worker_takes_a_step_under_a_lease_of_any_age(self, data: st.DataObject, state: RunState) -> None:
        lease = data.draw(st.sampled_from(self.leases))

        async def step(tx: Transaction) -> Run:
            run = await tx.runs.lock(lease)
            assert run == self.run
            run = await stepped(tx, run, state)
            await tx.runs.save(run)
            event = RunFinished(state=state) if state.is_terminal else RunStarted()
            assert await tx.runs.append(run.id, [event]) == self.sequence + 1
            return run.model_copy(update={"last_sequence": self.sequence + 1})

        if lease == self.holder and state not in RUN_TRANSITIONS[self.run.state]:
            with contextlib.suppress(IllegalTransitionError):
                self.within(step)
                raise AssertionError(f"{self.run.state} became {state}")
            return
        stepping: list[Run] = []

        async def keep(tx: Transaction) -> None:
            stepping.append(await step(tx))

        if not self._is_refused(lease, keep):
            [self.run] = stepping
            self.sequence += 1

    @rule()
    def somebody_cancels(self) -> None:
        before = self.run
        try:
            self.run = self.within(lambda tx: request_cancel(tx, before.id))
        except PreconditionError:
            assert before.state not in {RunState.CANCELLING, RunState.CANCELLED}
            assert RunState.CANCELLING not in RUN_TRANSITIONS[before.state]
            return
        assert self.run.state in {RunState.CANCELLING, RunState.CANCELLED}
        if before.state is RunState.PENDING:
            assert self.run.state is RunState.CANCELLED
        self.sequence = self.run.last_sequence

    @rule(ruling=RULINGS)
    def somebody_reviews(self, ruling: Ruling) -> None:
        before = self.run
        try:
            self.run = self.within(lambda tx: review_run(tx, before.id, ruling))
        except PreconditionError:
            assert before.state is not RunState.AWAITING_REVIEW
            assert before.review is None or before.review.decision is not ruling.decision
            return
        assert self.run.review is not None
        assert self.run.review.decision is ruling.decision
        if before.review is not None:
            assert self.run == before
            return
        assert before.state is RunState.AWAITING_REVIEW
        self.sequence = self.run.last_sequence

    @rule(state=st.sampled_from(RunState))
    def somebody_writes_past_the_stores(self, state: RunState) -> None:
        """The database itself holds to the end."""
        if not self.run.state.is_terminal or state is self.run.state:
            return

        async def overwrite() -> None:
            connection = await asyncpg.connect(self.dsn)
            try:
                with contextlib.suppress(asyncpg.CheckViolationError):
                    await connection.execute(
                        "UPDATE osa.run SET state = $2 WHERE id = $1", self.run.id, state.value
                    )
                    raise AssertionError(f"{self.run.state} became {state}")
            finally:
                await connection.close()

        self.loop.run(overwrite())

    @invariant()
    def the_stored_run_is_what_happened(self) -> None:
        assert self.within(lambda tx: tx.runs.find(self.run.id)) == self.run
        history = self.within(lambda tx: tx.runs.events_after(self.run.id, 0, limit=1000))
        assert history is not None
        assert [event.sequence for event in history.events] == list(range(1, self.sequence + 1))
        ends = [event for event in history.events if isinstance(event.body, RunFinished)]
        assert ends == ([history.events[-1]] if self.run.state.is_terminal else [])
        reviews = [event for event in history.events if isinstance(event.body, Reviewed)]
        assert len(reviews) <= (self.run.review is not None)
        assert history.is_complete is self.run.state.is_terminal

    def _is_refused(self, lease: RunLease, work: Callable[[Transaction], Awaitable[None]]) -> bool:
        """Do it; it must be refused exactly if the lease is not the one that counts."""
        try:
            self.within(work)
        except LeaseLostError:
            assert lease != self.holder
            return True
        assert lease == self.holder
        return False

    def teardown(self) -> None:
        """End the run, so that the next example's is the only one to claim."""

        async def end(tx: Transaction) -> None:
            run = await tx.runs.lock_unleased(self.run.id)
            assert run is not None
            while not run.state.is_terminal:
                after = min(RUN_TRANSITIONS[run.state], key=lambda s: (not s.is_terminal, s))
                run = await stepped(tx, run, after)
                await tx.runs.save(run)

        self.within(end)


def test_a_run_keeps_to_its_states_leases_and_sequences_whatever_is_done(database_dsn: str) -> None:
    with asyncio.Runner() as runner:
        database = Database(dsn=database_dsn, max_size=2)
        runner.run(database.connect())

        class Here(OneRun):
            loop = runner
            storage = PostgresStorage(database=database, doorbell=Doorbell(dsn=None))
            dsn = database_dsn

        run_state_machine_as_test(
            Here,
            settings=settings(
                max_examples=40,
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        runner.run(database.aclose())
