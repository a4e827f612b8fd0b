"""Writes down what happens while a hook runs, and how it ended, under the lease of its run, as it happens."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from osa_grpc.application.abandoning import AbandonableOutputs
from osa_grpc.application.patience import through_outages
from osa_grpc.application.ports import HookEnd, HookJob, HookOutputs
from osa_grpc.application.run_control import end_run
from osa_grpc.application.storage_ports import RunLease, Storage, Transaction
from osa_grpc.application.verdict import Judgement, judge
from osa_grpc.domain.hook import HookDefinition
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
from osa_grpc.domain.run_event import HookFinished, HookProgressed, HookStarted, RunEventKind

RowCount = Callable[[HookOutputs, HookDefinition, str], int]
"""Decodes a hook's rows, and returns how many there are. Blocks; raises BadOutputError."""


@dataclass(frozen=True, kw_only=True)
class ObservationLimits:
    """How much of one attempt is kept: log bytes, and progress events."""

    log_bytes: int = 16 * 2**20
    progress_events: int = 10_000


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The verdict on an attempt, what was judged, and the run as it was written down."""

    judgement: Judgement
    outputs: HookOutputs | None
    run: Run


class RunObserver:
    """The `HookObserver` of one attempt. While the database is away it waits; when the lease is lost it raises.

    `is_last`: once this hook has passed, the run is to be published.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        lease: RunLease,
        job: HookJob,
        limits: ObservationLimits,
        count_rows: RowCount,
        is_last: bool,
    ) -> None:
        self._storage = storage
        self._lease = lease
        self._job = job
        self._limits = limits
        self._count_rows = count_rows
        self._is_last = is_last
        self._progress_count = 0
        self._latest: HookProgress | None = None
        self._log_bytes = 0
        self._is_log_truncated = False
        self._judged: tuple[HookEnd, Judgement] | None = None
        self._written: Run | None = None

    @property
    def leaves_container(self) -> bool:
        """Whether the container stays as it is if the attempt is cut off now."""
        return False

    async def waiting(self, reason: WaitingReason) -> None:
        """The attempt waits before its container can start."""

    async def missed_log(self) -> None:
        """Mark the place in the log."""

        async def write() -> None:
            async with self._storage.transaction() as tx:
                await tx.run_logs.mark_gap(self._lease, self._job.execution, self._job.attempt)

        await through_outages(write)

    async def started(self, provenance: Provenance) -> None:
        """Say that the container runs, and what it is."""

        async def write(tx: Transaction, run: Run) -> None:
            execution = run.execution(self._job.hook.name).model_copy(
                update={
                    "state": HookExecutionState.RUNNING,
                    "started_at": await tx.now(),
                    "provenance": provenance,
                }
            )
            await tx.runs.save(run.with_execution(execution))
            await tx.runs.append(
                run.id,
                [HookStarted(hook=execution.hook, attempt=self._job.attempt, image_id=provenance.image_id)],
            )

        await self._under_lease(write)

    async def wrote_log(self, data: bytes) -> None:
        """Keep the bytes, up to the cap."""
        kept = data[: self._limits.log_bytes - self._log_bytes]
        self._is_log_truncated |= len(kept) < len(data)
        if not kept:
            return

        async def write() -> None:
            async with self._storage.transaction() as tx:
                await tx.run_logs.append(
                    self._lease, self._job.execution, self._job.attempt, self._log_bytes, kept
                )

        await through_outages(write)
        self._log_bytes += len(kept)

    async def progressed(self, lines: Sequence[HookProgress]) -> None:
        """Append the lines to the history, up to the cap; count the rest."""
        if not lines:
            return
        kept = lines[: max(0, self._limits.progress_events - self._progress_count)]
        self._progress_count += len(lines)
        self._latest = lines[-1]
        if not kept:
            return

        async def write(tx: Transaction, run: Run) -> None:
            execution = run.execution(self._job.hook.name)
            await tx.runs.save(run.with_execution(execution.model_copy(update={"progress": kept[-1]})))
            await tx.runs.append(
                run.id,
                [
                    HookProgressed(hook=execution.hook, attempt=self._job.attempt, progress=line)
                    for line in kept
                ],
            )

        await self._under_lease(write)

    async def ended(self, end: HookEnd) -> None:
        """Judge; and if it has passed, write that. A verdict that ends the run is written once the container is gone."""
        judged, judgement = await self._judgement(end)
        self._judged = judged, judgement
        if judgement.verdict is Verdict.PASSED:
            self._written = await self._write(judged, judgement)

    async def conclude(self, end: HookEnd) -> Conclusion:
        """Write the verdict, unless `ended` has; and if it is not `passed`, the run's end. The container is gone."""
        if self._judged is None:
            self._judged = await self._judgement(end)
        judged, judgement = self._judged
        run = self._written or await self._write(judged, judgement)
        return Conclusion(judgement=judgement, outputs=judged.outputs, run=run)

    async def _judgement(self, end: HookEnd) -> tuple[HookEnd, Judgement]:
        """Judge in a thread, which is not left at work when the call is cancelled: the process could not end before it."""
        given_up = threading.Event()
        try:
            return await asyncio.to_thread(self._judge, end, given_up)
        finally:
            given_up.set()

    def _judge(self, end: HookEnd, given_up: threading.Event) -> tuple[HookEnd, Judgement]:
        """Read the outputs (blocking), and complete the provenance with their digest."""
        if end.outputs is None:
            return end, judge(end, lambda _: 0)
        outputs = AbandonableOutputs(end.outputs, given_up=given_up)
        judgement = judge(
            replace(end, outputs=outputs),
            lambda outputs: self._count_rows(outputs, self._job.hook, self._job.subject.id),
        )
        digest = {"output_sha256": outputs.sha256()}
        return replace(end, provenance=end.provenance.model_copy(update=digest)), judgement

    async def _write(self, end: HookEnd, judgement: Judgement) -> Run:
        async def write() -> Run:
            async with self._storage.transaction() as tx:
                run = await tx.runs.lock(self._lease)
                execution = run.execution(self._job.hook.name)
                if execution.state is HookExecutionState.FINISHED:
                    return run  # the commit whose answer was cut off had happened
                await tx.run_logs.close(
                    self._job.execution, self._job.attempt, is_truncated=self._is_log_truncated
                )
                if run.state is RunState.CANCELLING:
                    return run
                now = await tx.now()
                finished = self._finished(execution, end, judgement, at=now)
                return await self._save(tx, run.with_execution(finished), end, judgement, at=now)

        return await through_outages(write)

    async def _save(
        self, tx: Transaction, run: Run, end: HookEnd, judgement: Judgement, *, at: datetime
    ) -> Run:
        events = self._last_events(end, judgement)
        match judgement.verdict:
            case Verdict.PASSED:
                if self._is_last and run.state is RunState.RUNNING:
                    run = run.publishing()
                await tx.runs.save(run)
                await tx.runs.append(run.id, events)
            case Verdict.REJECTED:
                run = run.rejected(reason=judgement.rejection_reason or "", at=at)
                await end_run(tx, run, before=tuple(events))
            case Verdict.FAILED:
                assert judgement.failure is not None
                run = run.failed(failure=judgement.failure, at=at)
                await end_run(tx, run, before=tuple(events))
        return run

    def _finished(
        self, execution: HookExecution, end: HookEnd, judgement: Judgement, *, at: datetime
    ) -> HookExecution:
        return execution.model_copy(
            update={
                "state": HookExecutionState.FINISHED,
                "verdict": judgement.verdict,
                "rejection_reason": judgement.rejection_reason,
                "failure": judgement.failure,
                "row_count": judgement.row_count,
                "log_bytes": self._log_bytes,
                "ended_at": at,
                "provenance": end.provenance,
            }
        )

    def _last_events(self, end: HookEnd, judgement: Judgement) -> list[RunEventKind]:
        events: list[RunEventKind] = []
        dropped_count = self._progress_count - self._limits.progress_events
        if dropped_count > 0 and self._latest is not None:
            events.append(
                HookProgressed(
                    hook=self._job.hook.name,
                    attempt=self._job.attempt,
                    progress=self._latest,
                    dropped_count=dropped_count,
                )
            )
        events.append(
            HookFinished(
                hook=self._job.hook.name,
                attempt=self._job.attempt,
                verdict=judgement.verdict,
                rejection_reason=judgement.rejection_reason,
                failure=judgement.failure,
                row_count=judgement.row_count,
                duration=_duration(end),
            )
        )
        return events

    async def _under_lease(self, write: Callable[[Transaction, Run], Awaitable[None]]) -> None:
        before = -1

        async def once() -> None:
            nonlocal before
            async with self._storage.transaction() as tx:
                run = await tx.runs.lock(self._lease)
                if 0 <= before < run.last_sequence:
                    return  # the commit whose answer was cut off had happened
                before = run.last_sequence
                await write(tx, run)

        await through_outages(once)


def _duration(end: HookEnd) -> timedelta:
    if end.started_at is None or end.ended_at is None:
        return timedelta()
    return max(timedelta(), end.ended_at - end.started_at)
