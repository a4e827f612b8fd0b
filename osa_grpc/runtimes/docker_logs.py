"""Docker's own log of a container, as it was written: what the logs API leaves out is put back where that can be known.

The engine keeps lines. A line of more than 16 KiB is kept in pieces of one time, and engines before 23.0 leave out the newline
behind the last. It comes back here, as soon as something of another time follows. Behind the very last line it cannot be known.
"""

from __future__ import annotations

import struct
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp

from osa_grpc.runtimes.docker_errors import NOT_FOUND, engine_call
from osa_grpc.runtimes.engine import EngineError
from osa_grpc.runtimes.log_replay import LogEntry, LogUnreadableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    import aiodocker

_OPEN_SECONDS: Final = 60.0
_HEADER: Final = struct.Struct(">BxxxL")
_TROUBLE: Final = 3
"""The stream on which the engine says what went wrong when it read."""


async def log_entries(
    docker: aiodocker.Docker,
    container_id: str,
    *,
    follow: bool,
    on_open: Callable[[aiohttp.ClientResponse], None] = lambda _: None,
) -> AsyncGenerator[LogEntry]:
    """Yield what the engine has of a container's log, from the beginning; with `follow` what comes as well.

    Whoever gets the answer by `on_open` may close it, which ends the reading.

    Raises:
        LogUnreadableError: the engine cannot read it.
        EngineError: the engine is in trouble, or does not know the container.
    """
    lines = {1: _Lines(1), 2: _Lines(2)}
    async with aclosing(_frames(docker, container_id, follow=follow, on_open=on_open)) as frames:
        async for stream, frame in frames:
            if stream == _TROUBLE:
                raise LogUnreadableError(frame.decode(errors="replace"))
            if stream in lines:
                for entry in lines[stream].feed(frame):
                    yield entry
    if not follow:
        for each in lines.values():
            for entry in each.end():
                yield entry


async def _frames(
    docker: aiodocker.Docker,
    container_id: str,
    *,
    follow: bool,
    on_open: Callable[[aiohttp.ClientResponse], None],
) -> AsyncGenerator[tuple[int, bytes]]:
    """By hand, because aiodocker's `log` gives text."""
    async with engine_call("read the log of a container", within_seconds=_OPEN_SECONDS):
        answer = await docker.session.get(
            f"{docker.docker_host}/{docker.api_version}/containers/{container_id}/logs",
            params={"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "1" if follow else "0"},
            timeout=aiohttp.ClientTimeout(total=None),
        )
        if answer.status == NOT_FOUND:
            answer.close()
            raise EngineError("the container engine does not know the container any more")
    try:
        on_open(answer)
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise LogUnreadableError((await answer.read()).decode(errors="replace"))
        rest = b""
        async for chunk in answer.content.iter_any():
            data = rest + chunk
            end = 0
            while len(data) - end >= _HEADER.size:
                stream, length = _HEADER.unpack_from(data, end)
                begin = end + _HEADER.size
                if len(data) - begin < length:
                    break
                end = begin + length
                yield stream, data[begin:end]
            rest = data[end:]
    except aiohttp.ClientError as error:
        raise LogUnreadableError(str(error) or type(error).__name__) from error
    finally:
        answer.close()


@dataclass
class _Lines:
    """One stream's frames, each `<time> <a line or a piece of one>`, on their way to being what was written."""

    stream: int
    time: bytes = b""
    is_open: bool = False
    """Whether the last piece had no newline."""
    is_piece: bool = False
    """Whether it went on with a line that had begun before it."""
    is_empty: bool = False

    def feed(self, frame: bytes) -> Iterator[LogEntry]:
        time, _, data = frame.partition(b" ")
        goes_on = self.is_open and time == self.time
        if self.is_open and not goes_on:
            yield LogEntry(self.stream, _instant(self.time), b"\n")
        self.time, self.is_open, self.is_piece, self.is_empty = (
            time,
            not data.endswith(b"\n"),
            goes_on,
            not data,
        )
        if data:
            yield LogEntry(self.stream, _instant(time), data)

    def end(self) -> Iterator[LogEntry]:
        """What may be missing at the end: the last of several pieces is where a line ended, or the container did."""
        if self.is_open and self.is_piece:
            # An empty piece can only be there for its newline.
            yield LogEntry(self.stream, _instant(self.time), b"\n", is_surmise=not self.is_empty)


def _instant(time: bytes) -> datetime:
    try:
        return datetime.fromisoformat(time.decode())
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
