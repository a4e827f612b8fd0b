"""Puts every call of the server inside a block: the one place that knows gRPC's four arities and two ways of answering.

What a call is put inside is an async context manager (`Around`): errors become statuses there, calls are counted and logged. A
handler may give its responses as an async generator or write them to its context; either way it runs inside the block, in one task,
and a generator is closed when the call ends.

Request bytes that do not decode are met here too: left to grpc.aio they are answered UNKNOWN with Python's text. So decoding never
raises; it gives a marker, and the call raises InvalidRequestError (`MALFORMED_MESSAGE`) inside the block. The same goes for a call
without the one message that its method takes, which grpc.aio would leave unanswered for ever: to grpc.aio every method takes a
stream, of which one message is read.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from inspect import isasyncgen, isawaitable
from typing import Any, Final, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from osa_grpc.domain.errors import InvalidRequestError, Violation
from osa_grpc.domain.field_path import FieldPath


@dataclass(frozen=True, kw_only=True)
class Rpc:
    """A call under way. `request` is None while it is a stream."""

    method: str
    """For example `/opensciencearchive.v1.RunService/GetRun`."""
    is_streaming: bool
    """Whether it answers with a stream."""
    context: "grpc.aio.ServicerContext[Any, Any]"
    request: object | None

    @property
    def service(self) -> str:
        """The full name of its service."""
        return self.method.split("/")[1] if self.method.count("/") > 1 else ""


class Around(Protocol):
    """What a call is put inside. It may raise before the call, and turn what the call raises into something else."""

    def __call__(self, rpc: Rpc) -> AbstractAsyncContextManager[None]:
        """Return the block for one call. It never swallows CancelledError."""


class RpcWrapping(grpc.aio.ServerInterceptor):
    """The server's one interceptor: puts each call inside `around`."""

    def __init__(self, around: Around) -> None:
        self._around: Final = around

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the handler, wrapped; None for a method nobody has."""
        handler = await continuation(handler_call_details)
        return None if handler is None else self._wrapped(handler, handler_call_details.method)

    def _wrapped(
        self, handler: "grpc.RpcMethodHandler[Any, Any]", method: str
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        decode = _decoding(handler.request_deserializer)
        encode = _encoding(handler.response_serializer)
        once, many = grpc.stream_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        if handler.unary_unary is not None:
            return once(self._answering_once(handler.unary_unary, method), decode, encode)
        if handler.stream_unary is not None:
            collecting = self._answering_once(handler.stream_unary, method, takes_stream=True)
            return once(collecting, decode, encode)
        if handler.unary_stream is not None:
            return many(self._answering_many(handler.unary_stream, method), decode, encode)
        assert handler.stream_stream is not None
        return many(self._answering_many(handler.stream_stream, method, takes_stream=True), decode, encode)

    def _answering_once(
        self, behavior: Callable[..., Any], method: str, *, takes_stream: bool = False
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def call(requests: Any, context: Any) -> Any:  # noqa: ANN401 - of any method
            rpc, request, context = await _begun(method, requests, context, takes_stream=takes_stream)
            async with self._around(rpc):
                result = behavior(_checked(request), context)
                return await result if isawaitable(result) else result

        return call

    def _answering_many(
        self, behavior: Callable[..., Any], method: str, *, takes_stream: bool = False
    ) -> Callable[[Any, Any], Awaitable[None]]:
        async def call(requests: Any, context: Any) -> None:  # noqa: ANN401 - of any method
            rpc, request, context = await _begun(
                method, requests, context, takes_stream=takes_stream, is_streaming=True
            )
            async with self._around(rpc):
                result = behavior(_checked(request), context)
                if isasyncgen(result):
                    async with aclosing(result):
                        async for response in result:
                            await context.write(response)
                else:
                    await result

        return call


@dataclass(frozen=True, kw_only=True)
class _Malformed:
    """Stands for a request that cannot be read."""

    found: str


class _CheckingContext:
    """A call's context whose `read` refuses what does not decode; all else is as it was."""

    def __init__(self, context: Any) -> None:  # noqa: ANN401 - grpc.aio's, of any method
        self._context: Final = context

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it has
        return getattr(self._context, name)

    async def read(self) -> Any:  # noqa: ANN401 - a message, or grpc.aio.EOF
        return _checked(await self._context.read())


async def _begun(
    method: str,
    requests: AsyncIterator[Any],
    context: Any,  # noqa: ANN401 - of any method
    *,
    takes_stream: bool,
    is_streaming: bool = False,
) -> tuple[Rpc, Any, Any]:
    request: Any
    if takes_stream:
        request, context = _each_checked(requests), _CheckingContext(context)
    else:
        request = await anext(requests, _Malformed(found="none"))
    rpc = Rpc(
        method=method,
        is_streaming=is_streaming,
        context=context,
        request=None if takes_stream else request,
    )
    return rpc, request, context


async def _each_checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)


def _checked(request: Any) -> Any:  # noqa: ANN401 - of any method
    if isinstance(request, _Malformed):
        raise InvalidRequestError(
            [
                Violation(
                    at=FieldPath(),
                    message=f"expected a message of this method, found {request.found}",
                    reason="MALFORMED_MESSAGE",
                )
            ],
            reason="MALFORMED_MESSAGE",
        )
    return request


def _decoding(decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    if decode is None:
        return None

    def decode_or_mark(data: bytes) -> Any:  # noqa: ANN401 - a message, or the marker
        try:
            return decode(data)
        except (DecodeError, ValueError):
            return _Malformed(found=f"{len(data)} bytes that are none")

    return decode_or_mark


def _encoding(encode: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """Let ready-made bytes through, so that a batch that goes to many is encoded once."""
    if encode is None:
        return None
    return lambda response: response if isinstance(response, bytes) else encode(response)
