"""Hooks that are containers: from staging the inputs to the facts about how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Self

import structlog
from pydantic import ValidationError

from osa_grpc.domain.errors import ResourceExhaustedError
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.hook import memory_text
from osa_grpc.domain.names import RunId, is_id
from osa_grpc.domain.run import Provenance, WaitingReason
from osa_grpc.runtimes.engine import (
    ConfigRefusedError,
    ContainerSpec,
    EngineError,
    ImageNotThereError,
    ResolvedImage,
)
from osa_grpc.runtimes.log_mark import LogMark, marked_position
from osa_grpc.runtimes.log_position import LogPosition
from osa_grpc.runtimes.oci_attempt import OciAttempt, OciRules
from osa_grpc.runtimes.outputs import OutputDirectory
from osa_grpc.runtimes.staging import (
    StagedInput,
    attempt_directory,
    container_user,
    log_mark_path,
    output_directory,
    remove_tree,
    run_directory,
    stage,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from types import TracebackType

    from osa_grpc.application.ports import (
        EngineDescription,
        FileStore,
        HookEnd,
        HookJob,
        HookObserver,
        HookOutputs,
        RunIsLive,
    )
    from osa_grpc.domain.hook import OciLimits
    from osa_grpc.runtimes.engine import Container, ContainerEngine, FoundContainer

_log = structlog.get_logger(__name__)

_LABEL: Final = "org.opensciencearchive."
_SERVER_LABEL: Final = _LABEL + "server"
_RUN_LABEL: Final = _LABEL + "run"
_HOOK_LABEL: Final = _LABEL + "hook"
_ATTEMPT_LABEL: Final = _LABEL + "attempt"
_PROVENANCE_LABEL: Final = _LABEL + "provenance"
_BEYOND_QUOTA_BYTES: Final = 2**20
"""Files can grow a little beyond the quota, so that it is the quota that is seen to be exceeded."""
_CACHES: Final = {"HOME": "/tmp", "TMPDIR": "/tmp", "XDG_CACHE_HOME": "/tmp/.cache"}  # noqa: S108 - inside the container


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
        rules: OciRules | None = None,
    ) -> None:
        self._engine = engine
        self._files = files
        self._work_directory = work_directory.absolute()  # the engine looks from elsewhere
        self._server_id = server_id
        self._rules = rules or OciRules()

    async def run(self, job: HookJob, observer: HookObserver) -> HookEnd:
        """Run the hook to its end, in a container of this attempt that is there already if there is one; return how it ended."""
        end = await self._run(job, observer)
        if end.outputs is None:  # nobody will read what it may have left
            await self._remove_directory(attempt_directory(self._work_directory, job))
        return end

    async def _run(self, job: HookJob, observer: HookObserver) -> HookEnd:
        config = job.hook.runtime
        attempt = OciAttempt(
            job=job,
            observer=observer,
            work_directory=self._work_directory,
            rules=self._rules,
            provenance=Provenance(image=config.image, digest=config.digest),
        )
        try:
            found = await self._what_is_left(job)
            if found is not None:
                prepared = self._adopting(job, observer, found)
            elif job.resumption is not None and job.resumption.has_started:
                raise EngineError("the container of a hook that was running is gone")  # noqa: TRY301 - as all such trouble
            else:
                prepared = await self._beginning(job, observer)
            attempt.provenance = prepared.provenance
            limits = prepared.provenance.limits
            assert limits is not None
            with contextlib.closing(prepared.mark) as mark:
                async with _Telling() as telling, prepared.holding as container:
                    directory = output_directory(self._work_directory, job)
                    await attempt.run(container, directory=directory, limits=limits, mark=mark)
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
        await self._remove_directory(run_directory(self._work_directory, run))

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

    @staticmethod
    async def _remove_directory(directory: Path) -> None:
        try:
            await asyncio.to_thread(remove_tree, directory)
        except OSError as error:
            _log.warning("a directory may be left", directory=str(directory), reason=str(error))

    async def _remove_containers(self, run: RunId) -> None:
        for container in await self._containers(run):
            await self._engine.remove(container.id, grace=self._rules.stop_grace)

    async def _containers(self, run: RunId) -> Sequence[FoundContainer]:
        return await self._engine.find({_SERVER_LABEL: self._server_id, _RUN_LABEL: run})

    async def _what_is_left(self, job: HookJob) -> _Left | None:
        """Find the container of this attempt, if it can be gone on with; others of the run are removed."""
        if job.attempt == 1 and job.resumption is None:
            return None  # there cannot be one that is in the way
        left = None
        for container in await self._containers(job.run):
            if left is None and (left := self._left(job, container)) is not None:
                continue
            await self._engine.remove(container.id, grace=self._rules.stop_grace)
        return left

    def _left(self, job: HookJob, container: FoundContainer) -> _Left | None:
        labels = container.labels
        if (
            job.resumption is None
            or container.state not in {"running", "ended"}
            or (labels.get(_HOOK_LABEL), labels.get(_ATTEMPT_LABEL)) != (job.hook.name, str(job.attempt))
            or not output_directory(self._work_directory, job).is_dir()
        ):
            return None
        try:
            provenance = Provenance.model_validate_json(labels.get(_PROVENANCE_LABEL, ""))
        except ValidationError:  # another release has made it
            return None
        return None if provenance.limits is None else _Left(container_id=container.id, provenance=provenance)

    def _adopting(self, job: HookJob, observer: HookObserver, left: _Left) -> _Prepared:
        assert job.resumption is not None
        _log.info("adopting a container", run=job.run, hook=job.hook.name, container=left.container_id)
        position = marked_position(
            log_mark_path(self._work_directory, job),
            kept_bytes=job.resumption.log_bytes,
            cap_bytes=self._rules.log_cap_bytes,
        )
        return _Prepared(
            provenance=left.provenance,
            mark=self._mark(job, kept_bytes=job.resumption.log_bytes, position=position),
            holding=self._engine.adopt(
                left.container_id,
                position=position,
                grace=self._rules.stop_grace,
                leaves=lambda: observer.leaves_container,
            ),
        )

    def _mark(self, job: HookJob, *, kept_bytes: int, position: LogPosition) -> LogMark:
        path = log_mark_path(self._work_directory, job)
        try:
            return LogMark(
                path=path, cap_bytes=self._rules.log_cap_bytes, kept_bytes=kept_bytes, position=position
            )
        except OSError as error:
            raise EngineError(f"{path} cannot be written: {error.strerror}") from error

    async def _beginning(self, job: HookJob, observer: HookObserver) -> _Prepared:
        config = job.hook.runtime
        engine = await self._engine.described()
        limits = _limits_in_force(job, engine)
        image = await self._engine.resolve(
            image=config.image,
            digest=config.digest,
            pull_timeout=self._rules.pull_timeout,
            on_pull=lambda: observer.waiting(WaitingReason.IMAGE),
        )
        staged = await stage(
            job,
            files=self._files,
            work_directory=self._work_directory,
            reserve_bytes=self._rules.min_free_bytes,
        )
        provenance = Provenance(
            image=config.image,
            digest=config.digest,
            image_id=image.id,
            config_sha256=staged.config_sha256,
            input_sha256=staged.input_sha256,
            limits=limits,
            engine=engine.description,
        )
        return _Prepared(
            provenance=provenance,
            mark=self._mark(job, kept_bytes=0, position=LogPosition()),
            holding=self._engine.hold(
                self._spec(job, image, staged, provenance),
                grace=self._rules.stop_grace,
                leaves=lambda: observer.leaves_container,
            ),
        )

    def _outputs(self, job: HookJob) -> OutputDirectory:
        return OutputDirectory(
            directory=output_directory(self._work_directory, job),
            subject_id=job.subject.id,
            bounds=self._rules.bounds,
        )

    def _spec(
        self, job: HookJob, image: ResolvedImage, staged: StagedInput, provenance: Provenance
    ) -> ContainerSpec:
        assert provenance.limits is not None
        caches = {name: place for name, place in _CACHES.items() if name not in image.environment}
        return ContainerSpec(
            name=f"osa-{self._server_id[:8]}-{job.run}-{job.hook.name}-{job.attempt}",
            image=image,
            labels={
                _SERVER_LABEL: self._server_id,
                _RUN_LABEL: job.run,
                _HOOK_LABEL: job.hook.name,
                _ATTEMPT_LABEL: str(job.attempt),
                _PROVENANCE_LABEL: provenance.model_dump_json(),
            },
            user=container_user(),
            environment={**caches, **staged.environment},
            mounts=staged.mounts,
            memory_bytes=provenance.limits.memory_bytes,
            nano_cpus=int(provenance.limits.cpu_cores * 10**9),
            file_bytes=self._rules.output_quota_bytes + _BEYOND_QUOTA_BYTES,
            log_bytes=2 * self._rules.log_cap_bytes,
        )


@dataclass(frozen=True, kw_only=True)
class _Left:
    """A container that a server has left, running or ended, and what it runs."""

    container_id: str
    provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """An attempt whose container is to be held next."""

    provenance: Provenance
    mark: LogMark
    holding: AbstractAsyncContextManager[Container]


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


def _limits_in_force(job: HookJob, engine: EngineDescription) -> OciLimits:
    """The limits with the memory that this attempt may use, and no more cores than the engine has; it refuses to promise more."""
    limits = job.hook.runtime.limits
    if job.memory_bytes is not None:
        limits = limits.model_copy(update={"memory": memory_text(job.memory_bytes)})
    cores = Decimal(str(engine.cpus))
    return limits if limits.cpu_cores <= cores else limits.model_copy(update={"cpu": f"{cores:.3f}"})
