"""The log of a container that is adopted, from a known position on: read from the engine's own log of it, and joined exactly.

The engine's log is read from its beginning, and what has been taken of each stream is passed over, its checksum compared. While
the container runs the engine is asked to follow. That may lose bytes where log files are rotated and at the end, so when the
container has ended the log is read once more, whole, and compared with what came. Where the comparison fails there is a gap, and
what is newer than the last bytes that were taken comes behind it.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from osa_grpc.runtimes.log_position import GAP, STDERR, STDOUT, LogPiece, StreamPosition

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from datetime import datetime

    from osa_grpc.runtimes.log_position import LogPosition

_log = structlog.get_logger(__name__)

_AGAIN_SECONDS: Final = 0.5


class LogUnreadableError(Exception):
    """The engine is there and cannot read this log, or not on from here."""


class LogEntry(NamedTuple):
    """What a container wrote to one stream. `is_surmise`: behind the last line, a newline that may have been there."""

    stream: int
    at: datetime
    """When the last of it was written."""
    data: bytes
    is_surmise: bool = False


class _OtherBytesError(Exception):
    """The log does not have the bytes that were taken."""


class LogReplay:
    """One container's log. `entries(follow, newer_than)` reads what the engine has, from the beginning or a time."""

    def __init__(
        self,
        *,
        entries: Callable[[bool, datetime | None], AsyncGenerator[LogEntry]],
        has_ended: Callable[[], Awaitable[bool]],
        position: LogPosition,
    ) -> None:
        self._entries = entries
        self._has_ended = has_ended
        self._is_exact = position.is_exact
        self._at = position.at
        self._streams = {
            STDOUT: _StreamReplay(position.stdout),
            STDERR: _StreamReplay(position.stderr),
        }

    async def pieces(self) -> AsyncGenerator[LogPiece]:
        """Yield what was written from the position on, until the container has ended. Raises EngineError."""
        if not self._is_exact:
            yield GAP
        while True:
            is_last = await self._has_ended()  # before reading: what it wrote until then is there now
            was_exact = self._is_exact
            try:
                async with aclosing(self._reading(follow=not is_last)) as pieces:
                    async for piece in pieces:
                        yield piece
            except (LogUnreadableError, _OtherBytesError) as error:
                if isinstance(error, _OtherBytesError) or is_last:
                    _log.warning("an adopted container's log has a gap", reason=str(error))
                    self._is_exact = False
                    if was_exact:
                        yield GAP
                if is_last and was_exact:
                    continue
            if is_last:
                return
            if not await self._has_ended():
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _reading(self, *, follow: bool) -> AsyncGenerator[LogPiece]:
        for stream in self._streams.values():
            stream.begin()
        async with aclosing(self._entries(follow, None if self._is_exact else self._at)) as entries:
            async for entry in entries:
                stream = self._streams[entry.stream]
                if not self._is_exact:
                    data = b"" if entry.is_surmise else entry.data
                elif entry.is_surmise and not stream.is_behind:
                    yield GAP
                    continue
                else:
                    data = stream.untaken(entry.data)
                if data:
                    self._at = entry.at
                    yield LogPiece(entry.stream, data)
        if not follow and self._is_exact and any(stream.is_behind for stream in self._streams.values()):
            raise _OtherBytesError("it is shorter than what was taken of it")


class _StreamReplay:
    """One stream: what was taken of it, and how far a reading has come."""

    def __init__(self, taken: StreamPosition) -> None:
        self._taken = taken
        self._read = StreamPosition()

    def begin(self) -> None:
        """Begin a reading."""
        self._read = StreamPosition()

    @property
    def is_behind(self) -> bool:
        """Whether the reading has not come to what was taken."""
        return self._read.size_bytes < self._taken.size_bytes

    def untaken(self, data: bytes) -> bytes:
        """Return the bytes that were not taken yet, which then are; raise if those before are not what was taken."""
        known = data[: max(0, self._taken.size_bytes - self._read.size_bytes)]
        if known:
            self._read = self._read.after(known)
            if not self.is_behind and self._read != self._taken:
                raise _OtherBytesError("its bytes are not those that were taken")
        fresh = data[len(known) :]
        if fresh:
            self._read = self._taken = self._taken.after(fresh)
        return fresh
