"""A blocking client in a thread of its own, against a server that the test plays (grpcio-testing)."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import grpc_testing
from google.protobuf.descriptor import MethodDescriptor

from osa_grpc.client import Backoff, BlockingClient
from osa_grpc.domain.errors import OsaError
from osa_grpc.wire import pb
from osa_grpc.wire.status import status_of
from osa_grpc.wire.transport import STATUS_DETAILS_KEY

T = TypeVar("T")
Trailers = tuple[tuple[str, bytes], ...]

IN_TIME = 10.0


def method(service: str, name: str) -> MethodDescriptor:
    """The descriptor of a call."""
    services = {key: value for file in pb.FILES for key, value in file.services_by_name.items()}
    return services[service].methods_by_name[name]


def trailers_of(error: OsaError) -> tuple[Trailers, grpc.StatusCode, str]:
    """How a server ends a call that raised the error."""
    status = status_of(error)
    return ((STATUS_DETAILS_KEY, status.details),), status.code, status.message


class ScriptedServer:
    """The channel as seen from the server."""

    def __init__(self, channel: Any, client: BlockingClient, pool: ThreadPoolExecutor) -> None:
        self._channel = channel
        self._client = client
        self._pool = pool

    def client_does(self, what: Callable[[BlockingClient], T]) -> "Future[T]":
        """Have the client do something meanwhile."""
        return self._pool.submit(what, self._client)

    def take_unary(self, service: str, name: str) -> tuple[Any, Any]:
        """The request of the next such call, and the call."""
        _, request, rpc = self._channel.take_unary_unary(method(service, name))
        return request, rpc

    def answer(self, service: str, name: str, response: Any) -> Any:
        """Answer the next such call; its request."""
        request, rpc = self.take_unary(service, name)
        rpc.terminate(response, (), grpc.StatusCode.OK, "")
        return request

    def fail(self, service: str, name: str, code: grpc.StatusCode, trailers: Trailers = ()) -> Any:
        """Fail the next such call; its request."""
        request, rpc = self.take_unary(service, name)
        rpc.terminate(None, trailers, code, "as scripted")
        return request

    def stream(
        self, service: str, name: str, *responses: Any, end: grpc.StatusCode = grpc.StatusCode.OK
    ) -> Any:
        """Answer the next such call with responses and end it; its request."""
        _, request, rpc = self._channel.take_unary_stream(method(service, name))
        for response in responses:
            rpc.send_response(response)
        if end is not grpc.StatusCode.OK:
            _wait_until_taken(rpc)
        rpc.terminate((), end, "as scripted")
        return request

    def take_upload(self) -> Any:
        """The next upload."""
        _, rpc = self._channel.take_stream_unary(method("DepositionService", "UploadFile"))
        return rpc


def _wait_until_taken(rpc: Any) -> None:
    """Wait until the client has read the responses: an error would make this channel forget them."""
    until = time.monotonic() + IN_TIME
    while rpc._rpc_state._responses:
        assert time.monotonic() < until, "the client does not read"
        time.sleep(0.001)


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """A server that the test plays."""
    channel = grpc_testing.channel(pb.FILES, grpc_testing.strict_real_time())
    client = BlockingClient(channel=channel, backoff=Backoff(first_seconds=0))
    with ThreadPoolExecutor(max_workers=4) as pool:
        yield ScriptedServer(channel, client, pool)
