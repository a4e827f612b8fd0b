"""Whatever is asked wrongly is answered with a status, a reason, and the field; and the server goes on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from osa_grpc.server.app import Started
from osa_grpc.server.health_watch import CONTAINER_ENGINE
from osa_grpc.wire import pb
from osa_grpc.wire.resource_names import PARENT
from tests.fixtures.archive import Archive, column, refusal, rows, until

NOBODY = "00000000-0000-4000-8000-000000000000"
METHODS = [
    (service.full_name, method)
    for file in pb.FILES
    for service in file.services_by_name.values()
    for method in service.methods
]


@pytest.fixture
async def channel(server: Started) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.address) as opened:
        yield opened


def call(channel: grpc.aio.Channel, service: str, method: Any, request: bytes, **parts: Any) -> Any:
    """Call any method with ready-made bytes, of whatever arity it is; await the answer, or the first of them."""
    path = f"/{service}/{method.name}"
    answer = [lambda _: _, lambda data: data]
    if method.client_streaming:

        async def requests() -> AsyncIterator[bytes]:
            yield request

        return channel.stream_unary(path, *answer)(requests(), **parts)
    if method.server_streaming:
        return channel.unary_stream(path, *answer)(request, **parts).read()
    return channel.unary_unary(path, *answer)(request, **parts)


@pytest.mark.parametrize("request_bytes", [b"\xff\xff\xff", b"\x0a\x03\xff\xfe\xfd"])
async def test_bytes_that_do_not_decode_are_refused_by_every_method(
    channel: grpc.aio.Channel, request_bytes: bytes
) -> None:
    for service, method in METHODS:
        first = method.input_type.fields_by_number.get(1)
        if request_bytes.startswith(b"\x0a") and (first is None or first.type != first.TYPE_STRING):
            continue
        error = await refusal(call(channel, service, method, request_bytes))
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT, (method.name, error)
        assert error.reason, method.name
        assert "Traceback" not in error.message
        assert "Error" not in error.message


async def test_an_empty_request_is_answered_or_refused_with_a_reason_by_every_method(
    channel: grpc.aio.Channel,
) -> None:
    for service, method in METHODS:
        try:
            await call(channel, service, method, b"")
        except grpc.aio.AioRpcError:
            error = await refusal(call(channel, service, method, b""))
            assert error.code is grpc.StatusCode.INVALID_ARGUMENT, (method.name, error)
            assert error.violations, method.name
            assert all(violation.field for violation in error.violations), method.name


@pytest.mark.parametrize(
    ("method", "field", "name"),
    [
        ("ConventionService/GetConvention", "name", "conventions/none@1.0.0"),
        ("ConventionService/WatchConvention", "name", "conventions/none@1.0.0"),
        ("DepositionService/GetDeposition", "name", f"depositions/{NOBODY}"),
        ("DepositionService/DownloadFile", "name", f"depositions/{NOBODY}/files/a.cif"),
        ("DepositionService/ListFiles", str(PARENT), f"depositions/{NOBODY}"),
        ("RunService/GetRun", "name", f"runs/{NOBODY}"),
        ("RunService/CancelRun", "name", f"runs/{NOBODY}"),
        ("RunService/RetryRun", "name", f"runs/{NOBODY}"),
        ("RunService/WatchRun", "name", f"runs/{NOBODY}"),
        ("RunService/ReadRunLog", "name", f"runs/{NOBODY}/executions/check"),
        ("RecordService/GetRecord", "name", f"records/{NOBODY}@1"),
        ("FeatureService/GetFeatureTable", "name", "featureTables/none"),
        ("FeatureService/QueryFeatures", "feature_table", "featureTables/none"),
        ("HookService/GetHook", "name", "hooks/none"),
        ("HookService/ListHookUses", str(PARENT), "hooks/none"),
        ("AdminService/GetDelivery", "name", "deliveries/9223372036854775807"),
        ("AdminService/RetryDelivery", "name", "deliveries/9223372036854775807"),
        ("AdminService/DiscardDelivery", "name", "deliveries/9223372036854775807"),
    ],
)
@pytest.mark.parametrize("is_well_formed", [True, False])
async def test_a_resource_that_is_not_there_is_not_found_and_a_name_that_is_none_is_refused(
    channel: grpc.aio.Channel,
    method: str,
    field: str,
    name: str,
    is_well_formed: bool,  # noqa: FBT001 - a parameter
) -> None:
    service, name_of_method = method.split("/")
    service = f"opensciencearchive.v1.{service}"
    [found] = [m for s, m in METHODS if (s, m.name) == (service, name_of_method)]
    message = getattr(pb, found.input_type.name)(**{field: name if is_well_formed else "runs/../x"})
    error = await refusal(call(channel, service, found, message.SerializeToString()))
    if is_well_formed:
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
        assert error.metadata["name"]
    else:
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in error.violations] == [field]


def of_what(request: Any, draft: str) -> None:
    """Fill in what is listed."""
    if isinstance(request, pb.ListFilesRequest):
        request.parent = draft
    if isinstance(request, pb.ListHookUsesRequest):
        request.parent = "hooks/check"
    if isinstance(request, pb.QueryFeaturesRequest):
        request.feature_table = "featureTables/check"


LISTS = [(service, method) for service, method in METHODS if "page_token" in method.input_type.fields_by_name]


async def test_a_page_token_of_something_else_is_refused_by_every_list(
    channel: grpc.aio.Channel, archive: Archive
) -> None:
    convention = await archive.convention()
    for _ in range(2):
        await archive.client.create_deposition(convention)
    draft = await archive.draft(convention, scripts={"check": rows('{"score": 1}', '{"score": 2}')})
    run = await archive.end_of((await archive.client.submit_deposition(draft)).name)
    assert run.state == pb.RUN_STATE_COMPLETED
    first = await archive.client._sender.stubs.depositions.ListDepositions(  # type: ignore[misc]
        pb.ListDepositionsRequest(page_size=1)
    )
    assert first.next_page_token
    for service, method in LISTS:
        for token in ("nonsense", first.next_page_token):
            if method.name == "ListDepositions" and token == first.next_page_token:
                continue
            request = getattr(pb, method.input_type.name)(page_token=token)
            of_what(request, draft)
            error = await refusal(call(channel, service, method, request.SerializeToString()))
            assert error.code is grpc.StatusCode.INVALID_ARGUMENT, method.name
            assert [violation.field for violation in error.violations] == ["page_token"], method.name


async def test_a_page_size_below_zero_is_refused_by_every_list(
    channel: grpc.aio.Channel, archive: Archive
) -> None:
    draft = await archive.draft(await archive.convention())
    for service, method in LISTS:
        request = getattr(pb, method.input_type.name)(page_size=-1)
        of_what(request, draft)
        error = await refusal(call(channel, service, method, request.SerializeToString()))
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT, method.name
        assert [violation.field for violation in error.violations] == ["page_size"], method.name


async def test_a_deadline_that_passes_ends_the_call_and_what_it_held(
    archive: Archive, channel: grpc.aio.Channel, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    draft = await archive.draft(await archive.convention(), scripts={"check": ""})
    async with connection.transaction():
        await connection.execute("SELECT FROM osa.deposition FOR UPDATE")
        stub = pb.DepositionServiceStub(channel)  # type: ignore[arg-type]
        request = pb.SubmitDepositionRequest(name=draft)
        error = await refusal(stub.SubmitDeposition(request, timeout=0.3))  # type: ignore[arg-type]
        assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED

        async def nobody_waits() -> bool:
            return not await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )

        await until(nobody_waits)
    assert [run async for run in archive.client.list_runs()] == []
    await archive.end_of((await archive.client.submit_deposition(draft)).name)


@pytest.mark.parametrize(
    ("query", "field", "says"),
    [
        ({"filter": "score >"}, "filter", ""),
        ({"filter": "colour = 1"}, "filter", "colour"),
        ({"filter": 'score >= "abc"'}, "filter", "score"),
        ({"filter": "(" * 500 + "score = 1" + ")" * 500}, "filter", ""),
        ({"order_by": "colour"}, "order_by", "colour"),
        ({"columns": ["score", "colour"]}, "columns[1]", "colour"),
    ],
)
async def test_a_query_that_is_wrong_says_where(
    archive: Archive, query: dict[str, Any], field: str, says: str
) -> None:
    await archive.convention(archive.hook("check", column("score")))
    error = await refusal(anext(archive.client.query("featureTables/check", **query)))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    [violation] = error.violations
    assert violation.field == field
    assert says in violation.description


async def test_a_date_filters_timestamps(archive: Archive) -> None:
    await archive.finish(await archive.convention(), check=rows('{"score": 1}'))
    query = archive.client.query
    assert len([row async for row in query("featureTables/check", filter='created_at >= "2026-01-01"')]) == 1
    assert len([row async for row in query("featureTables/check", filter='created_at < "2026-01-01"')]) == 0


async def test_health_is_told_for_every_service(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", CONTAINER_ENGINE, *pb.SERVICES):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service


async def test_a_real_grpcurl_lists_describes_and_calls(server: Started) -> None:
    async def grpcurl(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            ".venv/bin/grpcurl", "-plaintext", *arguments, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode()

    assert set(pb.SERVICES) < set((await grpcurl(server.address, "list")).split())
    assert "WatchRun" in await grpcurl(server.address, "describe", "opensciencearchive.v1.RunService")
    info = await grpcurl(server.address, "opensciencearchive.v1.ServerService/GetServerInfo")
    assert '"reachable": true' in info


async def test_pages_of_large_depositions_never_exceed_a_message(archive: Archive) -> None:
    convention = await archive.convention(metadata=[column("text", pb.JSON_TYPE_STRING)])
    metadata = {"text": "x" * 1_000_000}
    drafts = [await archive.client.create_deposition(convention, metadata=metadata) for _ in range(6)]
    listed = [draft.name async for draft in archive.client.list_depositions(page_size=1000)]
    assert listed == [draft.name for draft in reversed(drafts)]
