"""A server of a newer contract in front of one of today's: it hands every call on, and its answers say more than was answered.

What it says is what an archive of later days might: the whole road can be gone through it, by clients that do not know the half.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status

from osa_grpc.wire.transport import STATUS_DETAILS_KEY
from tests.clients.foreign_contract import PACKAGE, Contract
from tests.clients.newer_contract import LATER, newer_contract, with_later_fields

Context = grpc.aio.ServicerContext[bytes, bytes]


@asynccontextmanager
async def newer_front(address: str, *, later_values: bool = False) -> AsyncIterator[str]:
    """Serve in front of the server at this address; what is yielded is the address to call.

    With `later_values` the last column of every query holds values of a kind of its own.
    """
    async with grpc.aio.insecure_channel(address) as channel:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Front(channel, later_values=later_values),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


class _Front(grpc.GenericRpcHandler):
    def __init__(self, channel: grpc.aio.Channel, *, later_values: bool) -> None:
        self._channel = channel
        self._later = Later(newer_contract(), later_values=later_values)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Every method is handed on as bytes; whether it streams is for the two ends to know."""
        path = handler_call_details.method
        method = path.removeprefix(f"/{PACKAGE}.")

        async def handed_on(requests: AsyncIterator[bytes], context: Context) -> None:
            if method == "RunService/WatchRun":
                first = await anext(aiter(requests))
                if (closing := self._later.closing(first)) is not None:
                    await context.write(closing)
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "watch on with the last token")
                requests = _only(first)
            call = self._channel.stream_stream(path)(requests, timeout=context.time_remaining())
            try:
                async for answer in call:
                    for message in self._later.answers(method, answer):
                        await context.write(message)
            except grpc.aio.AioRpcError as error:
                trailers = tuple(with_a_later_detail(tuple(error.trailing_metadata())))
                await context.abort(error.code(), error.details() or "", trailers)
            finally:
                call.cancel()

        return grpc.stream_stream_rpc_method_handler(handed_on)  # type: ignore[arg-type]


class Later:
    """What a server of the newer contract says beside what was answered."""

    def __init__(self, contract: Contract, *, later_values: bool) -> None:
        self._contract = contract
        self._later_values = later_values
        self._watches: Counter[str] = Counter()

    def closing(self, request: bytes) -> bytes | None:
        """The second watch of each run is closed at once, for a reason of its own. What it has seen is what it had seen."""
        watch = self._contract.request("RunService/WatchRun").FromString(request)
        self._watches[watch.name] += 1
        if self._watches[watch.name] != 2:
            return None
        closing = {"reason": LATER, "retry_delay": {"nanos": 1_000_000}}
        return self._written(
            self._contract.response("RunService/WatchRun", resume_token=watch.resume_token, closing=closing)
        )

    def answers(self, method: str, answer: bytes) -> Iterator[bytes]:
        """Yield what is said instead of an answer."""
        message = self._contract.response(method).FromString(answer)
        match method:
            case "ConventionService/WatchConvention":  # another state on the way to each
                before = self._contract.of(message)
                before.convention.state = LATER
                yield self._written(before)
            case "DepositionService/SubmitDeposition":  # a run of another source begins in a state of its own
                message.run.trial = "once"
                message.run.state = LATER
            case "RunService/WatchRun":
                self._tell_more(message)
            case "FeatureService/QueryFeatures" if self._later_values:
                message.columns[-1].type = LATER
                for row in message.rows:
                    row.values[-1].later_arm = "52.2 N 0.1 E"
            case _:
                pass
        yield self._written(message)

    def _tell_more(self, message: Any) -> None:
        # Event n becomes event 2n, with one that is not known before it: the sequences still rise by one, `run_finished` is
        # still the last, and the tokens, which stand between the events of before, are still exact.
        event_of = self._contract.message("RunEvent")
        events = list(message.events)
        del message.events[:]
        for event in events:
            place = 2 * event.sequence
            message.events.append(event_of(sequence=place - 1, run_paused={"text": "for lunch"}))
            event.sequence = place
            if event.HasField("hook_finished"):
                event.hook_finished.failure.kind = LATER
            if event.HasField("run_finished"):
                event.run_finished.state = LATER
            message.events.append(event)
        if message.WhichOneof("control") is None:
            message.later_arm = "there is more to say"

    def _written(self, message: Any) -> bytes:
        data: bytes = with_later_fields(message, but="").SerializeToString()
        return data


def with_a_later_detail(trailers: tuple[Any, ...]) -> Iterator[tuple[str, str | bytes]]:
    """Yield trailers; where one has details of an error, the first of them is of a type of its own."""
    for key, value in trailers:
        if key == STATUS_DETAILS_KEY:
            status = Status.FromString(value)
            later = AnyMessage(type_url=f"type.googleapis.com/{PACKAGE}.LaterDetail", value=b"\x0a\x03why")
            status.details.insert(0, later)
            yield key, status.SerializeToString()
        else:
            yield key, value


async def _only(request: bytes) -> AsyncIterator[bytes]:
    yield request
