"""What running hooks in containers needs of whoever runs containers: Docker today, Kubernetes can fill the same.

An engine is a program of its own that may go away at any moment, so everything here may raise an `EngineError`,
and nothing here waits without a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime, timedelta
    from pathlib import Path

    from osa_grpc.application.ports import EngineDescription
    from osa_grpc.runtimes.log_position import LogPiece, LogPosition


class EngineError(Exception):
    """The engine does not answer, was restarted, or answers what nobody expects; another time it may do better."""


class ImageNotThereError(Exception):
    """The image is not on the engine and cannot be pulled. `retryable`: for a reason that may pass."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class ConfigRefusedError(Exception):
    """The engine refuses to run this image so, today and tomorrow: no entry point, no such program."""


class DirectoryNotSeenError(Exception):
    """The engine does not see a directory as we do; the text goes on with a sentence about the engine: `it ...`."""


@dataclass(frozen=True, kw_only=True)
class ResolvedImage:
    """An image on the engine, and what it says about itself."""

    id: str
    """`sha256:...`, of the image's configuration."""
    environment: frozenset[str] = frozenset()
    """The names of the variables it sets."""
    volumes: tuple[str, ...] = ()
    """Where it wants volumes; it gets a small, empty place in memory there."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A directory of the engine's machine, seen inside a container."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """One container to be. The sandbox is the engine's business and is not up for choice."""

    name: str
    """No two containers have the same, so that what is begun twice is refused once."""
    image: ResolvedImage
    labels: Mapping[str, str]
    user: tuple[int, int]
    """User and group id that the container's program has on this machine."""
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    memory_bytes: int
    nano_cpus: int
    file_bytes: int
    """How large one file of its can grow, also one that it has removed and that nobody else can see."""
    log_bytes: int
    """How much of its output the engine itself keeps at least, about, for whoever comes after a crash."""


@dataclass(frozen=True, kw_only=True)
class ContainerExit:
    """How a container's program ended."""

    exit_code: int
    out_of_memory: bool | None
    """The kernel killed something in it because the memory limit was reached; None if the engine cannot tell."""
    ended_at: datetime


ContainerState = Literal["created", "running", "ended", "unusable"]
"""`created`: it never was started. `unusable`: half removed, or in a state of which nobody knows the way out."""


@dataclass(frozen=True, kw_only=True)
class FoundContainer:
    """A container on the engine, found by its labels."""

    id: str
    state: ContainerState
    labels: Mapping[str, str] = field(default_factory=dict)


class Container(Protocol):
    """A container that is held by us: it is there, and every byte it writes comes to us."""

    @property
    def id(self) -> str:
        """The engine's id of it."""

    @property
    def is_adopted(self) -> bool:
        """Whether somebody else has made it. Then not reading does not slow its writing."""

    @property
    def found_exit(self) -> ContainerExit | None:
        """How it had ended before it came to us; None for one that we made, or that ran when we adopted it."""

    async def start(self) -> datetime:
        """Start its program, if nobody has yet; since when it runs. Raises ConfigRefusedError, EngineError."""

    async def read(self) -> LogPiece | None:
        """Return the next bytes of stdout or stderr, as they come; None at the end. Not reading slows its writing.

        A call that is cancelled is the last. Raises EngineError.
        """

    async def wait(self) -> ContainerExit:
        """Wait until its program has ended. The one wait without a bound: the caller has a time limit. Raises EngineError."""

    async def stop(self, *, grace: timedelta) -> None:
        """Ask it to end, and kill it when the grace is over. Idempotent. Raises EngineError."""


class ContainerEngine(Protocol):
    """Runs containers."""

    async def describe(self) -> EngineDescription | None:
        """Return what it is, or None if it does not answer within two seconds."""

    async def described(self) -> EngineDescription:
        """Return what it is, as known since it last answered. Raises EngineError."""

    async def resolve(
        self,
        *,
        image: str,
        digest: str,
        pull_timeout: timedelta,
        on_pull: Callable[[], Awaitable[None]] | None = None,
    ) -> ResolvedImage:
        """Return the image that has this digest, pulled if it is not here. No tag ever counts.

        `on_pull` is awaited before a pull, if there is one to wait for.

        Raises:
            ImageNotThereError: it is not here and cannot be pulled (in time).
            ConfigRefusedError: `image` is no name of an image.
            EngineError: the engine is in trouble.
        """

    def hold(
        self, spec: ContainerSpec, *, grace: timedelta, leaves: Callable[[], bool] = lambda: False
    ) -> AbstractAsyncContextManager[Container]:
        """Make a container, connected and not started. However the block ends, the container is then stopped and gone.

        Unless the block fails or is cancelled, and `leaves()` then says that the container is somebody else's: it stays as it is.
        A cancellation goes on only after that. If the engine is away, the container stays, to be found by its labels.

        Raises:
            ConfigRefusedError: the engine will not make such a container.
            EngineError: the engine is in trouble.
        """

    def adopt(
        self,
        container_id: str,
        *,
        position: LogPosition,
        grace: timedelta,
        leaves: Callable[[], bool] = lambda: False,
    ) -> AbstractAsyncContextManager[Container]:
        """Hold a container that somebody else has started, and let go of it as `hold` does. Its log comes from `position` on.

        With a GAP in it where bytes may be missing, or come twice.

        Raises:
            EngineError: it is not there any more, or the engine is in trouble.
        """

    async def find(self, labels: Mapping[str, str]) -> Sequence[FoundContainer]:
        """Return the containers that have all these labels, running or not. Raises EngineError."""

    async def remove(self, container_id: str, *, grace: timedelta) -> None:
        """Stop and remove it, and return when it is gone. Idempotent. Raises EngineError."""

    async def copy_within(
        self, directory: Path, *, source: str, target: str, labels: Mapping[str, str]
    ) -> None:
        """Copy a small file within a directory of the engine's machine, as a container would that has it mounted.

        `labels`: of the container that is made for it, and removed.

        Raises:
            DirectoryNotSeenError: the directory or the file is not there, or the copy cannot be.
            EngineError: the engine is in trouble.
        """
