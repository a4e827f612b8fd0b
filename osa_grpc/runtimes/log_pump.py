"""Carrying what a container writes to whoever keeps it: every byte, in order, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from osa_grpc.runtimes.log_position import GAP, LogPiece

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

MAX_CHUNK_BYTES: Final = 64 * 1024
_BATCH_SECONDS: Final = 0.05
_BUFFER_BYTES: Final = 4 * 2**20
"""Enough for the keeper to be slow for a moment: Docker drops what nobody takes within 2 s of a container's end."""
_RUN_BYTES: Final = 100
"""What a run takes beside its bytes."""


@dataclass(frozen=True, kw_only=True)
class LogChunk:
    """What is handed on at once: pieces of the log in their order, never a gap among others."""

    pieces: Sequence[LogPiece]

    @property
    def is_gap(self) -> bool:
        """Whether it is no bytes, but the mark of missing ones."""
        return self.pieces[0] is GAP

    @property
    def data(self) -> bytes:
        """The bytes of all pieces."""
        return b"".join(piece.data for piece in self.pieces)


class LogPump:
    """Reads on one side, hands on chunks of at most 64 KiB on the other, 50 ms after their first byte at the latest.

    When the keeper is slow, reading stops at 4 MiB, and so the container's writing.
    """

    def __init__(
        self,
        *,
        read: Callable[[], Awaitable[LogPiece | None]],
        keep: Callable[[LogChunk], Awaitable[None]],
    ) -> None:
        self._read = read
        self._keep = keep
        self._runs: deque[_Run] = deque()
        self._size_bytes = 0
        self._has_gap = False
        self._is_read = False
        self._changed = asyncio.Condition()
        self.moved_bytes = 0
        """Read and handed on, together: as long as it grows, the pump works."""
        self.is_keeping = False
        """Whether the keeper has a chunk in hand."""

    async def fill(self) -> None:
        """Read until the container's end. Runs beside `drain`."""
        try:
            while (piece := await self._read()) is not None:
                async with self._changed:
                    await self._changed.wait_for(lambda: not self._is_full())
                    self._add(piece)
                    self._changed.notify_all()
        finally:
            self._is_read = True
            async with self._changed:
                self._changed.notify_all()

    async def drain(self) -> None:
        """Hand on what is read until there is no more."""
        while (chunk := await self._next_chunk()) is not None:
            self.is_keeping = True
            await self._keep(chunk)
            self.is_keeping = False
            self.moved_bytes += sum(len(piece.data) for piece in chunk.pieces)

    def _add(self, piece: LogPiece) -> None:
        """Keep a piece; bytes of one stream that follow each other become one run, or a byte would cost us a hundred."""
        last = self._runs[-1] if self._runs else None
        if piece is GAP:
            self._has_gap = True
        if last is None or piece is GAP or last.stream != piece.stream or len(last.data) >= MAX_CHUNK_BYTES:
            self._runs.append(_Run(stream=piece.stream, data=bytearray(piece.data)))
        else:
            last.data += piece.data
        self._size_bytes += len(piece.data)
        self.moved_bytes += len(piece.data)

    def _is_full(self) -> bool:
        return self._size_bytes + len(self._runs) * _RUN_BYTES >= _BUFFER_BYTES

    async def _next_chunk(self) -> LogChunk | None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._runs or self._is_read)
            try:
                async with asyncio.timeout(_BATCH_SECONDS):
                    await self._changed.wait_for(
                        lambda: self._size_bytes >= MAX_CHUNK_BYTES or self._has_gap or self._is_read
                    )
            except TimeoutError:
                pass
            chunk = self._take() if self._runs else None
            self._changed.notify_all()
            return chunk

    def _take(self) -> LogChunk:
        """The pieces up to a gap, or to the most that a chunk may hold."""
        taken: list[LogPiece] = []
        room = MAX_CHUNK_BYTES
        while self._runs and room:
            run = self._runs[0]
            if run.stream == GAP.stream:
                if not taken:
                    self._runs.popleft()
                    taken.append(GAP)
                    self._has_gap = any(other.stream == GAP.stream for other in self._runs)
                break
            data = bytes(run.data[:room])
            taken.append(LogPiece(run.stream, data))
            room -= len(data)
            if len(data) == len(run.data):
                self._runs.popleft()
            else:
                del run.data[: len(data)]
        self._size_bytes -= MAX_CHUNK_BYTES - room
        return LogChunk(pieces=taken)


@dataclass(kw_only=True)
class _Run:
    """Bytes of one stream."""

    stream: int
    data: bytearray
