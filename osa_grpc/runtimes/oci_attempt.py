"""One container's life under its limits, whether we have made it or adopted it, and how it ended as facts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from osa_grpc.application.disk_room import DiskRoom
from osa_grpc.application.ports import HookEnd
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.runtimes.log_pump import LogPump
from osa_grpc.runtimes.output_quota import OutputQuota
from osa_grpc.runtimes.outputs import OutputBounds
from osa_grpc.runtimes.progress_tail import ProgressTail
from osa_grpc.runtimes.staging import remove_tree

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from osa_grpc.application.ports import HookJob, HookObserver, HookOutputs
    from osa_grpc.domain.hook import OciLimits
    from osa_grpc.domain.run import Provenance
    from osa_grpc.runtimes.engine import Container, ContainerExit
    from osa_grpc.runtimes.log_mark import LogMark
    from osa_grpc.runtimes.log_position import LogPiece
    from osa_grpc.runtimes.log_pump import LogChunk

_log = structlog.get_logger(__name__)

_LAST_BYTES_SECONDS: Final = 10.0
_BY_SIGKILL: Final = 137
_KILLED: Final = frozenset({_BY_SIGKILL, 143, 255})
"""Exit codes of a program that was killed, and of one whose engine does not know how it ended."""


@dataclass(frozen=True, kw_only=True)
class OciRules:
    """What holds for every container of this server."""

    pull_timeout: timedelta = timedelta(minutes=30)
    stop_grace: timedelta = timedelta(seconds=10)
    output_quota_bytes: int = 10 * 2**30
    output_quota_files: int = 100_000
    min_free_bytes: int = 0
    """How much of the disk hooks leave free, inputs and outputs together."""
    log_cap_bytes: int = 100 * 2**20
    """How much of an attempt's log the server keeps; the engine's own copy has twice that at least, if lines are not tiny."""
    bounds: OutputBounds = field(default_factory=OutputBounds)


class OciAttempt:
    """One container's life, and what is known of it so far."""

    def __init__(
        self,
        *,
        job: HookJob,
        observer: HookObserver,
        work_directory: Path,
        rules: OciRules,
        provenance: Provenance,
    ) -> None:
        self._job = job
        self._observer = observer
        self._work_directory = work_directory
        self._rules = rules
        self.provenance = provenance
        self._started_at: datetime | None = None
        self._exit: ContainerExit | None = None
        self._failure: Failure | None = None
        self._has_outputs = True

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
        """How it ended, when the container came to an end. Where engine or disk was the trouble, its outputs say nothing."""
        assert self._exit is not None
        is_ours = self._failure is not None and self._failure.kind is FailureKind.ENGINE
        return HookEnd(
            failure=self._failure,
            exit_code=self._exit.exit_code,
            started_at=self._started_at,
            ended_at=self._exit.ended_at,
            provenance=self.provenance,
            outputs=outputs if self._has_outputs and not is_ours else None,
        )

    async def run(self, container: Container, *, directory: Path, limits: OciLimits, mark: LogMark) -> None:
        """Start the container if it is not, tell the observer what happens, and see it to its end within its limits.

        Raises:
            ConfigRefusedError, EngineError: it could not be started or lost.
            Exception: whatever the observer raised.
        """
        self._started_at = await container.start()
        quota = OutputQuota(
            directory=directory,
            room=DiskRoom(directory=self._work_directory, reserve_bytes=self._rules.min_free_bytes),
            max_bytes=self._rules.output_quota_bytes,
            max_files=self._rules.output_quota_files,
        )
        logs = LogPump(
            read=self._enough_of(container.read) if container.is_adopted else container.read,
            keep=lambda chunk: self._keep(chunk, mark),
        )
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
            deadline = _deadline(container, limits, self._started_at)
            stopped = await self._until_over(
                exited, (starting, filling, draining, tailing), watching, deadline, limits
            )
            if stopped is not None:
                await container.stop(grace=self._rules.stop_grace)
            self._exit = await exited
            ended.set()
            if (no_room := await quota.room_lost(self._exit.exit_code)) is not None:
                # What fills the disk goes before anything is written down: the database may be on that disk. A server that
                # comes after us finds no outputs, and begins the attempt anew.
                self._has_outputs = False
                await asyncio.to_thread(remove_tree, directory)
            await self._last_bytes(logs, filling, draining)
            await tailing
            self._failure = (
                _what_a_limit_did(self._exit, limits)
                or stopped
                or _what_time_did(container.found_exit, limits, self._started_at)
                or no_room
                or await quota.check()
                or _what_nobody_saw(container.found_exit)
                or _what_nobody_did(self._exit, limits)
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _enough_of(
        self, read: Callable[[], Awaitable[LogPiece | None]]
    ) -> Callable[[], Awaitable[LogPiece | None]]:
        """Read an adopted container's log no further than just behind what is kept of it."""
        assert self._job.resumption is not None
        wanted_bytes = max(1, self._rules.log_cap_bytes + 1 - self._job.resumption.log_bytes)
        read_bytes = 0

        async def read_wanted() -> LogPiece | None:
            nonlocal read_bytes
            piece = await read() if read_bytes < wanted_bytes else None
            read_bytes += 0 if piece is None else len(piece.data)
            return piece

        return read_wanted

    async def _keep(self, chunk: LogChunk, mark: LogMark) -> None:
        if chunk.is_gap:
            mark.passes_gap()
            await self._observer.missed_log()
        else:
            mark.goes_to(chunk.pieces)
            await self._observer.wrote_log(chunk.data)

    async def _until_over(
        self,
        exited: asyncio.Task[ContainerExit],
        pumps: tuple[asyncio.Task[None], ...],
        watching: asyncio.Task[Failure],
        deadline: float | None,
        limits: OciLimits,
    ) -> Failure | None:
        """Wait for its end, or for the reason to end it. What a pump raises is raised."""
        waiting: set[asyncio.Task[ContainerExit] | asyncio.Task[None] | asyncio.Task[Failure]]
        waiting = {exited, watching, *pumps}
        while True:
            remaining = deadline and max(0.0, deadline - asyncio.get_running_loop().time())
            done, waiting = await asyncio.wait(
                waiting, timeout=remaining, return_when=asyncio.FIRST_COMPLETED
            )
            for pump in pumps:
                if pump in done:
                    pump.result()
            if exited in done:
                return None
            if watching in done:
                return watching.result()
            if not done:
                return _too_long(limits)

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


def _deadline(container: Container, limits: OciLimits, started_at: datetime) -> float | None:
    """When, by the loop's clock, it has run as long as it may; None if it had ended before it came to us."""
    if container.found_exit is not None:
        return None
    remaining = started_at + timedelta(seconds=limits.timeout_seconds) - datetime.now(UTC)
    return asyncio.get_running_loop().time() + remaining.total_seconds()


def _what_a_limit_did(end: ContainerExit, limits: OciLimits) -> Failure | None:
    """A hook that survives the loss of one of its processes has coped; one that fails after it has failed for it."""
    if not end.out_of_memory or end.exit_code == 0:
        return None
    return Failure(
        kind=FailureKind.OOM, message=f"the hook needed more than the {limits.memory} of memory it may use"
    )


def _what_nobody_did(end: ContainerExit, limits: OciLimits) -> Failure | None:
    """Not every engine can say for what the kernel killed a hook, and Docker, when busy, may not have heard of it.

    If neither we nor anybody else did, it was for its memory.
    """
    if end.exit_code != _BY_SIGKILL:
        return None
    return Failure(
        kind=FailureKind.OOM,
        message=f"the hook was killed, perhaps because it needed more than the {limits.memory} of memory it may use",
    )


def _what_time_did(found: ContainerExit | None, limits: OciLimits, started_at: datetime) -> Failure | None:
    """A hook that ran too long while no server was there to stop it has done what it may not, as any other."""
    if found is None or found.ended_at - started_at <= timedelta(seconds=limits.timeout_seconds):
        return None
    return _too_long(limits)


def _too_long(limits: OciLimits) -> Failure:
    return Failure(
        kind=FailureKind.TIMEOUT,
        message=f"the hook ran longer than the {limits.timeout_seconds} s it may run",
    )


def _what_nobody_saw(found: ContainerExit | None) -> Failure | None:
    """Whoever killed it was not the hook: the engine that was stopped, the machine, or somebody at its keyboard."""
    if found is None or found.exit_code not in _KILLED:
        return None
    return Failure(
        kind=FailureKind.ENGINE,
        message=f"the hook was killed while no server watched it (exit code {found.exit_code}); "
        "the container engine or its machine was probably restarted",
        retryable=True,
    )
