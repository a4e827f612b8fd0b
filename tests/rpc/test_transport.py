"""What server and clients agreed on, seen on the wire: pings, message sizes, compression."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc._cython import cygrpc

from osa_grpc.server.call_limits import CallLimits
from osa_grpc.server.channel_options import server_channel_options
from osa_grpc.server.interceptors import server_interceptors
from osa_grpc.server.metrics import Metrics
from osa_grpc.wire.transport import CLIENT_CHANNEL_OPTIONS, MAX_MESSAGE_BYTES, RESPONSE_ENCODING_KEY
from tests.fixtures.documents import ROOT
from tests.fixtures.http2_proxy import Seen, counting_frames

Options = tuple[tuple[str, Any], ...]
PINGS = {
    "grpc.http2.min_ping_interval_without_data_ms",
    "grpc.keepalive_time_ms",
    "grpc.keepalive_timeout_ms",
}
GZIP = ((RESPONSE_ENCODING_KEY, "gzip"),)


async def _echo(request: bytes, context: Any) -> bytes:
    return request


async def _silent(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield b"begun"
    await asyncio.Event().wait()


HANDLERS = grpc.method_handlers_generic_handler(
    "t",
    {
        "echo": grpc.unary_unary_rpc_method_handler(_echo),
        "silent": grpc.unary_stream_rpc_method_handler(_silent),
    },
)


def hastened(options: Options, factor: int) -> Options:
    """The same with pings so many times more often, on both sides."""
    return tuple((name, value // factor if name in PINGS else value) for name, value in options)


@asynccontextmanager
async def serving(faster: int = 1) -> AsyncIterator[Seen]:
    """A server with the real options and interceptors, behind what counts frames."""
    limits = CallLimits(max_unary_calls=10, max_streams=10, max_uploads=1)
    server = grpc.aio.server(
        interceptors=server_interceptors(limits, Metrics()),
        options=hastened(server_channel_options(), faster),
    )
    server.add_generic_rpc_handlers((HANDLERS,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with counting_frames(f"127.0.0.1:{port}") as seen:
            yield seen
    finally:
        await server.stop(0)


def test_every_setting_of_both_sides_is_one_that_grpc_knows() -> None:
    """It ignores the others, without a word."""
    library = Path(cygrpc.__file__).read_bytes()
    names = [
        name
        for name, _ in (*server_channel_options(max_connection_age=timedelta(1)), *CLIENT_CHANNEL_OPTIONS)
    ]
    assert [name for name in names if name.encode() + b"\0" not in library] == []


async def test_a_client_with_our_settings_may_ping_through_a_silent_watch_for_as_long_as_it_lasts() -> None:
    async with (
        serving(faster=10) as seen,
        grpc.aio.insecure_channel(seen.address, options=hastened(CLIENT_CHANNEL_OPTIONS, 10)) as channel,
    ):
        call = channel.unary_stream("/t/silent")(b"")
        assert await call.read() == b"begun"
        async with seen.changed, asyncio.timeout(60):
            await seen.changed.wait_for(lambda: seen.pings >= 6)
        assert seen.goaways == []
        assert not call.done()
        call.cancel()


async def test_a_client_that_pings_more_often_is_told_so() -> None:
    options = (*hastened(CLIENT_CHANNEL_OPTIONS, 60), ("grpc.use_local_subchannel_pool", 1))
    async with (
        serving(faster=10) as seen,
        grpc.aio.insecure_channel(seen.address, options=options) as channel,
    ):
        call = channel.unary_stream("/t/silent")(b"")
        assert await call.read() == b"begun"
        async with seen.changed, asyncio.timeout(60):
            await seen.changed.wait_for(lambda: "too_many_pings" in seen.goaways)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


class Unreachable:
    """Answers every call UNAVAILABLE but the third of each method, as a server does that is about to come back."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def service(self, call_details: grpc.HandlerCallDetails) -> Any:
        async def answer(request: bytes, context: Any) -> bytes:
            self.calls[call_details.method] += 1
            if self.calls[call_details.method] < 3:
                await context.abort(grpc.StatusCode.UNAVAILABLE)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


async def test_with_the_published_service_config_any_client_sends_reads_again_and_nothing_else() -> None:
    config = (ROOT / "docs" / "service-config.json").read_text()
    unreachable = Unreachable()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((unreachable,))  # type: ignore[arg-type] # it is asked for `service` only
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = (("grpc.service_config", config),)
    read, change = (f"/opensciencearchive.v1.RunService/{name}" for name in ("GetRun", "CancelRun"))
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            assert await channel.unary_unary(read)(b"", timeout=30) == b""
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(change)(b"", timeout=30)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop(0)
    assert unreachable.calls == {read: 3, change: 1}


async def test_a_message_that_is_too_large_is_refused_and_its_connection_goes_on() -> None:
    async with serving() as seen:
        unbounded = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(seen.address, options=unbounded) as channel:
            echo = channel.unary_unary("/t/echo")
            largest = bytes(MAX_MESSAGE_BYTES)
            assert await echo(largest) == largest
            for compression in (None, grpc.Compression.Gzip):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await echo(largest + b"x", compression=compression)
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert await echo(b"x") == b"x"
            assert seen.goaways == []


async def test_a_client_that_has_no_setting_for_sizes_takes_the_largest_answer() -> None:
    async with serving() as seen, grpc.aio.insecure_channel(seen.address) as channel:
        largest = bytes(MAX_MESSAGE_BYTES)
        assert await channel.unary_unary("/t/echo")(largest) == largest


async def test_requests_may_come_compressed_and_answers_are_for_those_who_ask() -> None:
    text = b"the same again. " * 2**14
    async with (
        serving() as seen,
        grpc.aio.insecure_channel(seen.address, options=CLIENT_CHANNEL_OPTIONS) as channel,
    ):
        echo = channel.unary_unary("/t/echo")
        assert await echo(text, compression=grpc.Compression.Gzip) == text
        assert seen.sent_bytes < len(text) / 10
        assert seen.received_bytes > len(text)
        before = seen.received_bytes
        assert await echo(text, metadata=GZIP) == text
        assert seen.received_bytes - before < len(text) / 10
