"""How many calls the server takes at once: those that answer once, and streams, each with a limit of its own.

Not `maximum_concurrent_rpcs`, which counts wrongly (https://github.com/grpc/grpc/issues/41531) and would let watchers crowd out
everything else. A call beyond the limit is refused at once instead of waiting without bound.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from osa_grpc.domain.errors import ResourceExhaustedError
from osa_grpc.server.rpc_wrapping import Rpc

_RETRY_DELAY: Final = timedelta(seconds=1)
_EXEMPT_PREFIX: Final = "grpc."


class CallLimits:
    """Places for calls. Health and reflection need none, so that a full server still says that it lives."""

    def __init__(self, *, max_unary_calls: int, max_streams: int) -> None:
        self._most: Final = {False: max_unary_calls, True: max_streams}
        self._taken: Final = {False: 0, True: 0}
        self._idle: Final = asyncio.Event()
        self._idle.set()

    @property
    def unary_calls(self) -> int:
        """How many calls that answer once are under way."""
        return self._taken[False]

    @property
    def streams(self) -> int:
        """How many calls that answer with a stream are under way."""
        return self._taken[True]

    @asynccontextmanager
    async def place(self, rpc: Rpc) -> AsyncIterator[None]:
        """Hold a place during the call.

        Raises:
            ResourceExhaustedError: there is none left (`TOO_MANY_CALLS`, `TOO_MANY_STREAMS`).
        """
        if rpc.service.startswith(_EXEMPT_PREFIX):
            yield
            return
        kind = rpc.is_streaming
        if self._taken[kind] >= self._most[kind]:
            raise ResourceExhaustedError(
                f"the server has {self._most[kind]} {'streams' if kind else 'calls'} under way, as many as it takes",
                reason="TOO_MANY_STREAMS" if kind else "TOO_MANY_CALLS",
                retry_delay=_RETRY_DELAY,
            )
        self._taken[kind] += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._taken[kind] -= 1
            if not any(self._taken.values()):
                self._idle.set()

    async def until_idle(self) -> None:
        """Wait until no call is under way, nor cleaning up after it was cancelled."""
        await self._idle.wait()
