"""The async client against servers that are cut, restarted and slow to answer."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from osa_grpc.client import Backoff, Client, Interruption, OsaRpcError, calls, delivery_calls, hook_calls
from osa_grpc.client.channel import Stubs
from osa_grpc.client.uploading import PIECE_BYTES
from osa_grpc.domain.errors import InvalidRequestError, UnavailableError, Violation
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.wire import pb
from osa_grpc.wire.status import status_of
from osa_grpc.wire.transport import MAX_MESSAGE_BYTES, STATUS_DETAILS_KEY

CONTENT = bytes(range(256)) * 10_000
FILE = pb.DepositionFile(
    name="depositions/1/files/a.cif",
    file_name="a.cif",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
EVENTS = 50


async def fail(context: grpc.aio.ServicerContext, error: Exception) -> None:
    status = status_of(error)  # type: ignore[arg-type]
    await context.abort(status.code, status.message, ((STATUS_DETAILS_KEY, status.details),))


class Runs(pb.RunServiceServicer):
    """A run with a history, whose watches end after so many events: `cuts`, one for each call."""

    def __init__(self, *cuts: int) -> None:
        self.cuts = list(cuts)
        self.requests: list[pb.WatchRunRequest] = []
        self.get_calls = 0
        self.unavailable_for = 0
        self.left = asyncio.Event()

    async def GetRun(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self.get_calls += 1
        if self.get_calls <= self.unavailable_for:
            await fail(context, UnavailableError("the database is away", reason="DATABASE_UNAVAILABLE"))
        return pb.GetRunResponse(run=pb.Run(name=request.name), resume_token="7")

    async def WatchRun(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self.requests.append(request)
        position = int(request.resume_token or 0)
        cut = self.cuts.pop(0) if self.cuts else EVENTS
        await context.write(pb.WatchRunResponse(resume_token=str(position)))
        for sequence in range(position + 1, min(EVENTS, position + cut) + 1):
            event = pb.RunEvent(sequence=sequence, run_started=pb.RunStarted())
            if sequence == EVENTS:
                event.run_finished.state = pb.RUN_STATE_COMPLETED
            await context.write(pb.WatchRunResponse(events=[event], resume_token=str(sequence)))
        if position + cut < EVENTS:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")

    async def ListRuns(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        raise NotImplementedError

    async def CancelRun(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        del request, context
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()

    async def ReadRunLog(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        raise NotImplementedError


class Depositions:
    """Uploads and downloads only."""

    def __init__(self) -> None:
        self.uploads: list[tuple[pb.UploadFileHeader, int]] = []
        self.refuse_after: int | None = None
        self.offsets: list[int] = []
        self.cut_after = len(CONTENT)

    async def upload(self, requests: Any, context: Any) -> Any:
        header, received, sha256 = None, 0, hashlib.sha256()
        async for request in requests:
            if request.WhichOneof("payload") == "header":
                header = request.header
                continue
            received += len(request.chunk)
            sha256.update(request.chunk)
            if self.refuse_after is not None and received > self.refuse_after:
                too_large = Violation(at=FieldPath("chunk"), message="the file is too large")
                await fail(context, InvalidRequestError([too_large], reason="FILE_TOO_LARGE"))
        self.uploads.append((header, received))
        return pb.UploadFileResponse(file=pb.DepositionFile(sha256=sha256.hexdigest()))

    async def download(self, request: Any, context: Any) -> Any:
        self.offsets.append(request.offset)
        await context.write(pb.DownloadFileResponse(file=FILE, offset=request.offset))
        until = min(len(CONTENT), request.offset + self.cut_after)
        for at in range(request.offset, until, 100_000):
            await context.write(
                pb.DownloadFileResponse(offset=at, data=CONTENT[at : min(at + 100_000, until)])
            )
        if until < len(CONTENT):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "cut")

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "opensciencearchive.v1.DepositionService",
            {
                "UploadFile": grpc.stream_unary_rpc_method_handler(
                    self.upload,
                    request_deserializer=pb.UploadFileRequest.FromString,
                    response_serializer=pb.UploadFileResponse.SerializeToString,
                ),
                "DownloadFile": grpc.unary_stream_rpc_method_handler(
                    self.download,
                    request_deserializer=pb.DownloadFileRequest.FromString,
                    response_serializer=pb.DownloadFileResponse.SerializeToString,
                ),
            },
        )


@asynccontextmanager
async def serving(
    runs: Runs | None = None, depositions: Depositions | None = None, *, port: int = 0
) -> AsyncIterator[tuple[grpc.aio.Server, int]]:
    server = grpc.aio.server(
        options=(("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES))
    )
    if runs is not None:
        pb.add_RunServiceServicer_to_server(runs, server)
    if depositions is not None:
        server.add_generic_rpc_handlers((depositions.handler(),))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield server, port
    finally:
        await server.stop(None)


def client_of(port: int) -> Client:
    return Client(f"127.0.0.1:{port}", backoff=Backoff(first_seconds=0.01))


async def test_a_watch_that_is_cut_again_and_again_yields_every_event_once() -> None:
    runs = Runs(3, 1, 0, 20)
    seen: list[Interruption] = []
    async with serving(runs) as (_, port), client_of(port) as client:
        received = [event.sequence async for event in client.watch_run("runs/1", on_interruption=seen.append)]
    assert received == list(range(1, EVENTS + 1))
    assert [request.resume_token for request in runs.requests] == ["", "3", "4", "4", "24"]
    assert len(seen) == 4


async def test_a_watch_outlives_a_server_that_is_restarted() -> None:
    received: list[int] = []
    waiting = asyncio.Event()

    class FiveAndNoMore(Runs):
        async def WatchRun(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            del request
            for sequence in range(1, 6):
                event = pb.RunEvent(sequence=sequence, run_started=pb.RunStarted())
                await context.write(pb.WatchRunResponse(events=[event], resume_token=str(sequence)))
            await asyncio.Event().wait()

    async def watch(client: Client) -> None:
        async for event in client.watch_run("runs/1"):
            received.append(event.sequence)
            if event.sequence == 5:
                waiting.set()

    again = Runs()
    async with serving(FiveAndNoMore()) as (server, port), client_of(port) as client:
        task = asyncio.create_task(watch(client))
        await waiting.wait()
        await server.stop(None)
        async with serving(again, port=port):
            await task
    assert received == list(range(1, EVENTS + 1))
    assert [request.resume_token for request in again.requests] == ["5"]


async def test_batches_carry_the_tokens_to_go_on_from() -> None:
    async with serving(Runs()) as (_, port), client_of(port) as client:
        async with aclosing(client.watch_run_batches("runs/1")) as batches:
            tokens = [batch.resume_token async for batch in batches]
        rest = [event.sequence async for event in client.watch_run("runs/1", resume_token=tokens[-3])]
    assert rest == [EVENTS - 1, EVENTS]


async def test_a_watch_that_is_left_frees_its_call() -> None:
    class Endless(Runs):
        async def WatchRun(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            del request
            try:
                event = pb.RunEvent(sequence=1, run_started=pb.RunStarted())
                await context.write(pb.WatchRunResponse(events=[event], resume_token="1"))
                await asyncio.Event().wait()
            finally:
                self.left.set()

    runs = Endless()
    async with serving(runs) as (_, port), client_of(port) as client:
        async with aclosing(client.watch_run("runs/1")) as events:
            async for _event in events:
                break
        await runs.left.wait()


async def test_the_channel_retries_reads_when_the_server_cannot_answer() -> None:
    runs = Runs()
    runs.unavailable_for = 2
    async with serving(runs) as (_, port), client_of(port) as client:
        run, token = await client.get_run_and_token("runs/1")
    assert (run.name, token, runs.get_calls) == ("runs/1", "7", 3)


async def test_an_error_says_what_the_server_said() -> None:
    runs = Runs()
    runs.unavailable_for = 100
    async with serving(runs) as (_, port), client_of(port) as client:
        with pytest.raises(OsaRpcError) as caught:
            await client.get_run("runs/1")
    assert (caught.value.code, caught.value.reason) == (
        grpc.StatusCode.UNAVAILABLE,
        "DATABASE_UNAVAILABLE",
    )


async def test_a_deadline_ends_a_call_on_both_sides() -> None:
    runs = Runs()
    async with serving(runs) as (_, port), client_of(port) as client:
        with pytest.raises(OsaRpcError) as caught:
            await client.with_timeout(0.2).cancel_run("runs/1")
        await runs.left.wait()
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_an_upload_arrives_whole_with_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    path.write_bytes(CONTENT)
    depositions = Depositions()
    async with serving(depositions=depositions) as (_, port), client_of(port) as client:
        await client.upload_file("depositions/1", path)
        await client.upload_file("depositions/1", io.BytesIO(CONTENT), file_name="b.cif")
        await client.upload_file("depositions/1", b"", file_name="empty.cif")
    headers = [header for header, _ in depositions.uploads]
    assert [received for _, received in depositions.uploads] == [len(CONTENT), len(CONTENT), 0]
    assert [header.file_name for header in headers] == ["a.cif", "b.cif", "empty.cif"]
    assert headers[0].sha256 == FILE.sha256


async def test_an_upload_that_is_refused_half_way_says_why(tmp_path: Path) -> None:
    path = tmp_path / "large.cif"
    with path.open("wb") as file:
        file.truncate(64 * PIECE_BYTES)
    depositions = Depositions()
    depositions.refuse_after = 2 * PIECE_BYTES
    sent: list[int] = []
    async with serving(depositions=depositions) as (_, port), client_of(port) as client:
        with pytest.raises(OsaRpcError) as caught:
            await client.upload_file("depositions/1", path, progress=lambda done, _: sent.append(done))
    assert caught.value.reason == "FILE_TOO_LARGE"
    assert sent[-1] < 64 * PIECE_BYTES


async def test_a_source_that_breaks_ends_the_upload_with_its_own_error() -> None:
    class Broken(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def read(self, size: int | None = -1, /) -> bytes:
            del size
            raise OSError("the disk is gone")

    async with serving(depositions=Depositions()) as (_, port), client_of(port) as client:
        with pytest.raises(OSError, match="the disk is gone"):
            await client.upload_file("depositions/1", Broken(), file_name="a.cif")


async def test_a_download_that_is_cut_goes_on_at_the_next_byte(tmp_path: Path) -> None:
    depositions = Depositions()
    depositions.cut_after = 1_000_000
    progress: list[int] = []
    async with serving(depositions=depositions) as (_, port), client_of(port) as client:
        await client.download_file(
            FILE.name, tmp_path / "a.cif", progress=lambda done, _: progress.append(done)
        )
    assert (tmp_path / "a.cif").read_bytes() == CONTENT
    assert depositions.offsets == [0, 1_000_000, 2_000_000]
    assert progress[-1] == len(CONTENT)


async def test_every_unary_call_of_the_contract_can_be_made() -> None:
    made: list[calls.Call[Any, Any, Any]] = [
        calls.get_server_info(),
        calls.register_convention("a", pb.Convention(), validate_only=True, request_id=None),
        calls.get_convention(""),
        calls.list_conventions(page_size=0).page(""),
        calls.create_deposition("", metadata={}, request_id=None),
        calls.update_deposition("", metadata={}, fields=None, etag="", request_id=None),
        calls.get_deposition(""),
        calls.list_depositions(filter="", order_by="", page_size=0).page(""),
        calls.delete_deposition("", etag="", request_id=None),
        calls.list_files("", page_size=0).page(""),
        calls.delete_file("", request_id=None),
        calls.submit_deposition("", etag="", request_id=None),
        calls.get_run(""),
        calls.list_runs(filter="", order_by="", page_size=0).page(""),
        calls.cancel_run("", request_id=None),
        calls.retry_run("", request_id=None),
        calls.review_run("", decision=pb.REVIEW_DECISION_UNSPECIFIED, reason="", request_id=None),
        calls.get_record(""),
        calls.list_records(filter="", order_by="", page_size=0).page(""),
        calls.get_feature_table(""),
        calls.list_feature_tables(page_size=0).page(""),
        calls.query_features("", filter="", order_by="", columns=(), page_size=0).page(""),
        hook_calls.get_hook(""),
        hook_calls.list_hooks(page_size=0).page(""),
        hook_calls.list_hook_uses("", page_size=0).page(""),
        delivery_calls.get_delivery(""),
        delivery_calls.list_deliveries(filter="", order_by="", page_size=0).page(""),
        delivery_calls.retry_delivery("", request_id=None),
        delivery_calls.discard_delivery("", request_id=None),
    ]
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        stubs = Stubs(channel)  # type: ignore[arg-type]
        paths = {call.rpc(stubs)._method.decode() for call in made}  # type: ignore[attr-defined]
    unary = {
        f"/{service.full_name}/{method.name}"
        for file in pb.FILES
        for service in file.services_by_name.values()
        for method in service.methods
        if not method.client_streaming and not method.server_streaming
    }
    assert paths == unary
    mutating = {type(call.request).__name__ for call in made if call.is_mutation}
    assert mutating == {type(call.request).__name__ for call in made if hasattr(call.request, "request_id")}
