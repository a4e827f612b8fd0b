"""The answer to an upload that the server may end before its end.

When a write fails because the server has answered already, grpc.aio (1.85) makes INTERNAL "Internal error from Core" the
call's status: before it has read what the server said, which replaces it a moment later, or after, which is lost then
unless it was looked at in time. Hence both: the status is kept when the call is done, and waited for if it was not there yet.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import grpc

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from osa_grpc.wire import pb

    UploadCall = grpc.aio.StreamUnaryCall[pb.UploadFileRequest, pb.UploadFileResponse]

T = TypeVar("T")

_PLACEHOLDER: Final = "Internal error from Core"
_LONGEST_SECONDS: Final = 2.0
_STEP_SECONDS: Final = 0.005


class EarlyAnswer:
    """Listens to a call from its beginning."""

    def __init__(self, call: UploadCall) -> None:
        self._call = call
        self._said: grpc.aio.AioRpcError | None = None
        call.add_done_callback(lambda _: self._keep())

    async def response(self) -> pb.UploadFileResponse:
        """Return the answer.

        Raises:
            grpc.RpcError: what the server said.
        """
        try:
            return await self._call
        except grpc.aio.AioRpcError as failure:
            if failure.details() != _PLACEHOLDER:
                raise
            await self._wait_until_said()
            raise (self._said or failure) from None

    async def _wait_until_said(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _LONGEST_SECONDS
        while self._said is None and loop.time() < until:
            await asyncio.sleep(_STEP_SECONDS)  # nothing tells when the status is replaced
            self._keep()

    def _keep(self) -> None:
        details = _at_once(self._call.details())
        if details != _PLACEHOLDER and self._said is None:
            self._said = grpc.aio.AioRpcError(
                _at_once(self._call.code()),
                _at_once(self._call.initial_metadata()),
                _at_once(self._call.trailing_metadata()),
                details=details,
            )


def _at_once(coroutine: Coroutine[object, object, T]) -> T:
    """Return the result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as returned:
        result: T = returned.value
        return result
    coroutine.close()
    raise RuntimeError("the call is not done")
