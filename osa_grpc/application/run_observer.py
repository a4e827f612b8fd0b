"""Writes down what happens while a hook runs, under the lease of its run, as it happens."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from osa_grpc.application.patience import through_outages
from osa_grpc.application.ports import HookJob
from osa_grpc.application.storage_ports import RunLease, Storage, Transaction
from osa_grpc.domain.run import HookExecutionState, HookProgress, Provenance, Run
from osa_grpc.domain.run_event import HookProgressed, HookStarted


@dataclass(frozen=True, kw_only=True)
class ObservationLimits:
    """How much of one attempt is kept: log bytes, and progress events."""

    log_bytes: int = 16 * 2**20
    progress_events: int = 10_000


class RunObserver:
    """The `HookObserver` of one attempt. While the database is away it waits; when the lease is lost it raises."""

    def __init__(self, *, storage: Storage, lease: RunLease, job: HookJob, limits: ObservationLimits) -> None:
        self._storage = storage
        self._lease = lease
        self._job = job
        self._limits = limits
        self._progress_count = 0
        self._latest: HookProgress | None = None
        self.log_bytes = 0
        self.is_log_truncated = False

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
        kept = data[: self._limits.log_bytes - self.log_bytes]
        self.is_log_truncated |= len(kept) < len(data)
        if not kept:
            return

        async def write() -> None:
            async with self._storage.transaction() as tx:
                await tx.run_logs.append(
                    self._job.run, self._job.execution, self._job.attempt, self.log_bytes, kept
                )

        await through_outages(write)
        self.log_bytes += len(kept)

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

    def dropped_progress(self) -> HookProgressed | None:
        """Return the event that says how many progress lines were not kept; None if all were."""
        dropped = self._progress_count - self._limits.progress_events
        if dropped <= 0 or self._latest is None:
            return None
        return HookProgressed(
            hook=self._job.hook.name,
            attempt=self._job.attempt,
            progress=self._latest,
            dropped_count=dropped,
        )

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
