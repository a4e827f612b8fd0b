"""Takes up runs: claims, renews, cancels, hands back."""

import asyncio
from datetime import timedelta

import structlog

from osa_grpc.application.patience import OUTAGES, through_outages
from osa_grpc.application.ports import RUN_QUEUE, Doorbell
from osa_grpc.application.run_execution import RunExecutor
from osa_grpc.application.storage_ports import RunLease, Storage, WorkerId
from osa_grpc.domain.errors import LeaseLostError, UnavailableError
from osa_grpc.domain.run import RunState

_LOG = structlog.get_logger(__name__)


class RunWorker:
    """A role: holds up to `max_runs` runs at once. Cancelled, it stops their containers and hands the runs back."""

    name = "runs"

    def __init__(
        self,
        *,
        storage: Storage,
        doorbell: Doorbell,
        executor: RunExecutor,
        worker: WorkerId,
        max_runs: int,
        lease: timedelta = timedelta(seconds=10),
        poll: timedelta = timedelta(seconds=2),
    ) -> None:
        self.ready = asyncio.Event()
        self._storage = storage
        self._doorbell = doorbell
        self._executor = executor
        self._worker = worker
        self._max_runs = max_runs
        self._lease = lease
        self._poll = poll

    async def run(self) -> None:
        """Take up runs until cancelled."""
        places = asyncio.Semaphore(self._max_runs)
        async with asyncio.TaskGroup() as tasks:
            with self._doorbell.subscription(RUN_QUEUE) as bell:
                self.ready.set()
                while True:
                    await places.acquire()
                    bell.clear()
                    lease = await through_outages(self._claim)
                    if lease is None:
                        places.release()
                        await bell.wait(at_most=self._poll)
                        continue
                    task = tasks.create_task(self._hold(lease), name=f"run {lease.run}")
                    task.add_done_callback(lambda _: places.release())

    async def _claim(self) -> RunLease | None:
        async with self._storage.transaction() as tx:
            return await tx.runs.claim(self._worker, self._lease)

    async def _hold(self, lease: RunLease) -> None:
        """Execute the run while it is ours; nothing it raises takes the worker down."""
        log = _LOG.bind(run=lease.run, epoch=lease.epoch)
        gives_back = True
        execution = asyncio.create_task(self._executor.execute(lease), name=f"execute {lease.run}")
        keeper = asyncio.create_task(self._keep(lease), name=f"keep {lease.run}")
        try:
            await asyncio.wait({execution, keeper}, return_when=asyncio.FIRST_COMPLETED)
            if execution.done():
                await execution
            else:
                await _stop(execution)
                if await keeper:  # raises LeaseLostError if that is why
                    await self._executor.finish_cancel(lease)
        except LeaseLostError:
            log.warning("run taken over by another worker")
        except UnavailableError as error:
            gives_back = False  # when its lease has run out it is taken up again: a pause, not a hot loop
            log.warning("run put back", error=str(error))
        except Exception:
            gives_back = False
            log.exception("run put back")
        finally:
            await _stop(execution)
            await _stop(keeper)
            if gives_back:
                await self._release(lease)

    async def _keep(self, lease: RunLease) -> bool:
        """Renew the lease; return True once the run is to be cancelled. Raises LeaseLostError."""
        loop = asyncio.get_running_loop()
        every = self._lease.total_seconds() / 3
        renew_at = loop.time() + every
        with self._doorbell.subscription(RUN_QUEUE) as bell:
            while True:  # the first look is the executor's, when it takes up the run
                await bell.wait(at_most=timedelta(seconds=max(0.0, renew_at - loop.time())))
                bell.clear()
                if loop.time() >= renew_at:
                    await through_outages(lambda: self._renew(lease))
                    renew_at = loop.time() + every
                if await through_outages(lambda: self._is_cancelling(lease)):
                    return True

    async def _is_cancelling(self, lease: RunLease) -> bool:
        async with self._storage.reading() as tx:
            run = await tx.runs.find(lease.run)
        return run is not None and run.state is RunState.CANCELLING

    async def _renew(self, lease: RunLease) -> None:
        async with self._storage.transaction() as tx:
            await tx.runs.renew(lease, self._lease)

    async def _release(self, lease: RunLease) -> None:
        try:
            async with self._storage.transaction() as tx:
                await tx.runs.release(lease)
        except OUTAGES:
            _LOG.warning("run not handed back; its lease runs out", run=lease.run)


async def _stop(task: asyncio.Task[object]) -> None:
    """Cancel a task and wait until it is over; what it raises is its own."""
    task.cancel()
    await asyncio.wait({task})
