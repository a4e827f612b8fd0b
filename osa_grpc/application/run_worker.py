"""Takes up runs: claims, renews, cancels, hands back."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from osa_grpc.application import run_steps
from osa_grpc.application.held_run import HeldRun
from osa_grpc.application.patience import OUTAGES, through_outages
from osa_grpc.application.ports import RUN_QUEUE, Doorbell
from osa_grpc.application.run_execution import RunExecutor
from osa_grpc.application.storage_ports import RunLease, Storage, WorkerId
from osa_grpc.domain.errors import LeaseLostError, UnavailableError
from osa_grpc.domain.names import RunId
from osa_grpc.domain.run import RunState

_LOG = structlog.get_logger(__name__)
_SLOTS_WITHOUT_HOOKS: Final = 4


class RunWorker:
    """A role: holds up to `max_runs` runs at once. Cancelled, it stops their containers and hands the runs back; or it leaves the
    containers as they are (`keeps_hooks`), for the next server to adopt.
    """

    name = "runs"

    def __init__(
        self,
        *,
        storage: Storage,
        doorbell: Doorbell,
        executor: RunExecutor,
        worker: WorkerId,
        max_runs: int,
        keeps_hooks: bool = False,
        lease: timedelta = timedelta(seconds=10),
        poll: timedelta = timedelta(seconds=2),
    ) -> None:
        self.ready = asyncio.Event()
        self._storage = storage
        self._doorbell = doorbell
        self._executor = executor
        self._worker = worker
        self._max_runs = max_runs
        self._keeps_hooks = keeps_hooks
        self._lease = lease
        self._poll = poll
        self._held: dict[RunId, HeldRun] = {}

    async def run(self) -> None:
        """Take up runs until cancelled. What is to be published or cancelled waits for no run that has hooks to run."""
        async with asyncio.TaskGroup() as tasks:
            ending = self._take_up(tasks, self._claim_without_hooks, slots=_SLOTS_WITHOUT_HOOKS)
            tasks.create_task(ending, name="take up runs without hooks")
            await self._take_up(tasks, self._claim, slots=self._max_runs)

    async def _take_up(
        self, tasks: asyncio.TaskGroup, claim: Callable[[], Awaitable[RunLease | None]], *, slots: int
    ) -> None:
        free = asyncio.Semaphore(slots)
        with self._doorbell.subscription(RUN_QUEUE) as bell:
            self.ready.set()
            while True:
                await free.acquire()
                bell.clear()
                lease = await through_outages(claim)
                if lease is None:
                    free.release()
                    await bell.wait(at_most=self._poll)
                    continue
                if self._goes_on(lease):
                    free.release()
                    continue
                task = tasks.create_task(self._hold(HeldRun(lease=lease)), name=f"run {lease.run}")
                task.add_done_callback(lambda _: free.release())

    async def _claim(self) -> RunLease | None:
        async with self._storage.transaction() as tx:
            return await tx.runs.claim(self._worker, self._lease)

    async def _claim_without_hooks(self) -> RunLease | None:
        async with self._storage.transaction() as tx:
            return await tx.runs.claim_without_hooks(self._worker, self._lease)

    def _goes_on(self, lease: RunLease) -> bool:
        """Whether this worker works on the run already: its lease had run out, in an outage or while the machine slept.

        Work that is ending goes on no more; another begins beside it.
        """
        held = self._held.get(lease.run)
        if held is None or held.leaves_container:
            return False
        held.lease = lease
        return True

    async def _hold(self, held: HeldRun) -> None:
        """Execute the run while it is ours; nothing it raises takes the worker down."""
        run = held.lease.run
        log = _LOG.bind(run=run)
        self._held[run] = held
        gives_back = stops = False
        until: datetime | None = None
        execution = asyncio.create_task(self._executor.execute(held), name=f"execute {run}")
        keeper = asyncio.create_task(self._keep(held), name=f"keep {run}")
        try:
            await asyncio.wait({execution, keeper}, return_when=asyncio.FIRST_COMPLETED)
            if execution.done():
                until = (await execution).until
            else:
                await _stop(execution)
                if await keeper:  # raises LeaseLostError if that is why
                    await self._executor.finish_cancel(held)
            gives_back = True
        except LeaseLostError:
            log.warning("run taken over by another worker")
        except UnavailableError as error:
            # When its lease has run out it is taken up again: a pause, not a hot loop.
            log.warning("run put back", error=str(error))
        except asyncio.CancelledError:
            gives_back = stops = True
            held.leaves_container |= self._keeps_hooks
            raise
        except Exception:
            log.exception("run put back")
        finally:
            if self._held.get(run) is held:
                del self._held[run]
            await _stop(execution)
            await _stop(keeper)
            if gives_back:
                await self._give_back(held, until=until, stops=stops)

    async def _keep(self, held: HeldRun) -> bool:
        """Renew the lease; return True once the run is to be cancelled. Raises LeaseLostError."""
        loop = asyncio.get_running_loop()
        every = self._lease.total_seconds() / 3
        renew_at = loop.time() + every
        with self._doorbell.subscription(RUN_QUEUE) as bell:
            while True:  # the first look is the executor's, when it takes up the run
                await bell.wait(at_most=timedelta(seconds=max(0.0, renew_at - loop.time())))
                bell.clear()
                if loop.time() >= renew_at:
                    await held.write(lambda: self._renew(held))
                    renew_at = loop.time() + every
                if await through_outages(lambda: self._is_cancelling(held.lease.run)):
                    return True

    async def _is_cancelling(self, run: RunId) -> bool:
        async with self._storage.reading() as tx:
            found = await tx.runs.find(run)
        return found is not None and found.state is RunState.CANCELLING

    async def _renew(self, held: HeldRun) -> None:
        async with self._storage.transaction() as tx:
            await tx.runs.renew(held.lease, self._lease)

    async def _give_back(self, held: HeldRun, *, until: datetime | None, stops: bool) -> None:
        """Let the run go; `stops`: in the middle of it, and not for its own sake."""
        try:
            async with self._storage.transaction() as tx:
                if stops and not held.leaves_container:
                    await run_steps.hand_back(tx, held.lease)
                await tx.runs.release(held.lease, not_before=until)
        except LeaseLostError:
            _LOG.warning("run taken over by another worker", run=held.lease.run)
        except OUTAGES:
            _LOG.warning("run not handed back; its lease runs out", run=held.lease.run)


async def _stop(task: asyncio.Task[object]) -> None:
    """Cancel a task and wait until it is over; what it raises is its own."""
    task.cancel()
    await asyncio.wait({task})
