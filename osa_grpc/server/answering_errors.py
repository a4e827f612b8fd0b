"""Turns what a call raises into the status it is answered with."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc
import grpc.aio
import structlog

from osa_grpc.domain.errors import OsaError
from osa_grpc.server.rpc_wrapping import Rpc
from osa_grpc.wire.status import RpcStatus, internal_status, status_of
from osa_grpc.wire.transport import STATUS_DETAILS_KEY

_log: Final = structlog.get_logger(__name__)


@asynccontextmanager
async def answering_errors(rpc: Rpc) -> AsyncIterator[None]:
    """Answer a domain error as `wire.status` has it, and anything else as INTERNAL with an incident id that the log has too.

    A client that goes before its call is cancelled here is noticed by what can no longer be sent to it. That is no incident: the
    call ends as one that was cancelled.
    """
    try:
        async with _answered(rpc):
            yield
    except grpc.aio.InternalError as error:  # gRPC refuses to send
        raise asyncio.CancelledError from error


@asynccontextmanager
async def _answered(rpc: Rpc) -> AsyncIterator[None]:
    try:
        yield
    except (grpc.aio.AbortError, grpc.aio.InternalError):
        raise  # answered already, or nobody is there
    except OsaError as error:
        await _abort(rpc, status_of(error))
    except Exception as error:  # noqa: BLE001 - nothing may reach a caller as Python's text
        incident = uuid.uuid4().hex
        _log.error("rpc failed unexpectedly", method=rpc.method, incident=incident, exc_info=error)
        await _abort(rpc, internal_status(incident))


async def _abort(rpc: Rpc, status: RpcStatus) -> None:
    if rpc.context.done():
        return  # the client has gone: nobody is there to be answered
    trailers: tuple[tuple[str, str | bytes], ...] = ((STATUS_DETAILS_KEY, status.details),)
    set_before = rpc.context.trailing_metadata()
    await rpc.context.abort(status.code, status.message, (*(set_before or ()), *trailers))
