"""An end for calls that bring none: a client that forgets its deadline does not hold a place for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import cast

from osa_grpc.domain.errors import DeadlineExceededError
from osa_grpc.server.rpc_wrapping import Rpc


@asynccontextmanager
async def deadline(rpc: Rpc, default: timedelta) -> AsyncIterator[None]:
    """Bound a call that takes one message, answers once and has no deadline of its own; leave streams alone, either way.

    Raises:
        DeadlineExceededError: the time is over.
    """
    own = cast("float | None", rpc.context.time_remaining())  # None without one, whatever the stubs say
    if rpc.is_streaming or rpc.request is None or own is not None:
        yield
        return
    bound = asyncio.timeout(default.total_seconds())
    try:
        async with bound:
            yield
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise DeadlineExceededError(
            f"the call took longer than {default.total_seconds():g} s, the deadline of calls that bring none",
            metadata={"seconds": f"{default.total_seconds():g}"},
        ) from error
