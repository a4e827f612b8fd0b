"""Logs each call when it ends, and binds its id to whatever is logged meanwhile."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

import grpc
import structlog
from structlog.contextvars import bound_contextvars

from osa_grpc.server.client_address import ClientAddresses
from osa_grpc.server.rpc_wrapping import Rpc

_log: Final = structlog.get_logger(__name__)
_QUIET_PREFIX: Final = "grpc."
_SHOWN: Final = 128


@asynccontextmanager
async def access_logged(rpc: Rpc, addresses: ClientAddresses) -> AsyncIterator[None]:
    """Log method, status, duration, peer and user agent at the end; health and reflection calls at the level debug.

    Where a trusted proxy passed the call on, the peer is the proxy, and `client` is who called.
    """
    request_id = str(getattr(rpc.request, "request_id", ""))[:_SHOWN]
    started = time.monotonic()
    with bound_contextvars(
        rpc_id=uuid.uuid4().hex, method=rpc.method, **({"request_id": request_id} if request_id else {})
    ):
        cancelled = False
        try:
            yield
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            client = addresses.client_of(rpc)
            log = _log.debug if rpc.service.startswith(_QUIET_PREFIX) else _log.info
            log(
                "rpc",
                code=code_of(rpc, cancelled=cancelled),
                duration_ms=round((time.monotonic() - started) * 1000, 1),
                peer=rpc.context.peer(),
                **({} if client is None else {"client": client}),
                user_agent=_user_agent(rpc),
            )


def code_of(rpc: Rpc, *, cancelled: bool) -> str:
    """Return the name of the status that a call ended with."""
    if cancelled:
        left = cast(
            "float | None", rpc.context.time_remaining()
        )  # None without a deadline, whatever the stubs say
        return "DEADLINE_EXCEEDED" if left is not None and left <= 0 else "CANCELLED"
    code: object = (
        rpc.context.code()
    )  # None before any was set; a number after `abort`, whatever the stubs say
    if isinstance(code, int):
        return next((status.name for status in grpc.StatusCode if status.value[0] == code), str(code))
    return code.name if isinstance(code, grpc.StatusCode) else "OK"


def _user_agent(rpc: Rpc) -> str:
    for key, value in rpc.context.invocation_metadata() or ():
        if key == "user-agent":
            return str(value)[:_SHOWN]
    return ""
