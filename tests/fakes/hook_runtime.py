"""A machine that runs hooks without containers: it promises what the real runtime promises, and takes no time.

`tests/engine/test_hook_runtime_contract.py` holds the two to the same promises.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from osa_grpc.application.ports import (
    FeatureSource,
    HookEnd,
    HookJob,
    HookObserver,
    HookOutputs,
    HookRuntime,
    RunIsLive,
)
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.hook import OciLimits
from osa_grpc.domain.names import ExecutionId, RunId
from osa_grpc.domain.run import HookProgress, Provenance


@dataclass(frozen=True, kw_only=True)
class Program:
    """What a hook does. It says the first of its words and bytes when it starts, the others when it ends.

    `seconds`: how long it takes; None: until it is `released` or stopped. `failure`: what the engine or a limit does to it.
    """

    seconds: float | None = 0.0
    words: tuple[str, ...] = ()
    log: bytes = b""
    exit_code: int = 0
    rejection: str | None = None
    rows: tuple[Mapping[str, Any], ...] = ()
    failure: Failure | None = None


@dataclass(kw_only=True, eq=False)
class Container:
    """One that runs, or has ended."""

    job: HookJob
    program: Program
    provenance: Provenance
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        if self.program.seconds is not None:
            asyncio.get_running_loop().call_later(self.program.seconds, self.end)

    def end(self) -> None:
        self.ended_at = self.ended_at or datetime.now(UTC)
        self.ended.set()

    def words(self) -> tuple[str, ...]:
        """What it has reported so far."""
        return self.program.words if self.ended.is_set() else self.program.words[:1]

    def log(self) -> bytes:
        """What it has written so far."""
        return self.program.log if self.ended.is_set() else self.program.log[: len(self.program.log) // 2]


class Machine:
    """What outlives a server: containers, and what they left behind. `doubled`: runs that had two containers at once."""

    def __init__(self, program_of: Callable[[HookJob], Program]) -> None:
        self.program_of = program_of
        self.containers: dict[tuple[RunId, str, int], Container] = {}
        self.outputs: dict[tuple[RunId, ExecutionId, int], Outputs] = {}
        self.doubled: list[RunId] = []
        self.begun = 0

    def begin(self, job: HookJob) -> Container | None:
        """Start a container; None if there is one of that name."""
        name = (job.run, job.hook.name, job.attempt)
        if name in self.containers:
            return None
        if self.of(job.run):
            self.doubled.append(job.run)
        for earlier in [key for key in self.outputs if key[1] == job.execution]:
            del self.outputs[earlier]
        runtime = job.hook.runtime
        container = Container(
            job=job,
            program=self.program_of(job),
            provenance=Provenance(
                image=runtime.image,
                digest=runtime.digest,
                image_id=runtime.digest,
                limits=OciLimits(cpu="1"),
                engine="fake",
            ),
        )
        self.containers[name] = container
        self.outputs[job.run, job.execution, job.attempt] = Outputs(container.program)
        self.begun += 1
        container.start()
        return container

    def of(self, run: RunId) -> list[Container]:
        return [container for (of, _, _), container in self.containers.items() if of == run]

    def remove(self, container: Container) -> None:
        container.end()
        job = container.job
        if self.containers.get((job.run, job.hook.name, job.attempt)) is container:
            del self.containers[job.run, job.hook.name, job.attempt]


class FakeHookRuntime:
    """The runtime of one server on a machine. Fills the port `HookRuntime`."""

    runtime_type = "oci"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._is_killed = False

    def kill(self) -> None:
        """Its server is killed: whatever ends here now touches nothing any more."""
        self._is_killed = True

    async def run(self, job: HookJob, observer: HookObserver) -> HookEnd:
        """Run it to its end, in a container of this attempt that is there already if there is one."""
        container = self._what_is_left(job)
        if container is None and job.resumption is not None and job.resumption.has_started:
            return _no_container(job, "the container of a hook that was running is gone")
        container = container or self._machine.begin(job)
        if container is None:
            return _no_container(job, "a container of that name is there already")
        try:
            await self._follow(container, job, observer)
        except BaseException:
            if not (self._is_killed or observer.leaves_container):
                self._machine.remove(container)
            raise
        end = self._end(container)
        telling = asyncio.create_task(observer.ended(end))
        try:
            if not self._is_killed:
                self._machine.remove(container)
            await telling
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        return end

    async def _follow(self, container: Container, job: HookJob, observer: HookObserver) -> None:
        await observer.started(container.provenance)
        told_words = 0
        told_bytes = 0 if job.resumption is None else job.resumption.log_bytes
        while True:
            is_over = container.ended.is_set()
            words, log = container.words(), container.log()
            await observer.progressed([HookProgress(status=word) for word in words[told_words:]])
            if log[told_bytes:]:
                await observer.wrote_log(log[told_bytes:])
            told_words, told_bytes = len(words), max(told_bytes, len(log))
            if is_over:
                return
            await container.ended.wait()

    def _end(self, container: Container) -> HookEnd:
        program, job = container.program, container.job
        is_ours = program.failure is not None and program.failure.kind is FailureKind.ENGINE
        return HookEnd(
            failure=program.failure,
            exit_code=program.exit_code,
            started_at=container.started_at,
            ended_at=container.ended_at,
            provenance=container.provenance,
            outputs=None if is_ours else self.outputs(job),
        )

    def _what_is_left(self, job: HookJob) -> Container | None:
        left = None
        if job.attempt == 1 and job.resumption is None:
            return None
        for container in self._machine.of(job.run):
            its = container.job
            if job.resumption is not None and (its.hook.name, its.attempt) == (job.hook.name, job.attempt):
                left = container
            else:
                self._machine.remove(container)
        return left

    def outputs(self, job: HookJob) -> HookOutputs | None:
        """Return what an attempt left behind, or None."""
        return self._machine.outputs.get((job.run, job.execution, job.attempt))

    async def discard(self, run: RunId) -> None:
        """Remove everything of a run. Idempotent."""
        if self._is_killed:
            return
        for container in self._machine.of(run):
            self._machine.remove(container)
        for key in [key for key in self._machine.outputs if key[0] == run]:
            del self._machine.outputs[key]

    async def reap(self, is_live: RunIsLive) -> None:
        """Remove what runs have left that are not live."""
        runs = {run for run, _, _ in (*self._machine.containers, *self._machine.outputs)}
        for run in sorted(runs):
            if not await is_live(run):
                await self.discard(run)


class Outputs:
    """What a program leaves behind, from its start on. Fills the port `HookOutputs`."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._content = json.dumps(program.rows).encode()

    def rejection(self) -> str | None:
        return self._program.rejection

    def error(self) -> Failure | None:
        return None

    @contextmanager
    def features(self) -> Iterator[FeatureSource | None]:
        stream = cast("io.BufferedReader", io.BytesIO(self._content))
        yield FeatureSource(file_name="features.json", form="json", stream=stream)

    def sha256(self) -> str:
        return hashlib.sha256(self._content).hexdigest()


def _no_container(job: HookJob, message: str) -> HookEnd:
    config = job.hook.runtime
    return HookEnd(
        failure=Failure(kind=FailureKind.ENGINE, message=message, retryable=True),
        exit_code=None,
        started_at=None,
        ended_at=None,
        provenance=Provenance(image=config.image, digest=config.digest),
        outputs=None,
    )


def conforms(runtime: FakeHookRuntime, outputs: Outputs) -> tuple[HookRuntime, HookOutputs]:
    """Checked by mypy: they have the shapes of the ports."""
    return runtime, outputs


def statuses(lines: Sequence[HookProgress]) -> list[str]:
    """The words of progress lines."""
    return [line.status for line in lines]
