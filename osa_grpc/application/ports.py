"""What the service needs of the world around it, but for the database (`storage_ports`): files, bells, and hooks' runtimes."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol

from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.names import ExecutionId, RunId
from osa_grpc.domain.run import HookProgress, Provenance, Verdict, WaitingReason

RUN_QUEUE: Final = "runs"
"""The bell of workers: a run can be claimed, or one that is held is to be cancelled."""

DELIVERY_QUEUE: Final = "deliveries"
"""The bell of workers: a delivery is due."""


def convention_bell(name: str) -> str:
    """Return the bell of those who watch a convention."""
    return name


def run_bell(run: RunId) -> str:
    """Return the bell of those who watch a run or follow its logs."""
    return run


class Bell(Protocol):
    """Somebody's ear. A ring that comes between `clear` and `wait` is kept."""

    def clear(self) -> None:
        """Forget the rings so far. Call it before reading what the rings are about."""

    async def wait(self, *, at_most: timedelta) -> bool:
        """Wait for a ring; False when none came. Rings come at least whenever they may have been missed."""


class Doorbell(Protocol):
    """Wakes whoever waits for news. It never is the news: whoever is woken reads the tables."""

    def subscription(self, key: str) -> AbstractContextManager[Bell]:
        """Listen to one bell until the block ends."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """Bytes in the file store, under a generated key."""

    key: str
    size_bytes: int
    sha256: str


class FileStore(Protocol):
    """Keeps files' bytes under generated keys."""

    async def put_stream(self, chunks: AsyncIterator[bytes]) -> StoredFile:
        """Store a stream with bounded memory. If it raises, or the call is cancelled, nothing is left.

        Raises:
            ResourceExhaustedError: the disk is full (`DISK_FULL`).
        """

    def open_stream(self, key: str, *, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `offset` on, in chunks of at most 256 KiB."""

    async def fetch_to(self, key: str, path: Path) -> None:
        """Put the file at a path on this machine, as a container may read it; a copy, so that nobody can change what is stored."""

    async def delete(self, key: str) -> None:
        """Delete it; nothing happens if it is not there."""


@dataclass(frozen=True, kw_only=True)
class SubjectFile:
    """A file to put before a hook."""

    file_name: str
    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class HookSubject:
    """What a hook is to look at: a deposition, before there is a record. `id` has no `:` and no `@`."""

    id: str
    srn: str
    metadata: dict[str, object]
    files: Sequence[SubjectFile]


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """An attempt that another worker had begun, and how many bytes of its log are kept.

    `has_started`: its container was told of. Then a container that is gone is a failure (ENGINE, retryable); else it begins afresh.
    """

    has_started: bool
    log_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class HookJob:
    """One attempt of one hook at one subject. `memory_bytes`: what it may use, if that is more than the definition says."""

    run: RunId
    execution: ExecutionId
    attempt: int
    hook: HookDefinition
    subject: HookSubject
    memory_bytes: int | None = None
    resumption: Resumption | None = None


class HookObserver(Protocol):
    """Told what happens while a hook runs; the runtime awaits each call, so that a slow observer slows reading, not losing.

    What it raises ends the hook: its container is stopped and removed (but see `leaves_container`), and the error comes out of
    `HookRuntime.run`.
    """

    @property
    def leaves_container(self) -> bool:
        """Whether, if `HookRuntime.run` is cancelled or fails now, the container stays as it is: another worker has the run."""

    async def waiting(self, reason: WaitingReason) -> None:
        """The attempt waits before its container can start. Told of only where it takes a while."""

    async def started(self, provenance: Provenance) -> None:
        """The container runs: of this image, on this input, with these limits in force. Told of an adopted container as well."""

    async def missed_log(self) -> None:
        """Here bytes of the log may be missing, or come twice: an adopted container's log does not join up with what is kept."""

    async def wrote_log(self, data: bytes) -> None:
        """The container wrote to stdout or stderr; at most 64 KiB, batched every 50 ms at most."""

    async def progressed(self, lines: Sequence[HookProgress]) -> None:
        """The hook appended to `progress.jsonl`; batched every 50 ms at most. An adopted container's come from the first."""

    async def ended(self, end: "HookEnd") -> None:
        """The container has ended, and was told of whole; it is removed once this returns. Not called if none ran."""


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """A hook's rows as it wrote them: open, a regular file. `json`: one document; `jsonl`: a line per record."""

    file_name: str
    form: Literal["json", "jsonl"]
    stream: BinaryIO


class HookOutputs(Protocol):
    """What a hook left behind, read as untrusted: no symlink is followed, only regular files are read, sizes are bounded."""

    def rejection(self) -> str | None:
        """Return the reason if the hook rejected the subject (a text of ours when it gave none), else None.

        From `rejections.jsonl`, or the last line of `progress.jsonl` with the status `rejected`.

        Raises:
            BadOutputError: the file cannot be read as what it should be.
        """

    def error(self) -> Failure | None:
        """Return what `errors.jsonl` says about the subject as a failure (HOOK_EXIT), or None. Raises BadOutputError."""

    def features(self) -> AbstractContextManager[FeatureSource | None]:
        """Open the rows: `features.jsonl` wins over `features.json`; None if there is neither. Raises BadOutputError."""

    def sha256(self) -> str:
        """Return the SHA-256 over the output files that are read, in hexadecimal."""


@dataclass(frozen=True, kw_only=True)
class HookEnd:
    """How a container ended, as facts. `failure` is what the engine or the limits did; the verdict is made of the rest."""

    failure: Failure | None
    exit_code: int | None
    started_at: datetime | None
    ended_at: datetime | None
    provenance: Provenance
    """Without `output_sha256`."""
    outputs: HookOutputs | None
    """None if no container ran."""


class HookRuntime(Protocol):
    """Runs hooks of one arm of the runtime union."""

    runtime_type: str
    """The arm, for example `oci`."""

    async def run(self, job: HookJob, observer: HookObserver) -> HookEnd:
        """Stage the inputs, run the hook to its end, and return how it ended; the outputs stay until `discard`.

        What goes wrong with image, engine, time or memory is a `failure` in the answer (IMAGE_PULL, CONFIG, TIMEOUT, OOM,
        ENGINE), not an exception. Cancelling the call stops the container (signal, grace, kill) and removes it
        before CancelledError goes on; unless the observer `leaves_container`.

        With a `resumption`, the container of this very attempt is adopted if it is there, running or ended: its time began when
        it was started, its log goes on behind `log_bytes`.
        """

    def outputs(self, job: HookJob) -> HookOutputs | None:
        """Return what an attempt that ended left behind, or None if it is not here (any more)."""

    async def discard(self, run: RunId) -> None:
        """Remove everything of a run: containers by label, staging and output directories. Idempotent."""

    async def reap(self, is_live: "RunIsLive") -> None:
        """Remove containers and directories of this server's runs that are not live; never another server's."""


class Telemetry(Protocol):
    """Counts what happens, for operators."""

    def hook_retried(self, hook: str, kind: FailureKind) -> None:
        """Count an attempt that is made again, by its cause."""

    def running_hook(self, hook: str) -> AbstractContextManager[None]:
        """Count a hook as running while the block runs."""

    def hook_ended(self, hook: str, verdict: Verdict) -> None:
        """Count a verdict."""


class RunIsLive(Protocol):
    """Says whether something of a run must stay."""

    async def __call__(self, run: RunId) -> bool:
        """Whether the run is not over."""


@dataclass(frozen=True, kw_only=True)
class EngineDescription:
    """The container engine: its name and version, for example `docker 20.10.24 linux/amd64`, and what it has."""

    description: str
    cpus: float
    memory_bytes: int


class EngineProbe(Protocol):
    """Asks the container engine whether it is there."""

    async def describe(self) -> EngineDescription | None:
        """Return what it is, or None if it does not answer within a second or two."""
