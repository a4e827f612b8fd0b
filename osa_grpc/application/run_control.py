"""What people ask of runs, and how every run ends."""

from osa_grpc.application.depositing import submit
from osa_grpc.application.storage_ports import Transaction
from osa_grpc.domain.deposition import DepositionState
from osa_grpc.domain.errors import NotFoundError, PreconditionError, PreconditionViolation
from osa_grpc.domain.events import RunFinished as RunFinishedEvent
from osa_grpc.domain.names import RunId, run_name
from osa_grpc.domain.run import Review, Ruling, Run, RunState
from osa_grpc.domain.run_event import CancelRequested, Reviewed, RunEventKind, RunFinished


def no_run(run: RunId) -> NotFoundError:
    """Return the error of a run that is not there."""
    return NotFoundError(resource_type="opensciencearchive.org/Run", name=run_name(run))


async def request_cancel(tx: Transaction, run: RunId) -> Run:
    """Make the run CANCELLING; whoever holds it stops its container. One that is so already, or CANCELLED, is given back as it is.

    One that nothing was done for yet is CANCELLED at once.

    Raises:
        PreconditionError: it is PUBLISHING or has another end (`RUN_NOT_CANCELLABLE`).
    """
    found = await tx.runs.lock_unleased(run)
    if found is None:
        raise no_run(run)
    match found.state:
        case RunState.CANCELLING | RunState.CANCELLED:
            return found
        case RunState.PENDING | RunState.RUNNING | RunState.AWAITING_REVIEW:
            cancelling = found.cancelling()
            await tx.runs.save(cancelling)
            last = await tx.runs.append(run, [CancelRequested()])
            if found.state is not RunState.PENDING:
                return cancelling.model_copy(update={"last_sequence": last})
            over = cancelling.cancelled(at=await tx.now())
            last = await end_run(tx, over)
            return over.model_copy(update={"last_sequence": last})
        case _:
            raise _refusal(
                found,
                f"{run_name(run)} is {found.state.value} and cannot be cancelled any more",
                reason="RUN_NOT_CANCELLABLE",
                because=f"it is {found.state.value}",
            )


async def retry_run(tx: Transaction, run: RunId) -> Run:
    """Submit the run's deposition once more, as it is now; return the new run, whose `retry_of` is this one.

    Raises:
        PreconditionError: the run is not over, published, or is not its deposition's latest (`RUN_NOT_RETRYABLE`); or the
            deposition is not complete any more (`DEPOSITION_INCOMPLETE`).
    """
    found = await tx.runs.find(run)
    if found is None:
        raise no_run(run)
    if not found.state.is_terminal or found.state is RunState.COMPLETED:
        raise _not_retryable(found, f"it is {found.state.value}")
    deposition = await tx.depositions.find(found.source.deposition, for_update=True)
    if deposition is None:
        raise _not_retryable(found, "its deposition was deleted")
    if deposition.run != run:
        latest = "another run" if deposition.run is None else run_name(deposition.run)
        raise _not_retryable(found, f"its deposition was submitted again: {latest}")
    return await submit(tx, deposition.id, etag="", retry_of=run)


async def review_run(tx: Transaction, run: RunId, ruling: Ruling) -> Run:
    """Write down what a person decided: the run is PUBLISHING, for a worker to take up, or it is over.

    The same decision again gives the run back as it is; of two opposite ones the first counts.

    Raises:
        PreconditionError: it does not wait for a review, or was decided otherwise (`RUN_NOT_REVIEWABLE`).
    """
    found = await tx.runs.lock_unleased(run)
    if found is None:
        raise no_run(run)
    if found.review is not None:
        if found.review.decision is ruling.decision:
            return found
        raise _not_reviewable(found, f"it was decided otherwise: {found.review.decision.value}")
    if found.state is not RunState.AWAITING_REVIEW:
        raise _not_reviewable(found, f"it is {found.state.value}")
    review = Review(decision=ruling.decision, reason=ruling.reason, reviewed_at=await tx.now())
    told = Reviewed(decision=review.decision, reason=review.reason)
    decided = found.reviewed(review)
    if decided.state.is_terminal:
        last = await end_run(tx, decided, before=(told,))
    else:
        await tx.runs.save(decided)
        last = await tx.runs.append(run, [told])
    return decided.model_copy(update={"last_sequence": last})


async def end_run(tx: Transaction, over: Run, *, before: tuple[RunEventKind, ...] = ()) -> int:
    """Write a run's terminal state, its last events and what becomes of its deposition; return the last sequence.

    The run was locked in this transaction.
    Whoever sees `run_finished` sees everything else that this transaction wrote.
    """
    assert over.state.is_terminal
    await tx.runs.save(over)
    last = await tx.runs.append(
        over.id,
        [
            *before,
            RunFinished(
                state=over.state,
                record=over.record,
                rejection_reason=over.rejection_reason,
                failure=over.failure,
            ),
        ],
    )
    deposition = await tx.depositions.find(over.source.deposition, for_update=True)
    if deposition is not None and deposition.run == over.id:
        published = over.state is RunState.COMPLETED
        await tx.depositions.save(
            deposition.model_copy(
                update={
                    "state": DepositionState.PUBLISHED if published else DepositionState.DRAFT,
                    "record": over.record,
                    "rejection_reason": reason_of(over),
                }
            )
        )
    await tx.events.append(RunFinishedEvent(run=over.id, state=over.state))
    return last


def reason_of(run: Run) -> str | None:
    """Return why a run that is over did not publish; None if it did."""
    match run.state:
        case RunState.REJECTED:
            return run.rejection_reason
        case RunState.FAILED:
            return f"{run.failure.kind.value}: {run.failure.message}" if run.failure else "failed"
        case RunState.CANCELLED:
            return "cancelled"
        case _:
            return None


def _not_retryable(run: Run, because: str) -> PreconditionError:
    return _refusal(
        run,
        f"{run_name(run.id)} cannot be retried: {because}",
        reason="RUN_NOT_RETRYABLE",
        because=because,
    )


def _not_reviewable(run: Run, because: str) -> PreconditionError:
    return _refusal(
        run,
        f"{run_name(run.id)} cannot be reviewed: {because}",
        reason="RUN_NOT_REVIEWABLE",
        because=because,
    )


def _refusal(run: Run, message: str, *, reason: str, because: str) -> PreconditionError:
    return PreconditionError(
        message,
        reason=reason,
        violations=[PreconditionViolation(type=reason, subject=run_name(run.id), message=because)],
        metadata={"state": run.state.value},
    )
