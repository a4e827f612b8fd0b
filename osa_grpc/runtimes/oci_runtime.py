"""Hooks that are containers: from staging the inputs to the facts about how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Self

import structlog

from osa_grpc.application.ports import HookEnd
from osa_grpc.domain.errors import ResourceExhaustedError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.names import RunId, is_id
from osa_grpc.domain.run import Provenance, WaitingReason
from osa_grpc.runtimes.engine import (
    ConfigRefusedError,
    ContainerSpec,
    EngineError,
    ImageNotThereError,
    ResolvedImage,
)
from osa_grpc.runtimes.log_pump import LogPump
from osa_grpc.runtimes.output_quota import OutputQuota
from osa_grpc.runtimes.outputs import OutputBounds, OutputDirectory
from osa_grpc.runtimes.progress_tail import ProgressTail
from osa_grpc.runtimes.staging import (
    StagedInput,
    container_user,
    output_directory,
    remove_tree,
    run_directory,
    stage,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path
    from types import TracebackType

    from osa_grpc.application.ports import (
        EngineDescription,
        FileStore,
        HookJob,
        HookObserver,
        HookOutputs,
        RunIsLive,
    )
    from osa_grpc.domain.hook import OciLimits
    from osa_grpc.runtimes.engine import Container, ContainerEngine, ContainerExit

_log = structlog.get_logger(__name__)

_LABEL: Final = "org.opensciencearchive."
_SERVER_LABEL: Final = _LABEL + "server"
_RUN_LABEL: Final = _LABEL + "run"
_LAST_BYTES_SECONDS: Final = 10.0
_CACHES: Final = {"HOME": "/tmp", "TMPDIR": "/tmp", "XDG_CACHE_HOME": "/tmp/.cache"}  # noqa: S108 - inside the container


@dataclass(frozen=True, kw_only=True)
class OciRules:
    """What holds for every container of this server."""

    pull_timeout: timedelta = timedelta(minutes=30)
    stop_grace: timedelta = timedelta(seconds=10)
    output_quota_bytes: int = 10 * 2**30
    output_quota_files: int = 100_000
    log_cap_bytes: int = 100 * 2**20
    """How much of an attempt's log the server keeps; the engine's own copy is twice that."""
    bounds: OutputBounds = field(default_factory=OutputBounds)


class OciRuntime:
    """Runs hooks as containers of one engine. Fills the port `HookRuntime`.

    `server_id` is who this server is among all that share the engine; it stays the same when the server is started again.
    """

    runtime_type = "oci"

    def __init__(
        self,
        *,
        engine: ContainerEngine,
        files: FileStore,
        work_directory: Path,
        server_id: str,
        rules: OciRules = OciRules(),
    ) -> None:
        self._engine = engine
        self._files = files
        self._work_directory = work_directory.absolute()  # the engine looks from elsewhere
        self._server_id = server_id
        self._rules = rules

    async def run(self, job: HookJob, observer: HookObserver) -> HookEnd:
        """Stage the inputs, run the hook to its end, and return how it ended; the outputs stay until `discard`."""
        config = job.hook.runtime
        provenance = Provenance(image=config.image, digest=config.digest)
        attempt = _Attempt(job=job, observer=observer, rules=self._rules, provenance=provenance)
        try:
            if job.attempt > 1 or job.resumption is not None:
                await self._remove_containers(job.run)  # of a server that went away in the middle
            engine = await self._engine.described()
            limits = _limits_in_force(job, engine)
            image = await self._engine.resolve(
                image=config.image,
                digest=config.digest,
                pull_timeout=self._rules.pull_timeout,
                on_pull=lambda: observer.waiting(WaitingReason.IMAGE),
            )
            staged = await stage(job, files=self._files, work_directory=self._work_directory)
            attempt.provenance = provenance.model_copy(
                update={
                    "image_id": image.id,
                    "config_sha256": staged.config_sha256,
                    "input_sha256": staged.input_sha256,
                    "limits": limits,
                    "engine": engine.description,
                }
            )
            spec = self._spec(job, image, staged, limits)
            async with (
                _Telling() as telling,
                self._engine.hold(
                    spec, grace=self._rules.stop_grace, leaves=lambda: observer.leaves_container
                ) as container,
            ):
                await attempt.run(container, staged.output_directory, limits)
                end = attempt.end_with_outputs(self._outputs(job))
                telling.begin(observer.ended(end))
        except ImageNotThereError as error:
            return attempt.end(FailureKind.IMAGE_PULL, str(error), retryable=error.retryable)
        except ConfigRefusedError as error:
            return attempt.end(FailureKind.CONFIG, str(error))
        except ResourceExhaustedError as error:  # the disk, while the inputs were put there
            return attempt.end(FailureKind.ENGINE, str(error), retryable=True)
        except EngineError as error:
            return attempt.end(FailureKind.ENGINE, str(error), retryable=True)
        return end

    def outputs(self, job: HookJob) -> HookOutputs | None:
        """Return what an attempt that ended left behind, or None if it is not here (any more)."""
        return self._outputs(job) if output_directory(self._work_directory, job).is_dir() else None

    async def discard(self, run: RunId) -> None:
        """Remove everything of a run. Idempotent. What cannot be removed now is told of in the log, and left to `reap`."""
        try:
            await self._remove_containers(run)
        except EngineError as error:
            _log.warning("containers of a run may be left", run=run, reason=str(error))
        try:
            await asyncio.to_thread(remove_tree, run_directory(self._work_directory, run))
        except OSError as error:
            _log.warning("directories of a run may be left", run=run, reason=str(error))

    async def reap(self, is_live: RunIsLive) -> None:
        """Remove containers and directories of this server's runs that are not live; never another server's."""
        try:
            found = await self._engine.find({_SERVER_LABEL: self._server_id})
        except EngineError as error:
            _log.warning("containers of runs that are over may be left", reason=str(error))
            found = []
        runs = {RunId(container.labels.get(_RUN_LABEL, "")) for container in found}
        runs |= {RunId(name) for name in await asyncio.to_thread(self._directories)}
        for run in sorted(runs):
            if not await is_live(run):
                _log.info("removing what a run has left", run=run)
                await self.discard(run)

    def _directories(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return [path.name for path in self._work_directory.iterdir() if is_id(path.name)]
        return []

    async def _remove_containers(self, run: RunId) -> None:
        for container in await self._engine.find({_SERVER_LABEL: self._server_id, _RUN_LABEL: run}):
            await self._engine.remove(container.id, grace=self._rules.stop_grace)

    def _outputs(self, job: HookJob) -> OutputDirectory:
        return OutputDirectory(
            directory=output_directory(self._work_directory, job),
            subject_id=job.subject.id,
            bounds=self._rules.bounds,
        )

    def _spec(
        self, job: HookJob, image: ResolvedImage, staged: StagedInput, limits: OciLimits
    ) -> ContainerSpec:
        caches = {name: place for name, place in _CACHES.items() if name not in image.environment}
        return ContainerSpec(
            image=image,
            labels={
                _SERVER_LABEL: self._server_id,
                _RUN_LABEL: job.run,
                _LABEL + "hook": job.hook.name,
                _LABEL + "attempt": str(job.attempt),
            },
            user=container_user(),
            environment={**caches, **staged.environment},
            mounts=staged.mounts,
            memory_bytes=limits.memory_bytes,
            nano_cpus=int(limits.cpu_cores * 10**9),
            log_bytes=self._rules.log_cap_bytes,
        )


class _Telling:
    """Tells the observer of a container's end beside its removal; left when both are done, or the block has failed."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, telling: Coroutine[object, object, None]) -> None:
        self._task = asyncio.create_task(telling, name="tell of a container's end")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is None:
            return
        try:
            if kind is None:
                await self._task
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


class _Attempt:
    """One container's life, and what is known of it so far."""

    def __init__(
        self, *, job: HookJob, observer: HookObserver, rules: OciRules, provenance: Provenance
    ) -> None:
        self._job = job
        self._observer = observer
        self._rules = rules
        self.provenance = provenance
        self._started_at: datetime | None = None
        self._exit: ContainerExit | None = None
        self._failure: Failure | None = None

    def end(self, kind: FailureKind, message: str, *, retryable: bool = False) -> HookEnd:
        """How it ended, when the engine or the image was the trouble."""
        return HookEnd(
            failure=Failure(kind=kind, message=message, retryable=retryable),
            exit_code=None,
            started_at=self._started_at,
            ended_at=self._started_at and datetime.now(UTC),
            provenance=self.provenance,
            outputs=None,
        )

    def end_with_outputs(self, outputs: HookOutputs) -> HookEnd:
        """How it ended, when the container came to an end."""
        assert self._exit is not None
        return HookEnd(
            failure=self._failure,
            exit_code=self._exit.exit_code,
            started_at=self._started_at,
            ended_at=self._exit.ended_at,
            provenance=self.provenance,
            outputs=outputs,
        )

    async def run(self, container: Container, directory: Path, limits: OciLimits) -> None:
        """Start the container, tell the observer what happens, and see it to its end within its limits.

        Raises:
            ConfigRefusedError, EngineError: it could not be started or lost.
            Exception: whatever the observer raised.
        """
        self._started_at = await container.start()
        deadline = asyncio.get_running_loop().time() + limits.timeout_seconds
        quota = OutputQuota(
            directory=directory,
            max_bytes=self._rules.output_quota_bytes,
            max_files=self._rules.output_quota_files,
        )
        logs = LogPump(read=container.read, keep=self._observer.wrote_log)
        tail = ProgressTail(directory=directory, max_bytes=self._rules.bounds.progress_bytes)
        ended = asyncio.Event()
        exited = asyncio.create_task(container.wait(), name="wait for container")
        filling = asyncio.create_task(logs.fill(), name="read log")
        # An observer that is slow to take in the start, or cannot while its database is away, holds up no limit and no log.
        starting = asyncio.create_task(self._observer.started(self.provenance), name="tell of the start")
        draining = asyncio.create_task(_after(starting, logs.drain), name="keep log")
        tailing = asyncio.create_task(
            _after(starting, lambda: tail.follow(self._observer.progressed, ended=ended)),
            name="follow progress",
        )
        watching = asyncio.create_task(quota.exceeded(), name="watch output quota")
        tasks = (exited, filling, starting, draining, tailing, watching)
        try:
            stopped = await self._until_over(
                exited, (starting, filling, draining, tailing), watching, deadline, limits
            )
            if stopped is not None:
                await container.stop(grace=self._rules.stop_grace)
            self._exit = await exited
            ended.set()
            await self._last_bytes(logs, filling, draining)
            await tailing
            self._failure = _what_a_limit_did(self._exit, limits) or stopped
            if self._failure is None and (excess := await quota.check()) is not None:
                self._failure = Failure(kind=FailureKind.BAD_OUTPUT, message=excess)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_over(
        self,
        exited: asyncio.Task[ContainerExit],
        pumps: tuple[asyncio.Task[None], ...],
        watching: asyncio.Task[str],
        deadline: float,
        limits: OciLimits,
    ) -> Failure | None:
        """Wait for its end, or for the reason to end it. What a pump raises is raised."""
        waiting: set[asyncio.Task[ContainerExit] | asyncio.Task[None] | asyncio.Task[str]]
        waiting = {exited, watching, *pumps}
        while True:
            remaining = max(0.0, deadline - asyncio.get_running_loop().time())
            done, waiting = await asyncio.wait(
                waiting, timeout=remaining, return_when=asyncio.FIRST_COMPLETED
            )
            for pump in pumps:
                if pump in done:
                    pump.result()
            if exited in done:
                return None
            if watching in done:
                return Failure(kind=FailureKind.BAD_OUTPUT, message=watching.result())
            if not done:
                return Failure(
                    kind=FailureKind.TIMEOUT,
                    message=f"the hook ran longer than the {limits.timeout_seconds} s it may run",
                )

    async def _last_bytes(
        self, logs: LogPump, filling: asyncio.Task[None], draining: asyncio.Task[None]
    ) -> None:
        """See the log to its end, unless the engine does not close it; a keeper may take the time it needs."""
        while not (filling.done() and draining.done()):
            moved_bytes = logs.moved_bytes
            await asyncio.wait(
                {filling, draining}, timeout=_LAST_BYTES_SECONDS, return_when=asyncio.FIRST_EXCEPTION
            )
            if draining.done():
                draining.result()
            if filling.done():
                filling.result()
            elif moved_bytes == logs.moved_bytes and not logs.is_keeping:
                _log.warning("the engine does not close the log of a container that ended", run=self._job.run)
                filling.cancel()
                await asyncio.wait({filling})
                await draining
                return


async def _after(first: asyncio.Task[None], then: Callable[[], Awaitable[None]]) -> None:
    await asyncio.wait({first})
    first.result()
    await then()


def _limits_in_force(job: HookJob, engine: EngineDescription) -> OciLimits:
    """The limits with the memory that this attempt may use, and no more cores than the engine has; it refuses to promise more."""
    limits = job.hook.runtime.limits
    if job.memory_bytes is not None:
        limits = limits.model_copy(update={"memory": memory_text(job.memory_bytes)})
    cores = Decimal(str(engine.cpus))
    return limits if limits.cpu_cores <= cores else limits.model_copy(update={"cpu": f"{cores:.3f}"})


def memory_text(memory_bytes: int) -> str:
    """Return a number of bytes as limits have it, in the largest unit in which it is whole; of KiB, if in none."""
    for unit, size in (("g", 2**30), ("m", 2**20)):
        if memory_bytes % size == 0:
            return f"{memory_bytes // size}{unit}"
    return f"{memory_bytes // 2**10}k"


def _what_a_limit_did(end: ContainerExit, limits: OciLimits) -> Failure | None:
    """A hook that survives the loss of one of its processes has coped; one that fails after it has failed for it."""
    if not end.out_of_memory or end.exit_code == 0:
        return None
    return Failure(
        kind=FailureKind.OOM, message=f"the hook needed more than the {limits.memory} of memory it may use"
    )
