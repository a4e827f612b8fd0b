"""Reflection, as v1alpha and as v1: grpcio-reflection ships v1alpha only, and v1 has the same messages under another name.

What Python's descriptors leave out is filled in: the fields' JSON names. Without them tools show `create_time` where they would
show `createTime` if they had read the .proto files.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import _async, reflection_pb2, reflection_pb2_grpc

from osa_grpc.wire import pb

V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"
V1: Final = "grpc.reflection.v1.ServerReflection"
_METHOD: Final = "ServerReflectionInfo"


class Reflection(_async.ReflectionServicer):  # type: ignore[misc] # untyped upstream
    """Answers what services there are. Finds methods by name (`ghz` asks so), which the base does not."""

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:  # noqa: ANN401 - untyped upstream
        response = super()._file_containing_symbol(request, fully_qualified_name)
        if response.HasField("error_response"):
            return super()._file_containing_symbol(request, fully_qualified_name.rpartition(".")[0])
        return response


def add_reflection(
    server: grpc.aio.Server, services: Sequence[str], versions: Sequence[str] = (V1ALPHA, V1)
) -> None:
    """Mount reflection; it tells of `services`, of itself, and of all that error details are made of.

    Both versions, unless told otherwise: most servers have one of them only, and tools must find their way with either.
    """
    told = [*services, *versions]
    servicer = Reflection(told, pool=_pool_of(_files_of(services)))
    if V1ALPHA in versions:
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    if V1 in versions:
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {_METHOD: handler}),))


def _files_of(services: Sequence[str]) -> Iterable[FileDescriptor]:
    known = descriptor_pool.Default()
    yield from (known.FindFileContainingSymbol(service) for service in services)
    yield from (*pb.FILES, error_details_pb2.DESCRIPTOR, status_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)


def _pool_of(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """Return a pool with the files, all they import, and v1 of reflection."""
    pool = DescriptorPool()
    added = set[str]()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for imported in file.dependencies:
            add(imported)
        pool.Add(_with_json_names(_proto_of(file)))

    for file in files:
        add(file)
    pool.Add(_with_json_names(_v1_of(_proto_of(reflection_pb2.DESCRIPTOR))))
    return pool


def _proto_of(file: FileDescriptor) -> FileDescriptorProto:
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    return proto


def _with_json_names(file: FileDescriptorProto) -> FileDescriptorProto:
    """Fill in the names that protoc gives to whoever asks protoc."""

    def fill(messages: Iterable[DescriptorProto]) -> None:
        for message in messages:
            for field in message.field:
                field.json_name = field.json_name or _json_name(field.name)
            fill(message.nested_type)

    fill(file.message_type)
    return file


def _json_name(name: str) -> str:
    return re.sub("_+(.?)", lambda match: match[1].upper(), name)


def _v1_of(file: FileDescriptorProto) -> FileDescriptorProto:
    """Return v1's file: v1alpha's under its other name."""
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = "grpc.reflection.v1"
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
        method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    return file
