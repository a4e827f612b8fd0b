"""Publication: one transaction makes the record, the rows of all hooks and `run_finished` visible together."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from osa_grpc.application.disk_room import DiskRoom
from osa_grpc.application.ports import HookOutputs
from osa_grpc.application.row_decoding import stream_rows
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

_ROWS_BETWEEN_LOOKS: Final = 64


def row_stream(*, room: DiskRoom | None) -> RowStream:
    """Return what decodes rows; where the database is on a disk of ours, its `room`, no more of them than the reserve allows.

    The stream raises ResourceExhaustedError (`DISK_FULL`) when it comes to that.
    """

    async def rows(
        outputs: HookOutputs, hook: HookDefinition, subject_id: str
    ) -> AsyncIterator[tuple[object, ...]]:
        count = 0
        async with aclosing(stream_rows(outputs, hook, subject_id=subject_id)) as decoded:
            async for row in decoded:
                if room is not None and count % _ROWS_BETWEEN_LOOKS == 0:
                    room.demand()
                count += 1
                yield row

    return rows


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
