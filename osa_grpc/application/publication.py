"""Publication: one transaction makes the record, the rows of all hooks and `run_finished` visible together."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from osa_grpc.application.ports import HookOutputs
from osa_grpc.application.run_control import end_run
from osa_grpc.application.storage_ports import RunLease, Transaction
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.events import RecordPublished as RecordPublishedEvent
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.names import ExecutionId, RecordRef, new_id
from osa_grpc.domain.record import Record
from osa_grpc.domain.run import Run, RunState
from osa_grpc.domain.run_event import RecordPublished
from osa_grpc.domain.srn import SrnAuthority

RowStream = Callable[[HookOutputs, HookDefinition, str], AsyncIterator[tuple[object, ...]]]
"""Decodes a hook's rows about a subject (by its id), with bounded memory."""


@dataclass(frozen=True, kw_only=True)
class PassedHook:
    """A hook that passed, and what it left behind."""

    hook: HookDefinition
    execution: ExecutionId
    outputs: HookOutputs


async def publish(
    tx: Transaction,
    lease: RunLease,
    passed: Sequence[PassedHook],
    *,
    authority: SrnAuthority,
    rows: RowStream,
) -> Run:
    """PUBLISHING → COMPLETED. The run's row is locked and the record written after the rows, so that nobody waits for a COPY:
    no watcher, canceller, or other publication, and no convention whose tables are made.

    A run in another state is returned as it was found, and nothing is written: a commit whose answer was cut off may have happened,
    or a person has to decide first. A decision of this very moment is not seen here: the run is taken up anew for it.

    Raises:
        LeaseLostError: another worker has the run, or it is over: nothing was written.
    """
    run = await tx.runs.find(lease.run)
    assert run is not None
    if run.state is not RunState.PUBLISHING:
        await tx.runs.lock(lease)
        return run
    deposition = await tx.depositions.find(run.source.deposition)
    assert deposition is not None
    now = await tx.now()
    ref = RecordRef(id=new_id())
    srn = authority.record(ref)
    for one in passed:
        await tx.feature_rows.replace(
            hook=one.hook,
            record_srn=srn,
            execution=one.execution,
            rows=rows(one.outputs, one.hook, deposition.id),
        )
    locked = await tx.runs.lock(lease)
    if locked.state is not RunState.PUBLISHING:
        raise LeaseLostError(f"run {run.id} was {locked.state} when its rows were there")
    await tx.records.insert(
        Record(
            ref=ref,
            srn=srn,
            deposition=deposition.id,
            run=run.id,
            convention=run.convention,
            metadata=deposition.metadata,
            file_count=deposition.file_count,
            created_at=now,
        )
    )
    over = locked.completed(record=ref, at=now)
    await end_run(tx, over, before=(RecordPublished(record=ref),))
    await tx.events.append(RecordPublishedEvent(record=ref, run=run.id))
    return over
