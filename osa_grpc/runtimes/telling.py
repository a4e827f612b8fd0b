"""Telling of a container's end while it is removed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType


class Telling:
    """Tells the observer of a container's end beside its removal; left when both are done, or the block has failed."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, telling: Coroutine[object, object, None]) -> None:
        """Begin to tell; to be called once at most, in the block."""
        self._task = asyncio.create_task(telling, name="tell of a container's end")

    async def __aenter__(self) -> Self:
        """Nothing is told yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until it is told, or give that up if the block has failed."""
        if self._task is None:
            return
        try:
            if kind is None:
                await self._task
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
