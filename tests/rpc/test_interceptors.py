# ruff: noqa: ARG002 - servicers take what gRPC gives
"""What every call is put inside, seen from a real client over a real socket."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from structlog.testing import CapturingLogger

from osa_grpc.domain.errors import InvalidRequestError, NotFoundError, ResourceExhaustedError, Violation
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.server import access_log, answering_errors
from osa_grpc.server.call_limits import CallLimits
from osa_grpc.server.channel_options import server_channel_options
from osa_grpc.server.interceptors import server_interceptors
from osa_grpc.server.metrics import Metrics
from osa_grpc.wire import pb
from osa_grpc.wire.rpc_error import OsaRpcError, error_from_rpc
from osa_grpc.wire.transport import CLIENT_CHANNEL_OPTIONS
from tests.fixtures.archive import until

SERVICE = "test.Errors"
Context = "grpc.aio.ServicerContext[Any, Any]"
Requests = AsyncIterator[pb.GetRunRequest]
Responses = AsyncIterator[pb.GetRunResponse]


class Refusing:
    """A servicer that raises what it is told to, in every arity and style."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.closed = asyncio.Event()
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.release = asyncio.Event()

    async def _answer(self) -> pb.GetRunResponse:
        if self.error is not None:
            raise self.error
        return pb.GetRunResponse(resume_token="fine")

    async def unary(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        return await self._answer()

    async def generates(self, request: pb.GetRunRequest, context: Context) -> Responses:
        try:
            yield pb.GetRunResponse(resume_token="first")
            yield await self._answer()
        finally:
            self.closed.set()

    async def writes(self, request: pb.GetRunRequest, context: Context) -> None:
        await context.write(pb.GetRunResponse(resume_token="first"))
        await context.write(pb.GetRunResponse(resume_token="ready-made").SerializeToString())
        await context.write(await self._answer())

    async def collects(self, requests: Requests, context: Context) -> pb.GetRunResponse:
        async for _ in requests:
            pass
        return await self._answer()

    async def reads(self, requests: Requests, context: Context) -> pb.GetRunResponse:
        while await context.read() is not grpc.aio.EOF:
            pass
        return await self._answer()

    async def echoes(self, requests: Requests, context: Context) -> Responses:
        async for request in requests:
            yield pb.GetRunResponse(resume_token=request.name)
        yield await self._answer()

    async def waits(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return pb.GetRunResponse()

    async def answers_late(self, request: pb.GetRunRequest, context: Context) -> None:
        """Answer a client that has gone."""
        try:
            await self.waits(request, context)
        finally:
            await context.abort(grpc.StatusCode.NOT_FOUND)

    async def waits_in_stream(self, request: pb.GetRunRequest, context: Context) -> Responses:
        yield pb.GetRunResponse()
        await self.waits(request, context)

    async def aborts(self, request: pb.GetRunRequest, context: Context) -> None:
        await context.abort(grpc.StatusCode.DATA_LOSS, "on purpose")

    async def aborts_with_trailers(self, request: pb.GetRunRequest, context: Context) -> None:
        context.set_trailing_metadata((("extra", "kept"),))
        await self._answer()


def _handler(servicer: Refusing) -> grpc.GenericRpcHandler:
    codec = (pb.GetRunRequest.FromString, pb.GetRunResponse.SerializeToString)
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "unary": grpc.unary_unary_rpc_method_handler(servicer.unary, *codec),
            "generates": grpc.unary_stream_rpc_method_handler(servicer.generates, *codec),
            "writes": grpc.unary_stream_rpc_method_handler(servicer.writes, *codec),
            "collects": grpc.stream_unary_rpc_method_handler(servicer.collects, *codec),
            "reads": grpc.stream_unary_rpc_method_handler(servicer.reads, *codec),
            "echoes": grpc.stream_stream_rpc_method_handler(servicer.echoes, *codec),
            "waits": grpc.unary_unary_rpc_method_handler(servicer.waits, *codec),
            "answers_late": grpc.unary_unary_rpc_method_handler(servicer.answers_late, *codec),
            "waits_in_stream": grpc.unary_stream_rpc_method_handler(servicer.waits_in_stream, *codec),
            "aborts": grpc.unary_unary_rpc_method_handler(servicer.aborts, *codec),
            "aborts_with_trailers": grpc.unary_unary_rpc_method_handler(
                servicer.aborts_with_trailers, *codec
            ),
        },
    )


class Server:
    """A server with the throw-away servicer, and a client's channel to it."""

    def __init__(self, servicer: Refusing, limits: CallLimits, channel: grpc.aio.Channel) -> None:
        self.servicer = servicer
        self.limits = limits
        self.channel = channel

    async def call(
        self,
        method: str,
        request: bytes | pb.GetRunRequest = b"",
        within: float | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> list[str]:
        """Call a method of any arity; return the texts it answers."""
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        path = f"/{SERVICE}/{method}"
        decode = pb.GetRunResponse.FromString
        if method in {"collects", "reads"}:
            answer = await self.channel.stream_unary(path, None, decode)(_stream(raw), timeout=within)
            return [answer.resume_token]
        if method in {"generates", "writes", "waits_in_stream"}:
            stream = self.channel.unary_stream(path, None, decode)(raw, timeout=within)
            return [answer.resume_token async for answer in stream]
        if method == "echoes":
            both = self.channel.stream_stream(path, None, decode)(_stream(raw), timeout=within)
            return [answer.resume_token async for answer in both]
        unary = self.channel.unary_unary(path, None, decode)
        answer = await unary(raw, timeout=within, metadata=tuple(metadata))
        return [answer.resume_token]

    async def error(
        self, method: str, request: bytes | pb.GetRunRequest = b"", within: float | None = None
    ) -> OsaRpcError:
        """Call a method that fails."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request, within)
        return error_from_rpc(caught.value)


async def _stream(*requests: bytes) -> AsyncIterator[bytes]:
    for request in requests:
        yield request


@asynccontextmanager
async def _serving(
    *, max_unary_calls: int = 100, max_streams: int = 100, **parts: Any
) -> AsyncIterator[Server]:
    limits = CallLimits(max_unary_calls=max_unary_calls, max_streams=max_streams, max_uploads=1)
    server = grpc.aio.server(
        interceptors=server_interceptors(limits, Metrics(), **parts), options=server_channel_options()
    )
    servicer = Refusing()
    server.add_generic_rpc_handlers((_handler(servicer),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CLIENT_CHANNEL_OPTIONS) as channel:
            yield Server(servicer, limits, channel)
    finally:
        await server.stop(0)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with _serving() as serving:
        yield serving


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What is logged, as (level, event, fields)."""
    logger = CapturingLogger()
    bound = structlog.wrap_logger(
        logger,
        processors=[structlog.contextvars.merge_contextvars, _as_fields],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    monkeypatch.setattr(access_log, "_log", bound)
    monkeypatch.setattr(answering_errors, "_log", bound)
    return logger


def _as_fields(_logger: object, _name: str, fields: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
    return (), fields


def _lines(logger: CapturingLogger, event: str) -> list[dict[str, Any]]:
    return [call.kwargs for call in logger.calls if call.kwargs["event"] == event]


ARITIES = ["unary", "generates", "writes", "collects", "reads", "echoes"]


@pytest.mark.parametrize("method", ARITIES)
async def test_a_call_that_succeeds_answers_in_every_arity_and_style(server: Server, method: str) -> None:
    assert (await server.call(method))[-1] == "fine"


async def test_ready_made_bytes_are_sent_as_they_are(server: Server) -> None:
    assert await server.call("writes") == ["first", "ready-made", "fine"]


@pytest.mark.parametrize("method", ARITIES)
async def test_a_domain_error_becomes_its_status_in_every_arity_and_style(
    server: Server, method: str
) -> None:
    server.servicer.error = NotFoundError(resource_type="opensciencearchive.org/Run", name="runs/x")
    error = await server.error(method)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert error.metadata == {"name": "runs/x"}


@pytest.mark.parametrize("method", ARITIES)
async def test_an_unexpected_error_is_internal_with_an_incident_that_the_log_has_and_no_text(
    server: Server, log_lines: CapturingLogger, method: str
) -> None:
    server.servicer.error = RuntimeError("the password is swordfish")
    error = await server.error(method)
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "swordfish" not in str(error)
    (line,) = _lines(log_lines, "rpc failed unexpectedly")
    assert line["incident"] == error.incident
    assert "swordfish" in str(line["exc_info"])


@pytest.mark.parametrize("method", ["unary", "generates", "writes", "collects", "reads", "echoes"])
async def test_bytes_that_do_not_decode_are_an_invalid_argument(server: Server, method: str) -> None:
    error = await server.error(method, b"\xff\xff\xff")
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert [violation.field for violation in error.violations] == [""]  # what is no message has no fields


@pytest.mark.parametrize("method", ["unary", "generates", "writes"])
async def test_a_call_that_brings_no_message_is_answered_and_not_left_waiting(
    server: Server, method: str
) -> None:
    call = server.channel.stream_stream(f"/{SERVICE}/{method}")(timeout=10)
    await call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    error = error_from_rpc(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert error.message == "expected a message of this method, found none"
    assert await server.call("unary") == ["fine"]


async def test_a_status_that_a_handler_sets_itself_stays(server: Server) -> None:
    error = await server.error("aborts")
    assert (error.code, error.message, error.reason) == (grpc.StatusCode.DATA_LOSS, "on purpose", "")


async def test_trailers_set_before_an_error_are_kept(server: Server) -> None:
    server.servicer.error = NotFoundError(resource_type="t", name="n")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.call("aborts_with_trailers")
    assert ("extra", "kept") in tuple(caught.value.trailing_metadata())
    assert error_from_rpc(caught.value).reason == "RESOURCE_NOT_FOUND"


async def test_an_unknown_method_is_unimplemented(server: Server) -> None:
    error = await server.error("nothing")
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "")


async def test_every_violation_reaches_the_client_with_its_path(server: Server) -> None:
    server.servicer.error = InvalidRequestError(
        [
            Violation(at=FieldPath("a.b[1]"), message="ä is wrong", reason="BAD"),
            Violation(at=FieldPath("c"), message="y"),
        ]
    )
    error = await server.error("unary")
    assert [(v.field, v.description, v.reason) for v in error.violations] == [
        ("a.b[1]", "ä is wrong", "BAD"),
        ("c", "y", "INVALID_VALUE"),
    ]


async def test_a_generator_is_closed_when_its_client_goes(server: Server) -> None:
    call = server.channel.unary_stream(f"/{SERVICE}/waits_in_stream")(b"")
    await call.read()
    await asyncio.wait_for(server.servicer.entered.wait(), 10)
    call.cancel()
    await asyncio.wait_for(server.servicer.cancelled.wait(), 10)


async def test_an_answer_to_a_client_that_has_gone_is_no_incident(
    server: Server, log_lines: CapturingLogger
) -> None:
    call = server.channel.unary_unary(f"/{SERVICE}/answers_late")(b"")
    await asyncio.wait_for(server.servicer.entered.wait(), 10)
    call.cancel()
    await until(lambda: _lines(log_lines, "rpc"))
    (line,) = _lines(log_lines, "rpc")
    assert line["code"] == "CANCELLED"
    assert _lines(log_lines, "rpc failed unexpectedly") == []


async def test_a_deadline_that_passes_cancels_the_handler_and_is_logged(
    server: Server, log_lines: CapturingLogger
) -> None:
    error = await server.error("waits", within=0.2)
    assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(server.servicer.cancelled.wait(), 10)
    assert [line["code"] for line in _lines(log_lines, "rpc")] == ["DEADLINE_EXCEEDED"]


async def test_a_call_that_brings_no_deadline_gets_one_and_a_stream_does_not() -> None:
    short = timedelta(milliseconds=300)
    async with _serving(default_deadline=short) as server:
        error = await server.error("waits")
        assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert error.metadata == {"seconds": "0.3"}
        assert server.servicer.cancelled.is_set()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * short.total_seconds()):
                await server.call("waits_in_stream")


async def test_a_call_that_brings_a_deadline_has_its_own() -> None:
    async with _serving(default_deadline=timedelta(milliseconds=50)) as server:
        call = asyncio.create_task(server.call("waits", within=60))
        await asyncio.wait({call}, timeout=0.3)
        assert not call.done()
        server.servicer.release.set()
        assert await call == [""]


FROM_LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]


@pytest.mark.parametrize(
    ("trusted", "said", "client"),
    [
        (FROM_LOOPBACK, ["203.0.113.7"], "203.0.113.7"),
        (FROM_LOOPBACK, ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (FROM_LOOPBACK, ["198.51.100.1", "2001:db8::1"], "2001:db8::1"),
        (FROM_LOOPBACK, ["203.0.113.7, 127.0.0.2"], "203.0.113.7"),
        (FROM_LOOPBACK, ["127.0.0.3"], "127.0.0.3"),
        (FROM_LOOPBACK, ["203.0.113.7, nonsense"], None),
        (FROM_LOOPBACK, [], None),
        ([], ["203.0.113.7"], None),
        ([ipaddress.ip_network("10.0.0.0/8")], ["203.0.113.7"], None),
    ],
)
async def test_what_is_said_of_a_client_counts_from_trusted_proxies_only(
    log_lines: CapturingLogger, trusted: list[Any], said: list[str], client: str | None
) -> None:
    async with _serving(trusted_proxies=trusted) as server:
        await server.call("unary", metadata=[("x-forwarded-for", one) for one in said])
        [line] = await until(lambda: _lines(log_lines, "rpc"))
    assert line.get("client") == client
    assert line["peer"].startswith("ipv4:127.0.0.1")


async def test_a_call_is_logged_with_its_status_peer_agent_and_ids(
    server: Server, log_lines: CapturingLogger
) -> None:
    await server.call("unary")
    server.servicer.error = ResourceExhaustedError("the disk is full", reason="DISK_FULL")
    await server.error("generates")
    await until(lambda: len(_lines(log_lines, "rpc")) == 2)  # the answer may be here before its line
    fine, full = _lines(log_lines, "rpc")
    assert fine["method"] == f"/{SERVICE}/unary"
    assert (fine["code"], full["code"]) == ("OK", "RESOURCE_EXHAUSTED")
    assert fine["peer"].startswith("ipv4:127.0.0.1")
    assert "grpc-python-asyncio" in fine["user_agent"]
    assert fine["rpc_id"] != full["rpc_id"]
    assert fine["duration_ms"] >= 0


async def test_a_call_beyond_the_limit_is_refused_at_once_and_may_come_again() -> None:
    async with _serving(max_unary_calls=1, max_streams=1) as server:
        held = asyncio.create_task(server.call("waits"))
        await asyncio.wait_for(server.servicer.entered.wait(), 10)
        error = await server.error("unary")
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
        assert error.retry_delay == timedelta(seconds=1)
        assert (await server.call("generates"))[-1] == "fine", "streams have places of their own"
        server.servicer.release.set()
        await held
        assert await server.call("unary") == ["fine"]
        assert (server.limits.unary_calls, server.limits.streams) == (0, 0)


async def test_a_stream_beyond_the_limit_is_refused_and_a_cancelled_one_gives_its_place_back() -> None:
    async with _serving(max_unary_calls=1, max_streams=1) as server:
        watch = server.channel.unary_stream(f"/{SERVICE}/waits_in_stream")(b"")
        await watch.read()
        error = await server.error("generates")
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        await asyncio.wait_for(server.servicer.entered.wait(), 10)
        watch.cancel()
        await asyncio.wait_for(server.servicer.cancelled.wait(), 10)
        assert (await server.call("generates"))[-1] == "fine"
