"""Users and workers at once, on a real database: whatever they do and whoever dies, runs come to one end, whole.

Users submit, cancel, review and retry. Workers are those of the server; their machine is a fake one, so that hooks take no time.
They are killed, stalled beyond their lease, cut off from the database and stopped, and others go on. Meanwhile somebody looks at
everything that can be seen of each run, in one moment, again and again.

`OSA_TEST_COMMANDS` says how many such stories are told; `make test-commands` tells more.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from osa_grpc.application.depositing import submit
from osa_grpc.application.ports import HookJob
from osa_grpc.application.run_control import request_cancel, retry_run, review_run
from osa_grpc.domain.convention import ConventionDefinition, FileRequirements, ReviewMode
from osa_grpc.domain.deposition import Deposition, DepositionState
from osa_grpc.domain.errors import PreconditionError, UnavailableError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.names import ConventionRef, DepositionId, RunId, new_id
from osa_grpc.domain.run import ReviewDecision, Ruling, RunState
from osa_grpc.storage.database import Database
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fakes.crew import LEASE, Hand, cut
from tests.fakes.hook_runtime import Machine, Program
from tests.fixtures.run_audit import RunAudit
from tests.fixtures.storage import hook
from tests.fixtures.waiting_tasks import tell_what_tasks_wait_for

STORIES = int(os.environ.get("OSA_TEST_COMMANDS", "8"))
PATIENCE_SECONDS = 30.0
"""How long all runs together may take to their ends once nobody disturbs them."""

STORY_SECONDS = 90.0

WORDS = ("word 1", "word 2")
HOOKS = (hook("alpha"), hook("beta"))
CONVENTIONS = [
    ConventionDefinition(
        ref=ConventionRef(id=f"{review.value.lower()}-{count}", version="1.0.0"),
        title="Commands",
        file_requirements=FileRequirements(min_count=0),
        hooks=HOOKS[:count],
        review=review,
    )
    for review in ReviewMode
    for count in (1, 2)
]


def failing(kind: FailureKind, *, retryable: bool = False) -> Program:
    return Program(words=WORDS, failure=Failure(kind=kind, message="as planned", retryable=retryable))


def passing(seconds: float) -> Program:
    return Program(seconds=seconds, words=WORDS, log=b"0123456789", rows=({"score": 1.5},))


PROGRAMS = st.sampled_from(
    [
        *[passing(0.0)] * 4,
        *[passing(0.05)] * 4,
        passing(0.4),
        Program(words=WORDS, rejection="too coarse"),
        Program(words=WORDS, exit_code=3),
        Program(words=WORDS, rows=({"score": "a text"},)),
        failing(FailureKind.ENGINE, retryable=True),
        failing(FailureKind.OOM),
        failing(FailureKind.TIMEOUT),
    ]
)
PLANS = st.lists(PROGRAMS, min_size=1, max_size=3)
"""What a deposition's hooks do, by attempt; the last again and again."""


@dataclass(frozen=True)
class Which:
    """One of the depositions: of those for which a command makes sense, or of all of them."""

    number: int
    any_of_all: bool

    def of(self, sensible: Sequence[Deposition], everything: Sequence[Deposition]) -> Deposition:
        choice = everything if self.any_of_all or not sensible else sensible
        return choice[self.number % len(choice)]


@dataclass(frozen=True)
class Submit:
    which: Which


@dataclass(frozen=True)
class Cancel:
    """The latest run of a deposition; so below."""

    which: Which


@dataclass(frozen=True)
class Decide:
    which: Which
    decision: ReviewDecision


@dataclass(frozen=True)
class Retry:
    which: Which


@dataclass(frozen=True)
class Kill:
    """A worker, as kill -9 does; another takes its place."""

    worker: int


@dataclass(frozen=True)
class Stop:
    """A worker, as SIGTERM does; another takes its place."""

    worker: int


@dataclass(frozen=True)
class Stall:
    """A worker stands still, and goes on when its leases have run out, or a little sooner."""

    worker: int
    leases: float


@dataclass(frozen=True)
class Cut:
    """All connections of the workers, or of the users."""

    whose: str


Command = Submit | Cancel | Decide | Retry | Kill | Stop | Stall | Cut
WHICH = st.builds(Which, st.integers(0, 15), st.sampled_from([True, *[False] * 5]))
WORKER = st.integers(0, 2)


EACH: dict[type[Command], tuple[int, st.SearchStrategy[Command]]] = {
    Submit: (12, st.builds(Submit, WHICH)),
    Cancel: (2, st.builds(Cancel, WHICH)),
    Decide: (6, st.builds(Decide, WHICH, st.sampled_from(ReviewDecision))),
    Retry: (3, st.builds(Retry, WHICH)),
    Kill: (2, st.builds(Kill, WORKER)),
    Stop: (1, st.builds(Stop, WORKER)),
    Stall: (1, st.builds(Stall, WORKER, st.sampled_from([0.8, 1.5]))),
    Cut: (1, st.builds(Cut, st.sampled_from(["worker-%", "worker-%", "users"]))),
}
"""The commands, and how often each comes among the others."""
KINDS = st.sampled_from([kind for kind, (often, _) in EACH.items() for _ in range(often)])
COMMANDS = KINDS.flatmap(lambda kind: EACH[kind][1])


@dataclass(frozen=True)
class Moment:
    """Commands that are given at once, and the pause before them."""

    pause_seconds: float
    commands: list[Command]


MOMENTS = st.builds(
    Moment, st.sampled_from([0.0, 0.01, 0.05, 0.1]), st.lists(COMMANDS, min_size=1, max_size=6)
)


@dataclass(kw_only=True)
class Story:
    """Some depositions, some workers, and what is done to them."""

    dsn: str
    plans: list[list[Program]]
    storage: PostgresStorage
    doorbell: Doorbell
    machine: Machine
    hands: list[Hand] = field(default_factory=list)
    depositions: list[DepositionId] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    hired: int = 0

    async def hire(self) -> Hand:
        """Have another worker."""
        self.hired += 1
        hand = Hand(number=self.hired, dsn=self.dsn, doorbell=self.doorbell, machine=self.machine)
        await hand.begin()
        self.hands.append(hand)
        return hand

    async def tell(self, moments: Sequence[Moment]) -> None:
        """Give all commands. Nobody waits for those of a moment before the next one comes."""
        async with asyncio.TaskGroup() as tasks:
            for moment in moments:
                await asyncio.sleep(moment.pause_seconds)
                for command in moment.commands:
                    tasks.create_task(self._do(command))

    async def _do(self, command: Command) -> None:
        try:
            outcome = await self._act(command)
        except (
            PreconditionError,
            UnavailableError,
        ) as error:  # one that was cut off may have happened, or not
            outcome = error.reason
        self.outcomes[f"{type(command).__name__} {outcome}"] += 1

    async def _act(self, command: Command) -> str:
        match command:
            case Submit() | Cancel() | Decide() | Retry():
                return await self._ask(command)
            case Kill(worker) | Stop(worker) if self.hands:
                hand = self.hands.pop(worker % len(self.hands))
                await (hand.kill() if isinstance(command, Kill) else hand.stop())
                await self.hire()
            case Stall(worker, leases) if self.hands:
                hand = self.hands[worker % len(self.hands)]
                hand.line.stall()
                await asyncio.sleep(leases * LEASE.total_seconds())
                hand.line.go_on()
            case Cut(whose):
                await cut(self.dsn, whose)
            case _:
                return "nobody there"
        return "done"

    async def _ask(self, command: Submit | Cancel | Decide | Retry) -> str:
        deposition, run = await self._chosen(command)
        async with self.storage.transaction() as tx:
            match command:
                case Submit():
                    await submit(tx, deposition, etag="")
                case _ if run is None:
                    return "no run there"
                case Cancel():
                    await request_cancel(tx, run)
                case Decide(decision=decision):
                    await review_run(tx, run, Ruling(decision=decision, reason="why"))
                case Retry():
                    await retry_run(tx, run)
        return "done"

    async def _chosen(self, command: Submit | Cancel | Decide | Retry) -> tuple[DepositionId, RunId | None]:
        """The deposition that is meant, and its latest run; when the command comes all may be otherwise."""
        async with self.storage.reading() as tx:
            found = [await tx.depositions.find(one) for one in self.depositions]
            everything = [one for one in found if one is not None]
            runs = [await tx.runs.find(one.run) for one in everything if one.run is not None]
        states = {run.id: run.state for run in runs if run is not None}

        def makes_sense(one: Deposition) -> bool:
            state = None if one.run is None else states.get(one.run)
            match command:
                case Submit():
                    return one.state is DepositionState.DRAFT
                case Cancel():
                    return state is not None and not state.is_terminal
                case Decide():
                    return state is RunState.AWAITING_REVIEW
                case Retry():
                    return state in {RunState.REJECTED, RunState.FAILED, RunState.CANCELLED}

        chosen = command.which.of([one for one in everything if makes_sense(one)], everything)
        return chosen.id, chosen.run

    async def all_is_at_rest(self, audit: RunAudit) -> None:
        """Wait until every run is over or waits for a person."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while stuck := [run for run in await audit.look() if _goes_on(run["state"])]:
            assert asyncio.get_running_loop().time() < deadline, self._told(stuck)
            await asyncio.sleep(0.02)

    def _told(self, stuck: Sequence[asyncpg.Record]) -> str:
        columns = (
            "run",
            "state",
            "leased_by",
            "leased_until",
            "waits_until",
            "clock_timestamp",
            "executions",
        )
        runs = [" ".join(str(run[column]) for column in columns) for run in stuck]
        tasks = io.StringIO()
        tell_what_tasks_wait_for(tasks)
        names = (hand.name for hand in self.hands)
        return "\n".join(["stuck:", *runs, "workers:", *names, "tasks:", tasks.getvalue()])

    async def nothing_is_left(self, *, alone: bool) -> None:
        """Make sure that the machine has what runs that wait for a person need, and nothing else.

        Of rivals on one machine, which real servers are not (a data directory has one), one that has slept over the loss of its
        lease may begin a container when the other has ended its own; it stays while the run does.
        """
        hand = await self.hire()

        async def is_live(run: RunId) -> bool:
            async with self.storage.reading() as tx:
                found = await tx.runs.find(run)
            return found is not None and not found.state.is_terminal

        await hand._runtime.reap(is_live)
        for run, _, _ in (*self.machine.outputs, *self.machine.containers):
            assert await is_live(run)
        if alone:
            assert self.machine.containers == {}
            assert self.machine.doubled == []


def _goes_on(state: str) -> bool:
    return not RunState(state).is_terminal and state != RunState.AWAITING_REVIEW


@dataclass(frozen=True)
class Archive:
    """The database that all stories are told in."""

    dsn: str
    outcomes: Counter[str]

    @asynccontextmanager
    async def story(self, plans: list[list[Program]]) -> AsyncIterator[Story]:
        doorbell = Doorbell(dsn=None)
        async with Database(dsn=self.dsn, max_size=6, application_name="users") as database:
            plan_of: dict[str, list[Program]] = {}

            def program_of(job: HookJob) -> Program:
                plan = plan_of[job.subject.id]
                return plan[min(job.attempt, len(plan)) - 1]

            story = Story(
                dsn=self.dsn,
                plans=plans,
                storage=PostgresStorage(database=database, doorbell=doorbell),
                doorbell=doorbell,
                machine=Machine(program_of),
                outcomes=self.outcomes,
            )
            async with story.storage.transaction() as tx:
                for number, plan in enumerate(plans):
                    ref = CONVENTIONS[number % len(CONVENTIONS)].ref
                    made = await tx.depositions.insert(DepositionId(new_id()), ref, {})
                    story.depositions.append(made.id)
                    plan_of[made.id] = plan
            try:
                yield story
            finally:
                for hand in story.hands:
                    await hand.stop()


@pytest.fixture
def archive(database_dsn: str) -> Archive:
    async def prepare() -> None:
        async with Database(dsn=database_dsn) as database:
            storage = PostgresStorage(database=database, doorbell=Doorbell(dsn=None))
            async with storage.transaction() as tx:
                for one in HOOKS:
                    await tx.feature_tables.create_table(one)
                for definition in CONVENTIONS:
                    await tx.conventions.insert(definition)

    asyncio.run(prepare())
    return Archive(dsn=database_dsn, outcomes=Counter())


async def tell(archive: Archive, workers: int, plans: list[list[Program]], moments: list[Moment]) -> None:
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(archive.dsn)
        stack.push_async_callback(connection.close)
        await connection.execute("TRUNCATE osa.deposition, osa.run, osa.record, osa.event CASCADE")
        story = await stack.enter_async_context(archive.story(plans))
        audit = RunAudit(connection, story.depositions)
        for _ in range(workers):
            await story.hire()
        await together(story.tell(moments), audit.watch())
        await story.all_is_at_rest(audit)
        assert not any(hand.ended_by_itself for hand in story.hands)
        await audit.check_histories()
        await story.nothing_is_left(alone=workers == 1)
        archive.outcomes["looks"] += audit.looks
        archive.outcomes["containers"] += story.machine.begun


async def together(story: Coroutine[Any, Any, None], watch: Coroutine[Any, Any, None]) -> None:
    """Tell a story to its end, unless whoever watches has seen something that must not be."""
    telling, watching = asyncio.create_task(story), asyncio.create_task(watch)
    try:
        await asyncio.wait({telling, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        await telling
    finally:
        for task in (telling, watching):
            task.cancel()
        await asyncio.gather(telling, watching, return_exceptions=True)


async def in_time(story: Coroutine[Any, Any, None]) -> None:
    """Tell a story; one that does not end says what everybody waits for."""
    telling = asyncio.create_task(story, name="story")
    await asyncio.wait({telling}, timeout=STORY_SECONDS)
    if not telling.done():
        tell_what_tasks_wait_for(sys.stdout)
        raise AssertionError("the story does not end")
    await telling


@pytest.mark.timeout(60 + 20 * STORIES)
def test_whatever_users_and_workers_do_at_once_every_run_comes_to_one_end_whole(archive: Archive) -> None:
    @settings(
        max_examples=STORIES,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # what happens at the same moment does not happen again
        suppress_health_check=list(HealthCheck),
    )
    @given(
        workers=st.integers(1, 3),
        plans=st.lists(PLANS, min_size=16, max_size=16),
        moments=st.lists(MOMENTS, min_size=10, max_size=30),
    )
    def stories(workers: int, plans: list[list[Program]], moments: list[Moment]) -> None:
        asyncio.run(in_time(tell(archive, workers, plans, moments)))

    stories()
    sys.stdout.write(f"{dict(archive.outcomes.most_common())}\n")
    assert archive.outcomes["Submit done"]
    assert archive.outcomes["containers"]
