"""A small server of a newer contract, on a real socket: it answers the methods it is given, with what it is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc

from tests.clients.foreign_contract import PACKAGE, Contract


class ComeAgainError(Exception):
    """Raised by an answer to a call with a stream: it ends with UNAVAILABLE."""


Answers = Mapping[str, Callable[[Any], Iterable[Any]]]
"""For each method (`RunService/GetRun`) what it answers to a request; several messages for a stream."""


@asynccontextmanager
async def newer_server(contract: Contract, answers: Answers) -> AsyncIterator[str]:
    """Serve; the address is that of a free port."""
    server = grpc.aio.server()
    for method, answer in answers.items():
        service, _, name = method.partition("/")
        handlers = {name: _handler(contract, method, answer)}
        server.add_registered_method_handlers(f"{PACKAGE}.{service}", handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def _handler(
    contract: Contract, method: str, answer: Callable[[Any], Iterable[Any]]
) -> grpc.RpcMethodHandler[Any, Any]:
    descriptor = contract.method(method)
    codec = {
        "request_deserializer": contract.message(descriptor.input_type.name).FromString,
        "response_serializer": lambda message: message.SerializeToString(),
    }
    if descriptor.server_streaming:

        async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            try:
                for message in answer(request):
                    await context.write(message)
            except ComeAgainError as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

        return grpc.unary_stream_rpc_method_handler(stream, **codec)  # type: ignore[arg-type]

    async def unary(request: Any, _: grpc.aio.ServicerContext[Any, Any]) -> Any:
        (message,) = answer(request)
        return message

    return grpc.unary_unary_rpc_method_handler(unary, **codec)  # type: ignore[arg-type]
