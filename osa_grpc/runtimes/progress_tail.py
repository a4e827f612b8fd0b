"""Following `progress.jsonl` while a container writes it."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final

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
_MAX_STEP: Final = 256
_MAX_STATUS: Final = 256
_MAX_MESSAGE: Final = 4096


class ProgressTail:
    """Reads each line once, as soon as it has its newline; in batches of bounded size.

    A file that is cut or replaced is read from its beginning. What is no regular file, or has more than `max_bytes` (which
    costs nothing where they are a hole), is not read here; the verdict says so later. So that it comes in time, what a
    container has left unread when it ends is read for ten seconds at most.
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
                self._decoding_seconds = 0.0
                while data := self._read():
                    if is_last and self._decoding_seconds > _AFTER_END_SECONDS:
                        self._warn("there is more of it than can be read after the container's end")
                        return
                    await self._hand_on(self._lines.feed(data), hand_on)
                    await asyncio.sleep(0)  # a line may be long, and others want to run
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
    ) -> None:
        began_at = time.monotonic()
        batch = [progress for line in lines if (progress := self._progress_of(line)) is not None]
        self._decoding_seconds += time.monotonic() - began_at
        if batch:
            await hand_on(batch)

    def _progress_of(self, line: bytes | LongLine) -> HookProgress | None:
        if isinstance(line, bytes) and not line.strip():
            return None
        entry = json_object(line)
        if entry is None:
            self._warn("a line of progress is no JSON object, or too long")
            return None
        return HookProgress(
            step=as_text(entry.get("step"), max_length=_MAX_STEP),
            status=as_text(entry.get("status"), max_length=_MAX_STATUS),
            message=as_text(entry.get("message"), max_length=_MAX_MESSAGE),
        )

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
