"""The engine's own log of a container, as it was written: what the logs API leaves out is put back where that can be known.

Docker keeps lines. One of more than 16 KiB is kept in pieces of one time, and before 23.0 without the newline behind the last. It
comes back here, as soon as something of another time follows. Behind the very last line it cannot be known.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp

from osa_grpc.runtimes.docker_errors import NOT_FOUND, engine_call
from osa_grpc.runtimes.engine import EngineError
from osa_grpc.runtimes.log_position import STDERR, STDOUT
from osa_grpc.runtimes.log_replay import LogEntry, LogUnreadableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    import aiodocker

_OPEN_SECONDS: Final = 60.0
_OK: Final = 200
_HEADER: Final = struct.Struct(">BxxxL")


async def log_entries(
    docker: aiodocker.Docker,
    container_id: str,
    *,
    follow: bool,
    newer_than: datetime | None,
    loses_newlines: bool,
    on_open: Callable[[aiohttp.ClientResponse], None] = lambda _: None,
) -> AsyncGenerator[LogEntry]:
    """Yield what the engine has of a container's log, from the beginning or a time; with `follow` what comes as well.

    Whoever gets the answer by `on_open` may close it, which ends the reading.

    Raises:
        LogUnreadableError: the engine cannot read it, or not on.
        EngineError: the engine is in trouble, or does not know the container.
    """
    params = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "1" if follow else "0"}
    if newer_than is not None:
        params["since"] = f"{newer_than.timestamp() + 1e-6:.6f}"
    # By hand, because aiodocker's `log` gives text.
    async with engine_call("read the log of a container", within_seconds=_OPEN_SECONDS):
        answer = await docker.session.get(
            f"{docker.docker_host}/{docker.api_version}/containers/{container_id}/logs",
            params=params,
            timeout=aiohttp.ClientTimeout(total=None),
        )
    lines = LogLines(loses_newlines=loses_newlines)
    try:
        if answer.status == NOT_FOUND:
            raise EngineError("the container engine does not know the container any more")
        if answer.status != _OK:
            raise LogUnreadableError((await answer.read()).decode(errors="replace"))
        on_open(answer)
        async for block in answer.content.iter_any():
            for entry in lines.feed(block):
                yield entry
    except aiohttp.ClientError as error:
        raise LogUnreadableError(str(error) or type(error).__name__) from error
    finally:
        answer.close()
    if not follow:
        for entry in lines.end():
            yield entry


class LogLines:
    """The engine's frames, each `<time> <a line or a piece of one>`, on their way to being what was written."""

    def __init__(self, *, loses_newlines: bool) -> None:
        self._loses_newlines = loses_newlines
        self._rest = b""
        self._streams = {STDOUT: _Stream(), STDERR: _Stream()}

    def feed(self, block: bytes) -> Iterator[LogEntry]:
        """Yield what the frames say that end within the block; what follows each other on one stream at once."""
        data = self._rest + block
        size = len(data)
        written: list[bytes] = []
        time, before, begin = b"", 0, 0
        while size - begin >= _HEADER.size:
            number, length = _HEADER.unpack_from(data, begin)
            end = begin + _HEADER.size + length
            if end > size:
                break
            if number != before and written:
                yield LogEntry(before, _instant(time), b"".join(written))
                written = []
            before = number
            stream = self._streams.get(number)
            if stream is None:  # on which the engine says what went wrong when it read
                raise LogUnreadableError(data[begin + _HEADER.size : end].decode(errors="replace"))
            space = data.find(b" ", begin + _HEADER.size, end)
            if space < 0:
                raise LogUnreadableError("the engine does not say when something was written")
            time = data[begin + _HEADER.size : space]
            if stream.is_open:
                stream.is_piece = time == stream.time
                if not stream.is_piece:
                    written.append(b"\n")
            else:
                stream.is_piece = False
            stream.time = time
            stream.is_open = self._loses_newlines and data[end - 1] != _NEWLINE
            stream.is_empty = end == space + 1
            written.append(data[space + 1 : end])
            begin = end
        self._rest = data[begin:]
        if written:
            yield LogEntry(before, _instant(time), b"".join(written))

    def end(self) -> Iterator[LogEntry]:
        """Yield what may be missing at the end: the last of several pieces is where a line ended, or the container did."""
        for number, stream in self._streams.items():
            if stream.is_open and stream.is_piece:
                # An empty piece can only be there for its newline.
                yield LogEntry(number, _instant(stream.time), b"\n", is_surmise=not stream.is_empty)


_NEWLINE: Final = ord("\n")


class _Stream:
    """What is known of one stream's last frame."""

    __slots__ = ("is_empty", "is_open", "is_piece", "time")

    def __init__(self) -> None:
        self.time = b""
        self.is_open = False
        """It had no newline."""
        self.is_piece = False
        """It went on with a line that had begun before it."""
        self.is_empty = False


def _instant(time: bytes) -> datetime:
    try:
        return datetime.fromisoformat(time.decode())
    except ValueError:
        return datetime.now(UTC)
