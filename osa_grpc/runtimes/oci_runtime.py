"""Hooks that are containers: from staging the inputs to the facts about how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from osa_grpc.domain.errors import ResourceExhaustedError
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.names import RunId, is_id
from osa_grpc.domain.run import Provenance, WaitingReason
from osa_grpc.runtimes.container_labels import RUN_LABEL, SERVER_LABEL, provenance_of
from osa_grpc.runtimes.container_plan import container_spec, limits_in_force
from osa_grpc.runtimes.engine import ConfigRefusedError, EngineError, ImageNotThereError
from osa_grpc.runtimes.log_mark import LogMark, marked_position
from osa_grpc.runtimes.log_position import LogPosition
from osa_grpc.runtimes.oci_attempt import OciAttempt, OciRules
from osa_grpc.runtimes.outputs import OutputDirectory
from osa_grpc.runtimes.staging import (
    attempt_directory,
    log_mark_path,
    output_directory,
    remove_tree,
    run_directory,
    stage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from osa_grpc.application.ports import FileStore, HookEnd, HookJob, HookObserver, HookOutputs, RunIsLive
    from osa_grpc.runtimes.engine import Container, ContainerEngine, FoundContainer, Mount
    from osa_grpc.runtimes.shared_directory import SharedDirectory

_log = structlog.get_logger(__name__)


class OciRuntime:
    """Runs hooks as containers of one engine. Fills the port `HookRuntime`.

    `server_id` is who this server is among all that share the engine; it stays the same when the server is started again.
    `shared`: the directory that the work directory is in, as the engine sees it; without it, it sees what we see.
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
        shared: SharedDirectory | None = None,
    ) -> None:
        self._engine = engine
        self._files = files
        self._work_directory = work_directory.absolute()  # the engine looks from elsewhere
        self._server_id = server_id
        self._rules = rules or OciRules()
        self._shared = shared

    async def run(self, job: HookJob, observer: HookObserver) -> HookEnd:
        """Run the hook to its end, in a container of this attempt that is there already if there is one; return how it ended."""
        end = await self._run(job, observer)
        if end.outputs is None and not observer.leaves_container:  # nobody will read what it may have left
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
                async with prepared.holding as container:
                    directory = output_directory(self._work_directory, job)
                    await attempt.run(container, directory=directory, limits=limits, mark=mark)
                    end = attempt.end_with_outputs(self._outputs(job))
                    # Before the container goes: a server that is killed now, or behind this, does not run the hook again.
                    await observer.ended(end)
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
            found = await self._engine.find({SERVER_LABEL: self._server_id})
        except EngineError as error:
            _log.warning("containers of runs that are over may be left", reason=str(error))
            found = []
        runs = {RunId(name) for name in await asyncio.to_thread(self._directories)}
        labelled = (container.labels.get(RUN_LABEL, "") for container in found)
        runs |= {RunId(run) for run in labelled if is_id(run)}
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
        return await self._engine.find({SERVER_LABEL: self._server_id, RUN_LABEL: run})

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
        if (
            job.resumption is None
            or container.state not in {"running", "ended"}
            or not output_directory(self._work_directory, job).is_dir()
        ):
            return None
        provenance = provenance_of(container.labels, job)
        return None if provenance is None else _Left(container_id=container.id, provenance=provenance)

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
        if self._shared is not None and (trouble := await self._shared.trouble()) is not None:
            raise EngineError(trouble)
        limits = limits_in_force(job, engine)
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
                container_spec(
                    job,
                    server_id=self._server_id,
                    image=image,
                    staged=staged,
                    mounts=[self._as_the_engine_sees(mount) for mount in staged.mounts],
                    provenance=provenance,
                    rules=self._rules,
                ),
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

    def _as_the_engine_sees(self, mount: Mount) -> Mount:
        if self._shared is None:
            return mount
        return replace(mount, source=self._shared.as_the_engine_sees(mount.source))


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
