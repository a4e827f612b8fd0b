"""Following `progress.jsonl` while a container writes it."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from osa_grpc.domain.errors import BadOutputError
from osa_grpc.domain.run import HookProgress
from osa_grpc.runtimes.outputs import PROGRESS
from osa_grpc.runtimes.untrusted import Lines, LongLine, as_text, json_object, open_regular

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from io import BufferedReader
    from pathlib import Path

_log = structlog.get_logger(__name__)

_POLL_SECONDS: Final = 0.05
_BATCH_BYTES: Final = 32 * 1024
_MAX_LINE_BYTES: Final = 64 * 1024
_AFTER_END_SECONDS: Final = 10.0
_LEISURE: Final = 3
"""After a full batch it rests so many times as long as that took: progress without end is not worth a processor."""
_MAX_STEP: Final = 256
_MAX_STATUS: Final = 256
_MAX_MESSAGE: Final = 4096


class _Entry(msgspec.Struct):
    """A line of progress, whatever the values are."""

    step: object = None
    status: object = None
    message: object = None


_decode: Final = msgspec.json.Decoder(_Entry).decode


class ProgressTail:
    """Reads each line once, as soon as it has its newline; in batches of bounded size.

    A file that is cut or replaced is read from its beginning. What is no regular file, or has more than `max_bytes` (which
    costs nothing where they are a hole), is not read here; the verdict says so later. So that it comes in time, what a
    container has left unread when it ends is read for ten seconds of a processor at most.
    """

    def __init__(self, *, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._decoding_seconds = 0.0
        self._stream: BufferedReader | None = None
        self._identity: tuple[int, int] | None = None
        self._lines = Lines(max_bytes=_MAX_LINE_BYTES)
        self._has_warned = False

    async def follow(
        self, hand_on: Callable[[Sequence[HookProgress]], Awaitable[None]], *, ended: asyncio.Event
    ) -> None:
        """Hand on the lines until the container has `ended` and everything is read."""
        try:
            while True:
                is_last = ended.is_set()  # before reading: what it wrote until then is there now
                while data := self._read():
                    if not ended.is_set():
                        self._decoding_seconds = 0.0
                    elif self._decoding_seconds > _AFTER_END_SECONDS:
                        self._warn("there is more of it than can be read after the container's end")
                        return
                    took_seconds = await self._hand_on(self._lines.feed(data), hand_on)
                    if len(data) == _BATCH_BYTES and not ended.is_set():
                        await asyncio.sleep(_LEISURE * took_seconds)
                if is_last:
                    await self._hand_on(self._lines.end(), hand_on)
                    return
                try:
                    async with asyncio.timeout(_POLL_SECONDS):
                        await ended.wait()
                except TimeoutError:
                    continue
        finally:
            self._close()

    async def _hand_on(
        self,
        lines: Iterable[bytes | LongLine],
        hand_on: Callable[[Sequence[HookProgress]], Awaitable[None]],
    ) -> float:
        """Decode and hand on; how long a processor decoded. In a thread: a batch of tiny lines keeps it busy for a while."""
        batch, took_seconds = await asyncio.to_thread(self._decoded, lines)
        self._decoding_seconds += took_seconds
        if batch:
            await hand_on(batch)
        return took_seconds

    def _decoded(self, lines: Iterable[bytes | LongLine]) -> tuple[list[HookProgress], float]:
        began_at = time.thread_time()  # the processor's, not the clock's: others may want it too
        batch = [progress for line in lines if (progress := self._progress_of(line)) is not None]
        return batch, time.thread_time() - began_at

    def _progress_of(self, line: bytes | LongLine) -> HookProgress | None:
        entry = self._entry_of(line)
        if entry is None:
            return None
        # Of the right types already, and there may be millions.
        return HookProgress.model_construct(
            step=as_text(entry.step, max_length=_MAX_STEP),
            status=as_text(entry.status, max_length=_MAX_STATUS),
            message=as_text(entry.message, max_length=_MAX_MESSAGE),
        )

    def _entry_of(self, line: bytes | LongLine) -> _Entry | None:
        if isinstance(line, LongLine):
            return self._leniently(line)
        try:
            return _decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return self._leniently(line)

    def _leniently(self, line: bytes | LongLine) -> _Entry | None:
        if isinstance(line, bytes) and not line.strip():
            return None
        entry = json_object(line)
        if entry is None:
            self._warn("a line of progress is no JSON object, or too long")
            return None
        return _Entry(step=entry.get("step"), status=entry.get("status"), message=entry.get("message"))

    def _read(self) -> bytes:
        """The next bytes, as many as make a batch; none if there is nothing new."""
        try:
            status = (self._directory / PROGRESS).stat(follow_symlinks=False)
        except OSError:  # it is not there, or the container, running as ourselves, has closed the directory
            return b""
        if status.st_size > self._max_bytes:
            self._warn(f"it has {status.st_size} bytes, at most {self._max_bytes} are read")
            return b""
        if self._stream is not None and (
            (status.st_dev, status.st_ino) != self._identity or status.st_size < self._stream.tell()
        ):
            self._close()
        if self._stream is None and not self._open():
            return b""
        assert self._stream is not None
        return self._stream.read(_BATCH_BYTES)

    def _open(self) -> bool:
        try:
            self._stream = open_regular(self._directory, PROGRESS, max_bytes=None)
        except BadOutputError as error:
            self._warn(str(error))
        if self._stream is None:
            return False
        status = os.fstat(self._stream.fileno())
        self._identity = (status.st_dev, status.st_ino)
        return True

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
            self._lines.clear()

    def _warn(self, reason: str) -> None:
        if not self._has_warned:  # once for each attempt: a hook may write a million of them
            self._has_warned = True
            _log.warning("progress is ignored", directory=str(self._directory), reason=reason)
