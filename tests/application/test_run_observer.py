"""What is written about an attempt: from its start to its end, also when it goes on in other hands."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from osa_grpc.application.held_run import HeldRun
from osa_grpc.application.judging import judged
from osa_grpc.application.ports import HookEnd, HookOutputs
from osa_grpc.application.retry_policy import RetryRules
from osa_grpc.application.row_decoding import count_rows
from osa_grpc.application.run_control import request_cancel
from osa_grpc.application.run_observer import ObservationLimits, RunObserver
from osa_grpc.application.run_steps import (
    Turn,
    Work,
    cancelled,
    end_by_verdict,
    fail,
    hand_back,
    take_turn,
    take_up,
)
from osa_grpc.application.storage_ports import LogState
from osa_grpc.domain.column import ColumnDef, JsonType
from osa_grpc.domain.convention import ReviewMode
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.hook import HookDefinition, TableFeatureSpec
from osa_grpc.domain.run import (
    HookExecution,
    HookExecutionState,
    HookProgress,
    Provenance,
    Run,
    RunState,
    Verdict,
    WaitingReason,
)
from osa_grpc.domain.run_event import (
    HookFinished,
    HookProgressed,
    HookRetrying,
    HookStarted,
    RunEventKind,
    RunFinished,
)
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.runtimes.outputs import OutputDirectory
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.hooks import hook_job
from tests.fixtures.storage import LONG, OTHER, OVERDUE, held_run

DIGEST = "sha256:" + "0" * 64
PROVENANCE = Provenance(image="osa-test-shell", digest=DIGEST, image_id="sha256:1")
AUTHORITY = SrnAuthority(domain="example.org")
MIB = 2**20
DEFAULTS = ObservationLimits()
RULES = RetryRules(
    max_attempts=3, delay=timedelta(seconds=40), max_delay=timedelta(minutes=5), max_memory_bytes=4096 * MIB
)
ENGINE = Failure(kind=FailureKind.ENGINE, message="the engine does not answer", retryable=True)
OOM = Failure(kind=FailureKind.OOM, message="it needed more memory")


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A hook's attempt in a worker's hands, and what is stored about it."""

    storage: PostgresStorage
    held: HeldRun
    turn: Turn
    observer: RunObserver

    async def run(self) -> Run:
        async with self.storage.reading() as tx:
            found = await tx.runs.find(self.held.lease.run)
        assert found is not None
        return found

    async def execution(self) -> HookExecution:
        return (await self.run()).execution("summary")

    async def history(self) -> Sequence[RunEventKind]:
        """Since the run was started."""
        async with self.storage.reading() as tx:
            history = await tx.runs.events_after(self.held.lease.run, 1, limit=1000)
        assert history is not None
        return [event.body for event in history.events]

    async def log(self) -> tuple[bytes, LogState | None]:
        execution, attempt = self.turn.execution.id, self.turn.execution.attempt
        async with self.storage.reading() as tx:
            return (
                await tx.run_logs.read(execution, attempt, 0, limit=1000),
                await tx.run_logs.state(execution, attempt),
            )

    async def taken_up(self, *, limits: ObservationLimits = DEFAULTS) -> "Observed":
        """The same run in the hands of the next worker."""
        async with self.storage.transaction() as tx:
            await tx.runs.renew(self.held.lease, OVERDUE)
        async with self.storage.transaction() as tx:
            lease = await tx.runs.claim(OTHER, LONG)
        assert lease is not None
        return await observed(self.storage, HeldRun(lease=lease), limits=limits)


async def observed(
    storage: PostgresStorage,
    held: HeldRun | None = None,
    *,
    limits: ObservationLimits = DEFAULTS,
    review: ReviewMode | None = None,
) -> Observed:
    """The attempt of a run's first hook, whose turn has come."""
    held = held or HeldRun(lease=await held_run(storage))
    async with storage.transaction() as tx:
        work = await take_up(tx, held.lease, AUTHORITY)
    async with storage.transaction() as tx:
        turn = await take_turn(tx, held.lease, "summary", are_places_taken=False)
    assert isinstance(work, Work)
    assert turn is not None
    return Observed(
        storage=storage,
        held=held,
        turn=turn,
        observer=RunObserver(
            storage=storage,
            held=held,
            job=work.job(turn.execution, work.hooks[0], turn.resumption),
            execution=turn.execution,
            limits=limits,
            retry=RULES,
            count_rows=lambda *_: 7,
            review=review,
        ),
    )


def lines(*statuses: str) -> list[HookProgress]:
    return [HookProgress(status=status) for status in statuses]


def told(history: Sequence[RunEventKind]) -> list[str]:
    """The progress in a history."""
    return [event.progress.status for event in history if isinstance(event, HookProgressed)]


def failed(failure: Failure) -> HookEnd:
    return HookEnd(
        failure=failure, exit_code=None, started_at=None, ended_at=None, provenance=PROVENANCE, outputs=None
    )


def passed(directory: Path) -> HookEnd:
    return HookEnd(
        failure=None,
        exit_code=0,
        started_at=None,
        ended_at=None,
        provenance=PROVENANCE,
        outputs=OutputDirectory(directory=directory, subject_id="d1"),
    )


async def test_a_hook_waits_for_its_image_until_it_has_started(storage: PostgresStorage) -> None:
    attempt = await observed(storage)
    await attempt.observer.waiting(WaitingReason.IMAGE)
    waiting = (await attempt.execution()).waiting
    assert waiting is not None
    assert waiting.reason is WaitingReason.IMAGE
    await attempt.observer.started(PROVENANCE)
    execution = await attempt.execution()
    assert (execution.state, execution.waiting) == (HookExecutionState.RUNNING, None)
    assert execution.provenance == PROVENANCE


async def test_a_hook_that_has_started_is_told_of_once_in_however_many_hands(
    storage: PostgresStorage,
) -> None:
    attempt = await observed(storage)
    await attempt.observer.started(PROVENANCE)
    started_at = (await attempt.execution()).started_at
    again = await attempt.taken_up()
    assert again.turn.resumption is not None
    assert again.turn.resumption.has_started
    assert again.turn.has_place
    await again.observer.started(PROVENANCE)
    assert (await again.execution()).started_at == started_at
    assert await again.history() == [HookStarted(hook="summary", attempt=1, image_id="sha256:1")]


async def test_an_attempt_that_had_not_started_goes_on_and_says_when_it_starts(
    storage: PostgresStorage,
) -> None:
    again = await (await observed(storage)).taken_up()
    assert again.turn.resumption is not None
    assert not again.turn.resumption.has_started
    await again.observer.started(PROVENANCE)
    assert await again.history() == [HookStarted(hook="summary", attempt=1, image_id="sha256:1")]


async def test_progress_goes_on_behind_the_last_line_that_is_in_the_history(storage: PostgresStorage) -> None:
    attempt = await observed(storage)
    await attempt.observer.progressed(lines("one", "two"))
    await attempt.observer.progressed(lines("three"))
    again = await attempt.taken_up()
    await again.observer.progressed(lines("one"))
    await again.observer.progressed(lines("two", "three", "four"))
    await again.observer.progressed(lines("five"))
    assert told(await again.history()) == ["one", "two", "three", "four", "five"]
    execution = await again.execution()
    assert (execution.progress, execution.progress_count) == (HookProgress(status="five"), 5)


async def test_progress_beyond_the_cap_is_counted_also_by_the_next_worker(
    storage: PostgresStorage, tmp_path: Path
) -> None:
    limits = ObservationLimits(progress_events=4)
    attempt = await observed(storage, limits=limits)
    await attempt.observer.progressed(lines("1", "2", "3"))
    again = await attempt.taken_up(limits=limits)
    await again.observer.progressed(lines("1", "2", "3", "4", "5"))
    await again.observer.progressed(lines("6", "7"))
    third = await again.taken_up(limits=limits)
    await third.observer.progressed(lines("1", "2", "3", "4", "5", "6", "7", "8"))
    await third.observer.conclude(passed(tmp_path))
    history = await third.history()
    assert told(history) == ["1", "2", "3", "4", "8"]
    last = [event for event in history if isinstance(event, HookProgressed)][-1]
    assert last.dropped_count == 4


async def test_the_log_goes_on_behind_its_last_byte(storage: PostgresStorage) -> None:
    attempt = await observed(storage)
    await attempt.observer.wrote_log(b"x" * 5000)
    await attempt.observer.wrote_log(b"one\n")
    again = await attempt.taken_up()
    resumption = again.turn.resumption
    assert resumption is not None
    assert resumption.log_bytes == 5004
    await again.observer.wrote_log(b"two\n")
    async with storage.reading() as tx:
        assert await tx.run_logs.read(again.turn.execution.id, 1, 5000, limit=100) == b"one\ntwo\n"


async def test_a_place_where_the_log_does_not_join_up_is_marked(storage: PostgresStorage) -> None:
    attempt = await observed(storage)
    await attempt.observer.wrote_log(b"one\n")
    again = await attempt.taken_up()
    await again.observer.missed_log()
    await again.observer.wrote_log(b"three\n")
    data, state = await again.log()
    assert data == b"one\nthree\n"
    assert state is not None
    assert state.gap_offsets == (4,)


async def test_the_cap_of_a_log_holds_for_all_workers_together_and_its_mark_outlives_them(
    storage: PostgresStorage,
) -> None:
    limits = ObservationLimits(log_bytes=6)
    attempt = await observed(storage, limits=limits)
    await attempt.observer.wrote_log(b"one\n")
    again = await attempt.taken_up(limits=limits)
    await again.observer.wrote_log(b"two\n")
    await again.observer.wrote_log(b"three\n")
    assert await again.log() == (
        b"one\ntw",
        LogState(size_bytes=6, is_closed=False, is_truncated=True),
    )
    third = await again.taken_up(limits=limits)
    await third.observer.conclude(failed(ENGINE))
    assert await third.log() == (b"one\ntw", LogState(size_bytes=6, is_closed=True, is_truncated=True))


async def test_a_log_that_is_just_full_is_not_truncated(storage: PostgresStorage) -> None:
    attempt = await observed(storage, limits=ObservationLimits(log_bytes=4))
    await attempt.observer.wrote_log(b"one\n")
    await attempt.observer.wrote_log(b"")
    assert await attempt.log() == (b"one\n", LogState(size_bytes=4, is_closed=False, is_truncated=False))
    await attempt.observer.wrote_log(b"t")
    assert await attempt.log() == (b"one\n", LogState(size_bytes=4, is_closed=False, is_truncated=True))


async def test_whoever_has_lost_the_run_writes_nothing_more_and_leaves_its_container(
    storage: PostgresStorage, tmp_path: Path
) -> None:
    attempt = await observed(storage)
    await attempt.observer.started(PROVENANCE)
    assert not attempt.observer.leaves_container
    again = await attempt.taken_up()
    for act in (
        attempt.observer.waiting(WaitingReason.IMAGE),
        attempt.observer.started(PROVENANCE),
        attempt.observer.wrote_log(b"late"),
        attempt.observer.missed_log(),
        attempt.observer.progressed(lines("late")),
        attempt.observer.conclude(passed(tmp_path)),
    ):
        attempt.held.leaves_container = False
        with pytest.raises(LeaseLostError):
            await act
        assert attempt.observer.leaves_container
    assert len(await again.history()) == 1
    assert await again.log() == (b"", None)
    assert not again.observer.leaves_container


async def test_a_failure_that_may_pass_is_followed_by_another_attempt_after_a_pause(
    storage: PostgresStorage,
) -> None:
    attempt = await observed(storage)
    await attempt.observer.started(PROVENANCE)
    await attempt.observer.progressed(lines("one"))
    await attempt.observer.wrote_log(b"one\n")
    conclusion = await attempt.observer.conclude(failed(ENGINE))
    assert conclusion.again is not None
    [*_, retrying] = await attempt.history()
    assert retrying == HookRetrying(
        hook="summary", attempt=2, cause=ENGINE, retry_delay=conclusion.again.delay
    )
    run = await attempt.run()
    execution = run.execution("summary")
    assert run.state is RunState.RUNNING
    assert (execution.state, execution.attempt, execution.failure_count) == (HookExecutionState.WAITING, 2, 1)
    assert (execution.verdict, execution.progress, execution.progress_count) == (None, None, 0)
    assert (execution.started_at, execution.provenance) == (None, None)
    assert execution.created_at == attempt.turn.execution.created_at
    assert execution.waiting is not None
    assert execution.waiting.reason is WaitingReason.RETRY
    assert execution.waiting.until is not None
    _, log = await attempt.log()
    assert log is not None
    assert log.is_closed


async def test_a_hook_that_ran_out_of_memory_is_allowed_twice_as_much_and_keeps_that(
    storage: PostgresStorage,
) -> None:
    held = HeldRun(lease=await held_run(storage))
    attempt = await observed(storage, held)
    assert (await attempt.observer.conclude(failed(OOM))).again is not None
    [retrying] = await attempt.history()
    assert retrying == HookRetrying(hook="summary", attempt=2, cause=OOM, memory="4g")
    second = await observed(storage, held)
    assert second.turn.execution.memory_bytes == 4096 * MIB
    assert (await second.observer.conclude(failed(ENGINE))).again is not None
    third = await observed(storage, held)
    assert third.turn.execution.memory_bytes == 4096 * MIB
    conclusion = await third.observer.conclude(failed(OOM))
    assert conclusion.again is None
    assert conclusion.run.state is RunState.FAILED
    finished = [event for event in await third.history() if isinstance(event, HookFinished)]
    assert [event.failure for event in finished] == [conclusion.run.failure]
    assert conclusion.run.failure is not None
    assert conclusion.run.failure.message == "it needed more memory; given up after 3 attempts"


async def test_a_run_that_is_to_be_cancelled_is_not_tried_again(storage: PostgresStorage) -> None:
    attempt = await observed(storage)
    async with storage.transaction() as tx:
        run = await tx.runs.lock_unleased(attempt.held.lease.run)
        assert run is not None
        await tx.runs.save(run.cancelling())
    conclusion = await attempt.observer.conclude(failed(ENGINE))
    assert conclusion.run.state is RunState.CANCELLING
    assert await attempt.history() == []


@pytest.mark.parametrize("is_judged", [True, False], ids=["ended", "cut off"])
async def test_how_much_was_kept_of_the_log_of_a_cancelled_attempt_is_told(
    storage: PostgresStorage, *, is_judged: bool
) -> None:
    attempt = await observed(storage)
    await attempt.observer.started(PROVENANCE)
    await attempt.observer.wrote_log(b"one\n")
    async with storage.transaction() as tx:
        await request_cancel(tx, attempt.held.lease.run)
    if is_judged:
        await attempt.observer.ended(failed(ENGINE))
    async with storage.transaction() as tx:
        await cancelled(tx, attempt.held.lease)
    run = await attempt.run()
    assert run.state is RunState.CANCELLED
    assert run.execution("summary").state is HookExecutionState.CANCELLED
    assert [execution.log_bytes for execution in run.executions] == [4, 0]
    data, log = await attempt.log()
    assert data == b"one\n"
    assert log is not None
    assert log.is_closed


async def test_how_much_was_kept_of_the_log_is_told_when_the_run_fails_under_a_hook(
    storage: PostgresStorage,
) -> None:
    attempt = await observed(storage)
    await attempt.observer.started(PROVENANCE)
    await attempt.observer.wrote_log(b"one\n")
    async with storage.transaction() as tx:
        await fail(tx, attempt.held.lease, ENGINE)
    assert (await attempt.execution()).log_bytes == 4


async def test_after_its_last_hook_a_run_waits_for_the_person_who_reviews_it(
    storage: PostgresStorage, tmp_path: Path
) -> None:
    attempt = await observed(storage, review=ReviewMode.MANUAL)
    await attempt.observer.ended(passed(tmp_path))
    assert (await attempt.run()).state is RunState.AWAITING_REVIEW
    assert [event.kind for event in await attempt.history()] == ["hook_finished", "review_requested"]
    conclusion = await attempt.observer.conclude(passed(tmp_path))
    assert conclusion.run.state is RunState.AWAITING_REVIEW
    assert conclusion.judgement.verdict is Verdict.PASSED


async def test_a_server_that_stops_announces_the_next_attempt_which_is_no_failure(
    storage: PostgresStorage,
) -> None:
    attempt = await observed(storage)
    await attempt.observer.started(PROVENANCE)
    await attempt.observer.wrote_log(b"one\n")
    async with storage.transaction() as tx:
        await hand_back(tx, attempt.held.lease)
    execution = await attempt.execution()
    assert (execution.state, execution.attempt, execution.failure_count) == (HookExecutionState.WAITING, 2, 0)
    [_, retrying] = await attempt.history()
    assert isinstance(retrying, HookRetrying)
    assert retrying.cause.message == "the server stopped"
    _, log = await attempt.log()
    assert log is not None
    assert log.is_closed


async def test_a_server_that_stops_hands_back_a_hook_that_waits_as_it_is(storage: PostgresStorage) -> None:
    attempt = await observed(storage)
    before = await attempt.execution()
    async with storage.transaction() as tx:
        await hand_back(tx, attempt.held.lease)
    assert await attempt.execution() == before
    assert await attempt.history() == []


async def test_a_judgement_that_nobody_waits_for_any_more_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "features.json").write_bytes(b"[" + b"{}," * 20_000_000 + b"{}]")  # takes half a minute
    job = hook_job(DIGEST)
    column = ColumnDef(name="n", json_type=JsonType.INTEGER)
    feature = TableFeatureSpec(cardinality=job.hook.feature.cardinality, columns=(column,))
    hook = job.hook.model_copy(update={"feature": feature})
    has_begun, has_ended = threading.Event(), threading.Event()

    def count(outputs: HookOutputs, _: HookDefinition, subject_id: str) -> int:
        has_begun.set()
        try:
            return count_rows(outputs, hook, subject_id=subject_id)
        finally:
            has_ended.set()

    judging = asyncio.create_task(judged(job, passed(tmp_path), count))
    assert await asyncio.to_thread(has_begun.wait, 10)
    judging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await judging
    assert await asyncio.to_thread(has_ended.wait, 5)


@pytest.mark.parametrize(
    ("said", "state"),
    [('{"status": "rejected", "message": "no"}', RunState.REJECTED), ("", RunState.FAILED)],
)
async def test_a_verdict_counts_from_when_it_is_written_though_the_run_ends_only_once_the_container_is_gone(
    storage: PostgresStorage, tmp_path: Path, said: str, state: RunState
) -> None:
    attempt = await observed(storage)
    (tmp_path / "progress.jsonl").write_text(said)
    end = replace(passed(tmp_path), exit_code=1)
    await attempt.observer.ended(end)
    assert (await attempt.run()).state is RunState.RUNNING
    assert [type(event) for event in await attempt.history()] == [HookFinished]
    # Its server is killed while the container is removed: whoever comes next has no container to judge, and needs none.
    async with storage.transaction() as tx:
        await tx.runs.renew(attempt.held.lease, OVERDUE)
    async with storage.transaction() as tx:
        lease = await tx.runs.claim(OTHER, LONG)
        assert lease is not None
        over = await end_by_verdict(tx, lease, "summary")
        assert over.state is state
        assert await end_by_verdict(tx, lease, "summary") == await tx.runs.find(over.id)
    run = await attempt.run()
    assert run.state is state
    assert run.failure == run.executions[0].failure
    assert [type(event) for event in await attempt.history()] == [HookFinished, RunFinished]


async def test_an_attempt_to_come_is_written_before_the_container_is_gone(storage: PostgresStorage) -> None:
    attempt = await observed(storage)
    await attempt.observer.ended(failed(OOM))
    execution = await attempt.execution()
    assert (execution.attempt, execution.state) == (2, HookExecutionState.WAITING)
    concluded = await attempt.observer.conclude(failed(ENGINE))
    assert concluded.again is not None
    assert await attempt.execution() == execution
