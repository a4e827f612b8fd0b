"""Writes down what happens while a hook runs, and how it ended, under the lease of its run, as it happens."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from osa_grpc.application.held_run import HeldRun
from osa_grpc.application.judging import RowCount, judged
from osa_grpc.application.ports import HookEnd, HookJob, HookOutputs
from osa_grpc.application.retry_policy import Again, GiveUp, RetryRules, decide
from osa_grpc.application.run_steps import begin_again, end_by_verdict, hooks_have_passed
from osa_grpc.application.storage_ports import Storage, Transaction
from osa_grpc.application.verdict import Judgement
from osa_grpc.domain.convention import ReviewMode
from osa_grpc.domain.failure import Failure
from osa_grpc.domain.run import (
    HookExecution,
    HookExecutionState,
    HookProgress,
    Provenance,
    Run,
    RunState,
    Verdict,
    Waiting,
    WaitingReason,
)
from osa_grpc.domain.run_event import HookFinished, HookProgressed, HookStarted, RunEventKind


@dataclass(frozen=True, kw_only=True)
class ObservationLimits:
    """How much of one attempt is kept: log bytes, and progress events."""

    log_bytes: int = 16 * 2**20
    progress_events: int = 10_000


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The verdict on an attempt, what was judged, and the run as it was written down. `again`: the verdict does not count, another
    attempt follows.
    """

    judgement: Judgement
    outputs: HookOutputs | None
    run: Run
    again: Again | None = None


class RunObserver:
    """The `HookObserver` of one attempt. While the database is away it waits; when the lease is lost it raises.

    `execution` is the attempt as it is stored: one that goes on has a part of its history and its log already. `review`: once this
    hook has passed, all have, and the run goes on so; None: other hooks follow.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        held: HeldRun,
        job: HookJob,
        execution: HookExecution,
        limits: ObservationLimits,
        retry: RetryRules,
        count_rows: RowCount,
        review: ReviewMode | None,
    ) -> None:
        self._storage = storage
        self._held = held
        self._job = job
        self._limits = limits
        self._retry = retry
        self._count_rows = count_rows
        self._review = review
        self._failure_count = execution.failure_count
        self._told_line_count = execution.progress_count
        self._line_count = 0
        self._latest: HookProgress | None = execution.progress
        self._log_bytes = 0 if job.resumption is None else job.resumption.log_bytes
        self._is_log_truncated = False
        self._conclusion: Conclusion | None = None

    @property
    def leaves_container(self) -> bool:
        """Whether the container stays as it is if the attempt is cut off now."""
        return self._held.leaves_container

    async def waiting(self, reason: WaitingReason) -> None:
        """Say what the attempt waits for."""

        async def write(tx: Transaction, run: Run, execution: HookExecution) -> None:
            if execution.state is HookExecutionState.WAITING:
                changes = {"waiting": Waiting(reason=reason)}
                await tx.runs.save(run.with_execution(execution.model_copy(update=changes)))

        await self._write(write)

    async def started(self, provenance: Provenance) -> None:
        """Say that the container runs, and what it is; once for an attempt."""

        async def write(tx: Transaction, run: Run, execution: HookExecution) -> None:
            if execution.state is not HookExecutionState.WAITING:
                return
            changes = {
                "state": HookExecutionState.RUNNING,
                "waiting": None,
                "started_at": await tx.now(),
                "provenance": provenance,
            }
            await tx.runs.save(run.with_execution(execution.model_copy(update=changes)))
            told = HookStarted(hook=execution.hook, attempt=execution.attempt, image_id=provenance.image_id)
            await tx.runs.append(run.id, [told])

        await self._write(write)

    async def missed_log(self) -> None:
        """Mark the place in the log."""

        async def write() -> None:
            async with self._storage.transaction() as tx:
                await tx.run_logs.mark_gap(self._held.lease, self._job.execution, self._job.attempt)

        await self._held.write(write)

    async def wrote_log(self, data: bytes) -> None:
        """Keep the bytes, up to the cap."""
        kept = data[: max(0, self._limits.log_bytes - self._log_bytes)]
        is_truncated = len(kept) < len(data)
        if not kept and (self._is_log_truncated or not is_truncated):
            return

        async def write() -> None:
            async with self._storage.transaction() as tx:
                await tx.run_logs.append(
                    self._held.lease,
                    self._job.execution,
                    self._job.attempt,
                    self._log_bytes,
                    kept,
                    is_truncated=is_truncated,
                )

        await self._held.write(write)
        self._log_bytes += len(kept)
        self._is_log_truncated |= is_truncated

    async def progressed(self, lines: Sequence[HookProgress]) -> None:
        """Append the lines to the history, up to the cap; count the rest. Those that it has are left out."""
        if not lines:
            return
        before = self._line_count
        self._line_count += len(lines)
        self._latest = lines[-1]
        kept = lines[max(0, self._told_line_count - before) : max(0, self._limits.progress_events - before)]
        if not kept:
            return
        count = min(self._line_count, self._limits.progress_events)

        async def write(tx: Transaction, run: Run, execution: HookExecution) -> None:
            if execution.progress_count >= count:
                return  # the commit whose answer was cut off had happened
            changes = {"progress": kept[-1], "progress_count": count}
            await tx.runs.save(run.with_execution(execution.model_copy(update=changes)))
            told = [
                HookProgressed(hook=execution.hook, attempt=execution.attempt, progress=line) for line in kept
            ]
            await tx.runs.append(run.id, told)

        await self._write(write)

    async def ended(self, end: HookEnd) -> None:
        """Judge, and write the verdict or the attempt to come: no crash takes it back, though the container is still there."""
        end, judgement = await judged(self._job, end, self._count_rows)
        again: Again | None = None
        if judgement.failure is not None:
            match self._decision(judgement.failure):
                case Again() as again:
                    pass
                case GiveUp(failure=failure):
                    judgement = Judgement(verdict=Verdict.FAILED, failure=failure)
        run = await self._conclude(end, judgement, again)
        self._conclusion = Conclusion(judgement=judgement, outputs=end.outputs, run=run, again=again)

    async def conclude(self, end: HookEnd) -> Conclusion:
        """Write the verdict, unless `ended` has; and if it ends the run, that: the container is gone."""
        if self._conclusion is None:
            await self.ended(end)
        conclusion = self._conclusion
        assert conclusion is not None
        if conclusion.again is not None or conclusion.judgement.verdict is Verdict.PASSED:
            return conclusion

        async def write() -> Run:
            async with self._storage.transaction() as tx:
                return await end_by_verdict(tx, self._held.lease, self._job.hook.name)

        return replace(conclusion, run=await self._held.write(write))

    def _decision(self, failure: Failure) -> Again | GiveUp:
        return decide(
            failure,
            failure_count=self._failure_count + 1,
            memory_bytes=self._job.memory_bytes or self._job.hook.runtime.limits.memory_bytes,
            rules=self._retry,
        )

    async def _conclude(self, end: HookEnd, judgement: Judgement, again: Again | None = None) -> Run:
        async def write() -> Run:
            async with self._storage.transaction() as tx:
                run = await tx.runs.lock(self._held.lease)
                execution = run.execution(self._job.hook.name)
                if execution.is_over or execution.attempt > self._job.attempt:
                    return run  # the commit whose answer was cut off had happened
                await tx.run_logs.close(
                    self._job.execution, self._job.attempt, is_truncated=self._is_log_truncated
                )
                if run.state is RunState.CANCELLING:
                    return run
                if again is not None:
                    assert judgement.failure is not None
                    last = self._last_progress()
                    return await begin_again(tx, run, execution, judgement.failure, again, before=last)
                run = run.with_execution(self._finished(execution, end, judgement, at=await tx.now()))
                events = [*self._last_progress(), self._finish(end, judgement)]
                if judgement.verdict is Verdict.PASSED and self._review is not None:
                    run, then = hooks_have_passed(run, self._review)
                    events += then
                await tx.runs.save(run)
                await tx.runs.append(run.id, events)
                return run

        return await self._held.write(write)

    def _finished(
        self, execution: HookExecution, end: HookEnd, judgement: Judgement, *, at: datetime
    ) -> HookExecution:
        return execution.model_copy(
            update={
                "state": HookExecutionState.FINISHED,
                "waiting": None,
                "verdict": judgement.verdict,
                "rejection_reason": judgement.rejection_reason,
                "failure": judgement.failure,
                "row_count": judgement.row_count,
                "log_bytes": self._log_bytes,
                "ended_at": at,
                "provenance": end.provenance,
            }
        )

    def _last_progress(self) -> list[RunEventKind]:
        dropped_count = self._line_count - self._limits.progress_events
        if dropped_count <= 0 or self._latest is None:
            return []
        return [
            HookProgressed(
                hook=self._job.hook.name,
                attempt=self._job.attempt,
                progress=self._latest,
                dropped_count=dropped_count,
            )
        ]

    def _finish(self, end: HookEnd, judgement: Judgement) -> HookFinished:
        return HookFinished(
            hook=self._job.hook.name,
            attempt=self._job.attempt,
            verdict=judgement.verdict,
            rejection_reason=judgement.rejection_reason,
            failure=judgement.failure,
            row_count=judgement.row_count,
            duration=_duration(end),
        )

    async def _write(self, write: Callable[[Transaction, Run, HookExecution], Awaitable[None]]) -> None:
        """Write about the attempt, in a transaction that may be done twice."""

        async def once() -> None:
            async with self._storage.transaction() as tx:
                run = await tx.runs.lock(self._held.lease)
                await write(tx, run, run.execution(self._job.hook.name))

        await self._held.write(once)


def _duration(end: HookEnd) -> timedelta:
    if end.started_at is None or end.ended_at is None:
        return timedelta()
    return max(timedelta(), end.ended_at - end.started_at)
