"""Seeing work to its end even when whoever waits for it is cancelled: for cleaning up, and for what must be known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


async def finish(work: Coroutine[object, object, T], *, name: str) -> T:
    """Await `work` to its end; a cancellation that came meanwhile is raised afterwards. `work` has to bound itself."""
    task = asyncio.create_task(work, name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # looked at, so that nobody misses it
        raise cancelled
    return task.result()
