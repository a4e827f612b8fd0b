"""How the blocking client sends: the loops around calls, in which nothing is decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import grpc

from osa_grpc.client.backoff import Backoff
from osa_grpc.client.calls import Call, Listing
from osa_grpc.client.channel import Stubs
from osa_grpc.client.repeating import Repeating
from osa_grpc.client.resumption import Interruption, ResumableStream, Resumption
from osa_grpc.client.uploading import Progress, UploadPlan
from osa_grpc.wire import pb
from osa_grpc.wire.rpc_error import error_from_rpc

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ResultT = TypeVar("ResultT")


class BlockingSender:
    """Sends calls over an ordinary channel; grpc's errors become `OsaRpcError`."""

    def __init__(
        self,
        *,
        channel: grpc.Channel,
        timeout_seconds: float | None,
        backoff: Backoff,
        patience_seconds: float,
    ) -> None:
        self.stubs = Stubs(channel)
        self._timeout_seconds = timeout_seconds
        self._backoff = backoff
        self._patience_seconds = patience_seconds

    def resumption(self, on_interruption: Callable[[Interruption], None]) -> Resumption:
        """Return what decides how long a stream that was cut is resumed."""
        return Resumption(
            backoff=self._backoff, patience_seconds=self._patience_seconds, on_interruption=on_interruption
        )

    def send(self, call: Call[RequestT, ResponseT, ResultT]) -> ResultT:
        """Send a call; again, if it can be repeated and the server was not there to answer."""
        rpc = call.rpc(self.stubs)
        repeating = Repeating(allowed=call.is_mutation, backoff=self._backoff)
        while True:
            try:
                return call.take(rpc(call.request, timeout=self._timeout_seconds))
            except grpc.RpcError as failure:
                error = error_from_rpc(failure)
            time.sleep(repeating.seconds_after(error))

    def list(self, listing: Listing[ResultT]) -> Iterator[ResultT]:
        """Yield the items of all pages."""
        token = ""
        while True:
            items, token = self.send(listing.page(token))
            yield from items
            if not token:
                return

    def upload(self, look_at: Callable[[], UploadPlan], *, progress: Progress | None) -> pb.DepositionFile:
        """Upload what the plan says; again, if the server was not there to answer and the source can be read again."""
        plan = look_at()
        repeating = Repeating(allowed=plan.is_repeatable, backoff=self._backoff)
        while True:
            try:
                return self._upload_once(plan, progress)
            except grpc.RpcError as failure:
                error = error_from_rpc(failure)
            time.sleep(repeating.seconds_after(error))

    def _upload_once(self, plan: UploadPlan, progress: Progress | None) -> pb.DepositionFile:
        requests = plan.requests(progress=progress)
        try:
            file = self.stubs.depositions.UploadFile(requests).file
        except grpc.RpcError as failure:
            if requests.error is not None:
                raise requests.error from failure
            raise
        requests.check(file)
        return file

    def resume(
        self,
        stream: ResumableStream[ResponseT, ResultT],
        rpc: grpc.UnaryStreamMultiCallable[Any, ResponseT],
    ) -> Generator[ResultT, None, None]:
        """Yield what a stream gives, over as many calls as it takes."""
        seconds: float | None = 0.0
        while seconds is not None:
            if seconds:
                time.sleep(seconds)
            call, error = rpc(stream.request()), None
            try:
                for response in call:
                    yield from stream.take(response)
                    if stream.wants_new_call:
                        break
            except grpc.RpcError as failure:
                error = error_from_rpc(failure)
            finally:
                call.cancel()
            seconds = stream.ended() if error is None else stream.interrupted(error)
