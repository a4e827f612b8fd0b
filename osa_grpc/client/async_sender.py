"""How the async client sends: the loops around calls, in which nothing is decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar, cast

import grpc

from osa_grpc.client.backoff import Backoff
from osa_grpc.client.calls import Call, Listing
from osa_grpc.client.channel import Stubs
from osa_grpc.client.early_answer import EarlyAnswer
from osa_grpc.client.repeating import Repeating
from osa_grpc.client.resumption import Interruption, ResumableStream, Resumption
from osa_grpc.client.uploading import Progress, UploadPlan
from osa_grpc.wire import pb
from osa_grpc.wire.rpc_error import error_from_rpc

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ResultT = TypeVar("ResultT")


class AsyncSender:
    """Sends calls over a `grpc.aio` channel; grpc's errors become `OsaRpcError`."""

    def __init__(
        self,
        *,
        channel: grpc.aio.Channel,
        timeout_seconds: float | None,
        backoff: Backoff,
        patience_seconds: float,
    ) -> None:
        self.stubs = Stubs(cast("grpc.Channel", channel))
        self._timeout_seconds = timeout_seconds
        self._backoff = backoff
        self._patience_seconds = patience_seconds

    def resumption(self, on_interruption: Callable[[Interruption], None]) -> Resumption:
        """Return what decides how long a stream that was cut is resumed."""
        return Resumption(
            backoff=self._backoff, patience_seconds=self._patience_seconds, on_interruption=on_interruption
        )

    async def send(self, call: Call[RequestT, ResponseT, ResultT]) -> ResultT:
        """Send a call; again, if it can be repeated and the server was not there to answer."""
        rpc = cast("grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", call.rpc(self.stubs))
        repeating = Repeating(allowed=call.is_mutation, backoff=self._backoff)
        while True:
            try:
                return call.take(await rpc(call.request, timeout=self._timeout_seconds))
            except grpc.RpcError as failure:
                error = error_from_rpc(failure)
            await asyncio.sleep(repeating.seconds_after(error))

    async def list(self, listing: Listing[ResultT]) -> AsyncIterator[ResultT]:
        """Yield the items of all pages."""
        token = ""
        while True:
            items, token = await self.send(listing.page(token))
            for item in items:
                yield item
            if not token:
                return

    async def upload(
        self, look_at: Callable[[], UploadPlan], *, progress: Progress | None
    ) -> pb.DepositionFile:
        """Upload what the plan says; again, if the server was not there to answer and the source can be read again."""
        plan = await asyncio.to_thread(look_at)
        repeating = Repeating(allowed=plan.is_repeatable, backoff=self._backoff)
        while True:
            try:
                return await self._upload_once(plan, progress)
            except grpc.RpcError as failure:
                error = error_from_rpc(failure)
            await asyncio.sleep(repeating.seconds_after(error))

    async def _upload_once(self, plan: UploadPlan, progress: Progress | None) -> pb.DepositionFile:
        requests, sent = plan.requests(progress=None), 0
        upload = cast(
            "grpc.aio.StreamUnaryMultiCallable[pb.UploadFileRequest, pb.UploadFileResponse]",
            self.stubs.depositions.UploadFile,
        )
        call = upload()
        answer = EarlyAnswer(call)
        try:
            while (request := await asyncio.to_thread(next, requests, None)) is not None:
                try:
                    await call.write(request)
                except (grpc.RpcError, asyncio.InvalidStateError):
                    break  # the server has answered before the end: its status, below, says why
                sent += len(request.chunk)
                if progress is not None:
                    progress(sent, plan.size_bytes)
            await call.done_writing()
            file = (await answer.response()).file
        finally:
            call.cancel()
        requests.check(file)
        return file

    async def resume(
        self,
        stream: ResumableStream[ResponseT, ResultT],
        rpc: grpc.UnaryStreamMultiCallable[Any, ResponseT],
    ) -> AsyncGenerator[ResultT, None]:
        """Yield what a stream gives, over as many calls as it takes."""
        open_call = cast("grpc.aio.UnaryStreamMultiCallable[Any, ResponseT]", rpc)
        seconds: float | None = 0.0
        while seconds is not None:
            if seconds:
                await asyncio.sleep(seconds)
            call, error = open_call(stream.request()), None
            try:
                async for response in call:
                    for item in stream.take(response):
                        yield item
                    if stream.wants_new_call:
                        break
            except grpc.RpcError as failure:
                error = error_from_rpc(failure)
            finally:
                call.cancel()
            seconds = stream.ended() if error is None else stream.interrupted(error)
