"""How many calls the server takes at once: those that answer once, streams, and uploads, each with a limit of its own.

Not `maximum_concurrent_rpcs`, which counts wrongly (https://github.com/grpc/grpc/issues/41531) and would let watchers crowd out
everything else. A call beyond the limit is refused at once instead of waiting without bound.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import Enum
from typing import Final

from osa_grpc.domain.errors import ResourceExhaustedError
from osa_grpc.server.rpc_wrapping import Rpc

_RETRY_DELAY: Final = timedelta(seconds=1)
_EXEMPT_PREFIX: Final = "grpc."


class _Kind(Enum):
    """What a call needs a place among."""

    CALL = "calls"
    STREAM = "streams"
    UPLOAD = "uploads"


def _kind_of(rpc: Rpc) -> _Kind:
    if rpc.is_streaming:
        return _Kind.STREAM
    return _Kind.UPLOAD if rpc.request is None else _Kind.CALL


class CallLimits:
    """Places for calls. Health and reflection need none, so that a full server still says that it lives."""

    def __init__(self, *, max_unary_calls: int, max_streams: int, max_uploads: int) -> None:
        self._most: Final = {
            _Kind.CALL: max_unary_calls,
            _Kind.STREAM: max_streams,
            _Kind.UPLOAD: max_uploads,
        }
        self._taken: Final = dict.fromkeys(_Kind, 0)
        self._idle: Final = asyncio.Event()
        self._idle.set()

    @property
    def unary_calls(self) -> int:
        """How many calls that take one message and answer once are under way."""
        return self._taken[_Kind.CALL]

    @property
    def uploads(self) -> int:
        """How many calls that take a stream and answer once are under way."""
        return self._taken[_Kind.UPLOAD]

    @property
    def streams(self) -> int:
        """How many calls that answer with a stream are under way."""
        return self._taken[_Kind.STREAM]

    @asynccontextmanager
    async def place(self, rpc: Rpc) -> AsyncIterator[None]:
        """Hold a place during the call.

        Raises:
            ResourceExhaustedError: there is none left (`TOO_MANY_CALLS`, `TOO_MANY_STREAMS`, `TOO_MANY_UPLOADS`).
        """
        if rpc.service.startswith(_EXEMPT_PREFIX):
            yield
            return
        kind = _kind_of(rpc)
        if self._taken[kind] >= self._most[kind]:
            raise ResourceExhaustedError(
                f"the server has {self._most[kind]} {kind.value} under way, as many as it takes",
                reason=f"TOO_MANY_{kind.value.upper()}",
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
