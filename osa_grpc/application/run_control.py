"""What people ask of runs, and how every run ends."""

from osa_grpc.application.storage_ports import Transaction
from osa_grpc.domain.deposition import DepositionState
from osa_grpc.domain.errors import NotFoundError, PreconditionError, PreconditionViolation
from osa_grpc.domain.events import RunFinished as RunFinishedEvent
from osa_grpc.domain.names import RunId, run_name
from osa_grpc.domain.run import Run, RunState
from osa_grpc.domain.run_event import CancelRequested, RunEventKind, RunFinished


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
        case RunState.PENDING | RunState.RUNNING:
            cancelling = found.cancelling()
            await tx.runs.save(cancelling)
            last = await tx.runs.append(run, [CancelRequested()])
            if found.state is RunState.RUNNING:
                return cancelling.model_copy(update={"last_sequence": last})
            over = cancelling.cancelled(at=await tx.now())
            last = await end_run(tx, over)
            return over.model_copy(update={"last_sequence": last})
        case _:
            raise PreconditionError(
                f"{run_name(run)} is {found.state.value} and cannot be cancelled any more",
                reason="RUN_NOT_CANCELLABLE",
                violations=[
                    PreconditionViolation(
                        type="RUN_NOT_CANCELLABLE",
                        subject=run_name(run),
                        message=f"it is {found.state.value}",
                    )
                ],
                metadata={"state": found.state.value},
            )


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
