"""Carrying what a container writes to whoever keeps it: every byte, in order, in bounded memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_CHUNK_BYTES: Final = 64 * 1024
_BATCH_SECONDS: Final = 0.05
_BUFFER_BYTES: Final = 4 * 2**20
"""Enough for the keeper to be slow for a moment: Docker drops what nobody takes within 2 s of a container's end."""


class LogPump:
    """Reads on one side, hands on chunks of at most 64 KiB on the other, 50 ms after their first byte at the latest.

    When the keeper is slow, reading stops at 4 MiB, and so the container's writing.
    """

    def __init__(
        self, *, read: Callable[[], Awaitable[bytes]], keep: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self._read = read
        self._keep = keep
        self._buffer = bytearray()
        self._is_read = False
        self._changed = asyncio.Condition()
        self.moved_bytes = 0
        """Read and handed on, together: as long as it grows, the pump works."""
        self.is_keeping = False
        """Whether the keeper has a chunk in hand."""

    async def fill(self) -> None:
        """Read until the container's end. Runs beside `drain`."""
        try:
            while data := await self._read():
                async with self._changed:
                    await self._changed.wait_for(lambda: len(self._buffer) < _BUFFER_BYTES)
                    self._buffer += data
                    self.moved_bytes += len(data)
                    self._changed.notify_all()
        finally:
            self._is_read = True
            async with self._changed:
                self._changed.notify_all()

    async def drain(self) -> None:
        """Hand on what is read until there is no more."""
        while chunk := await self._next_chunk():
            self.is_keeping = True
            await self._keep(chunk)
            self.is_keeping = False
            self.moved_bytes += len(chunk)

    async def _next_chunk(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(lambda: self._buffer or self._is_read)
            try:
                async with asyncio.timeout(_BATCH_SECONDS):
                    await self._changed.wait_for(
                        lambda: len(self._buffer) >= MAX_CHUNK_BYTES or self._is_read
                    )
            except TimeoutError:
                pass
            chunk = bytes(self._buffer[:MAX_CHUNK_BYTES])
            del self._buffer[:MAX_CHUNK_BYTES]
            self._changed.notify_all()
            return chunk
