"""Health and reflection, as strangers' tools ask for them."""

import importlib.resources
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import google.api
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_tools import protoc

from osa_grpc.server.call_limits import CallLimits
from osa_grpc.server.channel_options import server_channel_options
from osa_grpc.server.health import SERVICE as HEALTH
from osa_grpc.server.health import Health
from osa_grpc.server.interceptors import server_interceptors
from osa_grpc.server.metrics import Metrics
from osa_grpc.server.reflection import V1, V1ALPHA, add_reflection
from osa_grpc.wire import pb
from osa_grpc.wire.transport import CLIENT_CHANNEL_OPTIONS, CLIENT_KEEPALIVE, MIN_PING_INTERVAL, reads

RUNS = "opensciencearchive.v1.RunService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def health() -> Health:
    return Health(pb.SERVICES)


@asynccontextmanager
async def mounted(health: Health, versions: Sequence[str] = (V1ALPHA, V1)) -> AsyncIterator[grpc.aio.Channel]:
    full = CallLimits(max_unary_calls=0, max_streams=0, max_uploads=0)
    server = grpc.aio.server(
        interceptors=server_interceptors(full, Metrics()), options=server_channel_options()
    )
    await health.mount(server)
    add_reflection(server, [*pb.SERVICES, HEALTH], versions)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CLIENT_CHANNEL_OPTIONS) as opened:
            yield opened
    finally:
        await server.stop(0)


@pytest.fixture
async def channel(health: Health) -> AsyncIterator[grpc.aio.Channel]:
    async with mounted(health) as opened:
        yield opened


async def ask(
    channel: grpc.aio.Channel, version: str, **question: str
) -> reflection_pb2.ServerReflectionResponse:
    call = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )(iter([reflection_pb2.ServerReflectionRequest(**question)]))
    return await anext(aiter(call))


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_reflection_lists_every_service_in_both_versions(
    channel: grpc.aio.Channel, version: str
) -> None:
    listed = await ask(channel, version, list_services="")
    names = {service.name for service in listed.list_services_response.service}
    assert names == {*pb.SERVICES, V1, V1ALPHA, HEALTH}


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_reflection_describes_everything_it_lists_and_methods_too(
    channel: grpc.aio.Channel, version: str
) -> None:
    listed = await ask(channel, version, list_services="")
    symbols = [service.name for service in listed.list_services_response.service]
    for symbol in [
        *symbols,
        f"{RUNS}.WatchRun",
        f"{V1}.ServerReflectionInfo",
        "grpc.reflection.v1.ErrorResponse",
    ]:
        answer = await ask(channel, version, file_containing_symbol=symbol)
        assert answer.WhichOneof("message_response") == "file_descriptor_response", symbol
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(raw)
            again = await ask(channel, version, file_by_filename=file.name)
            assert again.WhichOneof("message_response") == "file_descriptor_response", file.name


async def files_of(channel: grpc.aio.Channel, symbol: str) -> list[FileDescriptorProto]:
    answer = await ask(channel, V1, file_containing_symbol=symbol)
    assert answer.WhichOneof("message_response") == "file_descriptor_response", symbol
    return [
        FileDescriptorProto.FromString(raw) for raw in answer.file_descriptor_response.file_descriptor_proto
    ]


async def pool_of(channel: grpc.aio.Channel, symbol: str) -> DescriptorPool:
    """What a client knows that asks for a symbol, and has no file of the contract."""
    told = {file.name: file for file in await files_of(channel, symbol)}
    pool = DescriptorPool()

    def add(name: str) -> None:
        if name in told:
            file = told.pop(name)
            for imported in file.dependency:
                add(imported)
            pool.Add(file)

    for name in list(told):
        add(name)
    return pool


async def test_reflection_finds_every_method_by_its_name(channel: grpc.aio.Channel) -> None:
    for file in pb.FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                [found, *_] = await files_of(channel, f"{service.full_name}.{method.name}")
                assert found.name == file.name, method.full_name


def compiled_contract(folder: Path) -> FileDescriptorSet:
    """What protoc makes of the contract."""
    imported = Path(next(iter(google.api.__path__))).parent.parent
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    arguments = ["-Iproto", f"-I{imported}", f"-I{well_known}", *map(str, Path("proto").rglob("*.proto"))]
    compiled = folder / "contract.binpb"
    assert protoc.main(["protoc", *arguments, f"--descriptor_set_out={compiled}"]) == 0
    return FileDescriptorSet.FromString(compiled.read_bytes())


def json_names(file: FileDescriptorProto) -> dict[str, str]:
    return {
        f"{message.name}.{field.name}": field.json_name
        for message in file.message_type
        for field in message.field
    }


async def test_reflection_gives_the_json_names_that_protoc_gives(
    channel: grpc.aio.Channel, tmp_path: Path
) -> None:
    for file in compiled_contract(tmp_path).file:
        [told, *_] = await files_of(channel, f"{file.package}.{file.message_type[0].name}")
        assert json_names(told) == json_names(file)


async def test_reflection_tells_the_comments_of_the_contract(channel: grpc.aio.Channel) -> None:
    for version in (V1, V1ALPHA):
        answer = await ask(channel, version, file_containing_symbol=f"{RUNS}.WatchRun")
        [file, *_] = map(
            FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto
        )
        said = [place.leading_comments for place in file.source_code_info.location]
        assert " Asks to watch a run.\n" in said


async def test_what_the_contract_says_of_fields_and_resources_is_understood_by_reflection_alone(
    channel: grpc.aio.Channel,
) -> None:
    pool = await pool_of(channel, RUNS)
    options = GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FieldOptions"))
    name = pool.FindMessageTypeByName("opensciencearchive.v1.GetRunRequest").fields_by_name["name"]
    said = options.FromString(name.GetOptions().SerializeToString())
    assert list(said.Extensions[pool.FindExtensionByName("google.api.field_behavior")]) == [2]  # REQUIRED
    reference = said.Extensions[pool.FindExtensionByName("google.api.resource_reference")]
    assert reference.type == "opensciencearchive.org/Run"


async def test_what_error_details_are_made_of_is_found_by_reflection(channel: grpc.aio.Channel) -> None:
    for symbol in (
        "opensciencearchive.v1.FeatureTableConflict",
        "opensciencearchive.v1.ConventionConflict",
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.Status",
    ):
        await files_of(channel, symbol)


@pytest.mark.parametrize(("version", "other"), [(V1, V1ALPHA), (V1ALPHA, V1)])
async def test_a_server_can_reflect_in_one_version_only(health: Health, version: str, other: str) -> None:
    async with mounted(health, [version]) as channel:
        listed = await ask(channel, version, list_services="")
        names = {service.name for service in listed.list_services_response.service}
        assert names == {*pb.SERVICES, version, HEALTH}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, other, list_services="")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("symbol", ["nobody.knows.This", f"{RUNS}.Nope", "opensciencearchive.v1.Run.nope"])
async def test_reflection_does_not_know_what_is_not_there(channel: grpc.aio.Channel, symbol: str) -> None:
    answer = await ask(channel, V1, file_containing_symbol=symbol)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def status(channel: grpc.aio.Channel, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def test_health_is_told_per_service_and_overall_even_by_a_full_server(
    channel: grpc.aio.Channel, health: Health
) -> None:
    assert [await status(channel), await status(channel, RUNS)] == [NOT_SERVING, NOT_SERVING]
    await health.serving()
    assert {await status(channel, service) for service in ("", *pb.SERVICES)} == {SERVING}
    await health.not_serving(RUNS)
    assert [await status(channel), await status(channel, RUNS)] == [SERVING, NOT_SERVING]
    await health.drain()
    await health.serving()
    assert [await status(channel), await status(channel, RUNS)] == [NOT_SERVING, NOT_SERVING]


async def test_the_health_of_all_services_is_listed_at_once(
    channel: grpc.aio.Channel, health: Health
) -> None:
    await health.serving()
    await health.not_serving(RUNS)
    listed = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    assert {service: answer.status for service, answer in listed.statuses.items()} == {
        service: NOT_SERVING if service == RUNS else SERVING for service in ("", *pb.SERVICES)
    }


async def test_a_health_watcher_is_told_of_changes(channel: grpc.aio.Channel, health: Health) -> None:
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=RUNS))
    assert (await watch.read()).status == NOT_SERVING
    await health.serving(RUNS)
    assert (await watch.read()).status == SERVING
    watch.cancel()


async def test_the_health_of_a_service_nobody_has_is_not_found(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await status(channel, "nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_clients_pings_are_within_what_the_server_allows() -> None:
    assert CLIENT_KEEPALIVE > MIN_PING_INTERVAL


def test_only_reads_are_tried_again() -> None:
    assert (RUNS, "GetRun") in reads()
    assert (RUNS, "CancelRun") not in reads()
