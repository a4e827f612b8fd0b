"""The steps of a run that its worker takes: each is one function of a transaction, and guarded by the run's lease.

What is written while a hook runs is `run_observer`'s, the end of a run `run_control`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from osa_grpc.application.ports import HookJob, HookSubject, Resumption, SubjectFile
from osa_grpc.application.retry_policy import Again
from osa_grpc.application.run_control import end_run
from osa_grpc.application.storage_ports import PageRequest, RunLease, Transaction
from osa_grpc.domain.convention import ReviewMode
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.hook import HookDefinition, memory_text
from osa_grpc.domain.run import (
    HookExecution,
    HookExecutionState,
    Run,
    RunState,
    Verdict,
    Waiting,
    WaitingReason,
)
from osa_grpc.domain.run_event import HookRetrying, ReviewRequested, RunEventKind, RunStarted
from osa_grpc.domain.srn import SrnAuthority

_STOPPED: Final = Failure(kind=FailureKind.INTERNAL, message="the server stopped", retryable=True)
_UNDER_WAY: Final = (HookExecutionState.WAITING, HookExecutionState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run asks for, read when it was taken up at `taken_up_at`."""

    run: Run
    hooks: Sequence[HookDefinition]
    review: ReviewMode
    subject: HookSubject
    taken_up_at: datetime

    def job(
        self, execution: HookExecution, hook: HookDefinition, resumption: Resumption | None = None
    ) -> HookJob:
        """Return the execution's attempt as a runtime wants it."""
        return HookJob(
            run=self.run.id,
            execution=execution.id,
            attempt=execution.attempt,
            hook=hook,
            subject=self.subject,
            memory_bytes=execution.memory_bytes,
            resumption=resumption,
        )


@dataclass(frozen=True, kw_only=True)
class Turn:
    """An attempt that begins, or goes on if there is a `resumption`. `has_place`: it had one already, and its container may run."""

    execution: HookExecution
    resumption: Resumption | None = None
    has_place: bool = False


async def take_up(tx: Transaction, lease: RunLease, authority: SrnAuthority) -> Work | None:
    """Return what there is to do; None for a run that is to be cancelled, or is over. PENDING → RUNNING."""
    run = await tx.runs.lock(lease)
    if run.state is RunState.CANCELLING or run.state.is_terminal:
        return None
    now = await tx.now()
    if run.state is RunState.PENDING:
        run = run.started(at=now)
        await tx.runs.save(run)
        await tx.runs.append(run.id, [RunStarted()])
    convention = await tx.conventions.find(run.convention)
    assert convention is not None
    return Work(
        run=run,
        hooks=convention.definition.hooks,
        review=convention.definition.review,
        subject=await _subject(tx, run, authority),
        taken_up_at=now,
    )


async def _subject(tx: Transaction, run: Run, authority: SrnAuthority) -> HookSubject:
    deposition = await tx.depositions.find(run.source.deposition)
    assert deposition is not None
    files: list[SubjectFile] = []
    page = PageRequest(size=1000)
    while True:
        listed = await tx.depositions.list_files(deposition.id, page)
        files += [
            SubjectFile(file_name=f.file_name, key=f.key, size_bytes=f.size_bytes, sha256=f.sha256)
            for f in listed.items
        ]
        if listed.after is None:
            break
        page = PageRequest(size=1000, after=listed.after)
    return HookSubject(
        id=deposition.id,
        srn=authority.deposition(deposition.id),
        metadata=dict(deposition.metadata),
        files=files,
    )


async def take_turn(tx: Transaction, lease: RunLease, hook: str, *, are_places_taken: bool) -> Turn | None:
    """Begin the hook's first attempt, or go on with the one that was begun or announced. None for a run that is to be cancelled.

    PENDING → WAITING; what it waits for is told at once.
    """
    run = await tx.runs.lock(lease)
    if run.state is RunState.CANCELLING:
        return None
    found = run.execution(hook)
    if found.state not in _UNDER_WAY:
        found = HookExecution(
            id=found.id,
            hook=hook,
            attempt=1,
            state=HookExecutionState.WAITING,
            waiting=_for_a_place(are_places_taken),
            created_at=await tx.now(),
        )
        await tx.runs.save(run.with_execution(found))
        return Turn(execution=found)
    resumption = await _resumption(tx, found)
    if found.waiting is None:
        return Turn(execution=found, resumption=resumption, has_place=True)
    waiting = found.model_copy(update={"waiting": _for_a_place(are_places_taken)})
    if waiting != found:
        await tx.runs.save(run.with_execution(waiting))
    return Turn(execution=waiting, resumption=resumption)


def _for_a_place(are_places_taken: bool) -> Waiting | None:  # noqa: FBT001 - its name says it
    return Waiting(reason=WaitingReason.PLACE) if are_places_taken else None


async def _resumption(tx: Transaction, execution: HookExecution) -> Resumption:
    has_started = execution.state is HookExecutionState.RUNNING
    log = await tx.run_logs.state(execution.id, execution.attempt)
    return Resumption(has_started=has_started, log_bytes=0 if log is None else log.size_bytes)


async def begin_again(
    tx: Transaction,
    run: Run,
    execution: HookExecution,
    cause: Failure,
    again: Again,
    *,
    before: Sequence[RunEventKind] = (),
    is_counted: bool = True,
) -> Run:
    """Announce the hook's next attempt, after its pause: WAITING, RUNNING or FINISHED → WAITING.

    The run was locked in this transaction. The log of the attempt that ended is closed; `before` are its last events.
    """
    await close_log(tx, execution)
    waiting = (
        Waiting(reason=WaitingReason.RETRY, until=await tx.now() + again.delay)
        if again.delay
        else Waiting(reason=WaitingReason.PLACE)
    )
    following = HookExecution(
        id=execution.id,
        hook=execution.hook,
        attempt=execution.attempt + 1,
        state=HookExecutionState.WAITING,
        waiting=waiting,
        memory_bytes=again.memory_bytes or execution.memory_bytes,
        failure_count=execution.failure_count + is_counted,
        created_at=execution.created_at,
    )
    run = run.with_execution(following)
    await tx.runs.save(run)
    retrying = HookRetrying(
        hook=following.hook,
        attempt=following.attempt,
        cause=cause,
        retry_delay=again.delay,
        memory=None if following.memory_bytes is None else memory_text(following.memory_bytes),
    )
    await tx.runs.append(run.id, [*before, retrying])
    return run


async def run_again(tx: Transaction, lease: RunLease, hook: str, cause: Failure, again: Again) -> Run:
    """Announce a new attempt of a hook that had passed. Nothing happens if that was done, or the run is not RUNNING any more."""
    run = await tx.runs.lock(lease)
    execution = run.execution(hook)
    if run.state is not RunState.RUNNING or execution.state is not HookExecutionState.FINISHED:
        return run
    return await begin_again(tx, run, execution, cause, again)


async def hand_back(tx: Transaction, lease: RunLease) -> None:
    """Announce a new attempt of the hook whose container this server has removed because it stops. That is no failure."""
    run = await tx.runs.lock(lease)
    if run.state is not RunState.RUNNING:
        return
    for execution in run.executions:
        if execution.state is HookExecutionState.RUNNING:
            run = await begin_again(tx, run, execution, _STOPPED, Again(), is_counted=False)


async def after_hooks(tx: Transaction, lease: RunLease, review: ReviewMode) -> None:
    """RUNNING → PUBLISHING or AWAITING_REVIEW, for a run without hooks."""
    run = await tx.runs.lock(lease)
    if run.state is RunState.RUNNING:
        run, events = hooks_have_passed(run, review)
        await tx.runs.save(run)
        await tx.runs.append(run.id, events)


def hooks_have_passed(run: Run, review: ReviewMode) -> tuple[Run, list[RunEventKind]]:
    """Return the run as it goes on after its last hook, and what there is to tell of that."""
    match review:
        case ReviewMode.AUTO:
            return run.publishing(), []
        case ReviewMode.MANUAL:
            return run.awaiting_review(), [ReviewRequested()]


async def end_by_verdict(tx: Transaction, lease: RunLease, hook: str) -> Run:
    """End the run as the hook's verdict, REJECTED or FAILED, says. Nothing happens to one that is to be cancelled, or is over."""
    run = await tx.runs.lock(lease)
    if run.state is not RunState.RUNNING:
        return run
    execution, now = run.execution(hook), await tx.now()
    match execution.verdict:
        case Verdict.REJECTED:
            run = run.rejected(reason=execution.rejection_reason or "", at=now)
        case Verdict.FAILED:
            assert execution.failure is not None
            run = run.failed(failure=execution.failure, at=now)
        case Verdict.PASSED | None:
            raise ValueError(f"the verdict of {hook} does not end its run")
    await end_run(tx, run)
    return run


async def fail(tx: Transaction, lease: RunLease, failure: Failure) -> Run:
    """End the run: FAILED, or CANCELLED if somebody had asked for that. Nothing happens to a run that is over."""
    run = await tx.runs.lock(lease)
    if run.state is RunState.CANCELLING:
        run = await close_logs(tx, run)
        run = run.cancelled(at=await tx.now())
        await end_run(tx, run)
    elif not run.state.is_terminal:
        run = await close_logs(tx, run)
        if run.state is RunState.PENDING:
            run = run.started(at=await tx.now())
            await tx.runs.save(run)
        run = run.failed(failure=failure, at=await tx.now())
        await end_run(tx, run)
    return run


async def cancelled(tx: Transaction, lease: RunLease) -> None:
    """CANCELLING → CANCELLED. Nothing happens to a run in another state."""
    run = await tx.runs.lock(lease)
    if run.state is RunState.CANCELLING:
        run = await close_logs(tx, run)
        await end_run(tx, run.cancelled(at=await tx.now()))


async def close_logs(tx: Transaction, run: Run) -> Run:
    """Close the logs of the latest attempts. Return the run with how much of each was kept."""
    for execution in run.executions:
        kept_bytes = await close_log(tx, execution)
        run = run.with_execution(execution.model_copy(update={"log_bytes": kept_bytes}))
    return run


async def close_log(tx: Transaction, execution: HookExecution) -> int:
    """Close the log of the latest attempt, if there was one and it is open. Return how many bytes of it were kept."""
    if not execution.attempt:
        return 0
    log = await tx.run_logs.state(execution.id, execution.attempt)
    if log is None or not log.is_closed:
        await tx.run_logs.close(execution.id, execution.attempt, is_truncated=False)
    return 0 if log is None else log.size_bytes
