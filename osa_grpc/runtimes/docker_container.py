"""Containers that are held by us: one that we make, and one that we adopt from a server that went away."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiodocker.exceptions import DockerError

from osa_grpc.runtimes.docker_errors import BAD_REQUEST, CONFLICT, NOT_FOUND, engine_call, reason_of
from osa_grpc.runtimes.docker_logs import log_entries
from osa_grpc.runtimes.engine import ConfigRefusedError, ContainerExit, EngineError
from osa_grpc.runtimes.log_position import LogPiece
from osa_grpc.runtimes.log_replay import LogReplay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import timedelta

    import aiodocker
    import aiohttp
    from aiodocker.containers import DockerContainer
    from aiodocker.stream import Stream
    from aiodocker.types import JSONObject

    from osa_grpc.runtimes.engine_traits import EngineTraits
    from osa_grpc.runtimes.log_position import LogPosition
    from osa_grpc.runtimes.log_replay import LogEntry

CALL_SECONDS: Final = 60.0  # starting a container takes 0.2 s, on a machine under load much more
_CLEANUP_SECONDS: Final = 20.0


class MadeContainer:
    """A container that we made, and the connection on which its output comes."""

    is_adopted = False

    def __init__(self, *, docker: aiodocker.Docker, traits: EngineTraits) -> None:
        self._docker = docker
        self._traits = traits
        self._stream: Stream | None = None
        self.container: DockerContainer | None = None
        self.may_run = False
        self.found_exit: ContainerExit | None = None

    @property
    def id(self) -> str:
        """The engine's id of it."""
        return self._there.id

    @property
    def _there(self) -> DockerContainer:
        assert self.container is not None, "created first"
        return self.container

    async def create(self, config: JSONObject, *, name: str) -> None:
        """Make it."""
        async with engine_call("create a container", within_seconds=CALL_SECONDS):
            try:
                self.container = await self._docker.containers.create(config, name=name)
            except DockerError as error:
                if error.status == BAD_REQUEST or "no command" in error.message:
                    raise _refused(error) from error
                raise

    async def attach(self) -> None:
        """Connect to its output; before it is started, so that nothing is missed."""
        self._stream = self._there.attach(stdout=True, stderr=True)
        async with engine_call("connect to a container", within_seconds=CALL_SECONDS):
            await self._stream.__aenter__()

    async def start(self) -> datetime:
        """Start its program; since when it runs, by our clock."""
        self.may_run = True
        async with engine_call("start a container", within_seconds=CALL_SECONDS):
            try:
                await self._there.start()
            except DockerError as error:
                if error.status == BAD_REQUEST or "executable file" in error.message:
                    raise _refused(error) from error
                raise
        return datetime.now(UTC)

    async def read(self) -> LogPiece | None:
        """Return the next bytes of stdout or stderr, as they come."""
        assert self._stream is not None, "connected first"
        async with engine_call("hand on the output of a container", within_seconds=None):
            while (message := await self._stream.read_out()) is not None:
                if message.data:
                    return LogPiece(message.stream, message.data)
        return None

    async def wait(self) -> ContainerExit:
        """Wait until its program has ended."""
        await until_ended(self._there)
        ended_at = datetime.now(UTC)
        _, ended = await state_of(self._there, self._traits)
        if ended is None:
            raise EngineError("the container engine said that a container had ended, which runs")
        self.may_run = False
        return ContainerExit(exit_code=ended.exit_code, out_of_memory=ended.out_of_memory, ended_at=ended_at)

    async def stop(self, *, grace: timedelta) -> None:
        """Ask it to end, and kill it when the grace is over."""
        await stop(self._there, grace)

    async def disconnect(self) -> None:
        """Read no more of it."""
        if self._stream is not None:
            with contextlib.suppress(AssertionError):  # aiodocker's, when the connection has gone before
                await self._stream.close()


class AdoptedContainer:
    """A container that was started by a server that went away; its output comes from the engine's own log."""

    is_adopted = True

    def __init__(
        self, *, docker: aiodocker.Docker, container_id: str, position: LogPosition, traits: EngineTraits
    ) -> None:
        self._docker = docker
        self._traits = traits
        self.container: DockerContainer | None = docker.containers.container(container_id)
        self._there = self.container
        self._position = position
        self._started_at: datetime | None = None
        self._pieces: AsyncGenerator[LogPiece] | None = None
        self._following: aiohttp.ClientResponse | None = None
        self.may_run = True
        self.found_exit: ContainerExit | None = None

    @property
    def id(self) -> str:
        """The engine's id of it."""
        return self._there.id

    async def look(self) -> None:
        """See whether it runs, or how it ended."""
        self._started_at, self.found_exit = await state_of(self._there, self._traits)
        self.may_run = self.found_exit is None
        if self._started_at is None:
            raise EngineError("a container that was to be adopted was never started")
        replay = LogReplay(entries=self._entries, has_ended=self._has_ended, position=self._position)
        self._pieces = replay.pieces()

    async def start(self) -> datetime:
        """Return since when it runs."""
        assert self._started_at is not None, "looked at first"
        return self._started_at

    async def read(self) -> LogPiece | None:
        """Return the next bytes of stdout or stderr, as they come."""
        assert self._pieces is not None, "looked at first"
        return await anext(self._pieces, None)

    async def wait(self) -> ContainerExit:
        """Wait until its program has ended, if it has not."""
        if self.found_exit is not None:
            return self.found_exit
        await until_ended(self._there)
        _, ended = await state_of(self._there, self._traits)
        if ended is None:
            raise EngineError("the container engine said that a container had ended, which runs")
        self.may_run = False
        if self._following is not None:
            self._following.close()
        return ended

    async def stop(self, *, grace: timedelta) -> None:
        """Ask it to end, and kill it when the grace is over."""
        await stop(self._there, grace)

    async def disconnect(self) -> None:
        """Read no more of it."""
        if self._pieces is not None:
            await self._pieces.aclose()

    async def _has_ended(self) -> bool:
        if self.may_run:
            _, ended = await state_of(self._there, self._traits)
            self.may_run = ended is None
        return not self.may_run

    def _entries(
        self,
        follow: bool,  # noqa: FBT001 - one of two ways to read
        newer_than: datetime | None,
    ) -> AsyncGenerator[LogEntry]:
        return log_entries(
            self._docker,
            self.id,
            follow=follow,
            newer_than=newer_than,
            loses_newlines=self._traits.loses_newlines,
            on_open=self._opened,
        )

    def _opened(self, answer: aiohttp.ClientResponse) -> None:
        self._following = answer if self.may_run else None


HeldContainer = MadeContainer | AdoptedContainer


async def until_ended(container: DockerContainer) -> None:
    """Wait until its program has ended."""
    async with engine_call("wait for a container's end", within_seconds=None):
        await container.wait()


async def state_of(
    container: DockerContainer, traits: EngineTraits
) -> tuple[datetime | None, ContainerExit | None]:
    """Return when it was started, None if it never was; and how it ended, None if it has not."""
    async with engine_call("say how a container is", within_seconds=CALL_SECONDS):
        state = (await container.show())["State"]
        started_at = _instant(state["StartedAt"])
        if state["Running"] or started_at is None:
            return started_at, None
        ended = ContainerExit(
            exit_code=int(state["ExitCode"]),
            out_of_memory=bool(state.get("OOMKilled")) or (None if not traits.tells_out_of_memory else False),
            ended_at=_instant(state["FinishedAt"]) or datetime.now(UTC),
        )
        return started_at, ended


async def stop(container: DockerContainer, grace: timedelta) -> None:
    """Ask it to end, and kill it when the grace is over."""
    seconds = max(1, round(grace.total_seconds()))
    async with engine_call("stop a container", within_seconds=seconds + _CLEANUP_SECONDS):
        try:
            await container.stop(t=seconds)
        except DockerError as error:
            if error.status != NOT_FOUND:
                raise


async def remove(container: DockerContainer) -> None:
    """Remove it, or wait until somebody else, who is at it, has."""
    async with engine_call("remove a container", within_seconds=_CLEANUP_SECONDS):
        while True:
            try:
                await container.delete(force=True, v=True)
            except DockerError as error:
                if error.status == NOT_FOUND:
                    return
                if error.status != CONFLICT:
                    raise
                await asyncio.sleep(0.1)
            else:
                return


def _instant(text: str) -> datetime | None:
    """An instant as the engine writes it; None for its zero, which is in the year 1."""
    instant = datetime.fromisoformat(text)
    return instant if instant.year > 1 else None


def _refused(error: DockerError) -> Exception:
    if "bind source path" in error.message:
        return EngineError(
            f"the container engine does not see the server's files, so that it must be on another machine: "
            f"{reason_of(error)}"
        )
    return ConfigRefusedError(f"the container engine refuses to run the image: {reason_of(error)}")
