"""Reflection, as v1alpha and as v1: grpcio-reflection ships v1alpha only, and v1 has the same messages under another name.

It tells what Python's descriptors leave out: the contract's comments, which `grpcurl describe` shows, and the fields' JSON names,
without which tools show `create_time` where they would show `createTime` if they had read the .proto files.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import _async, reflection_pb2, reflection_pb2_grpc

from osa_grpc.wire.contract_files import descriptor_set

V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"
V1: Final = "grpc.reflection.v1.ServerReflection"
_METHOD: Final = "ServerReflectionInfo"


class Reflection(_async.ReflectionServicer):  # type: ignore[misc] # untyped upstream
    """Answers what services there are. Finds methods by name (`ghz` asks so), which the base does not."""

    def __init__(self, services: Sequence[str], files: Mapping[str, FileDescriptorProto]) -> None:
        pool = DescriptorPool()
        for file in files.values():
            pool.Add(file)
        super().__init__(services, pool=pool)
        self._files = {name: file.SerializeToString() for name, file in files.items()}
        self._methods = {
            f"{file.package}.{service.name}": {method.name for method in service.method}
            for file in files.values()
            for service in file.service
        }

    def _file_by_filename(self, request: Any, filename: str) -> Any:  # noqa: ANN401 - untyped upstream
        return self._as_it_came(super()._file_by_filename(request, filename))

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:  # noqa: ANN401 - untyped upstream
        parent, _, name = fully_qualified_name.rpartition(".")
        if name in self._methods.get(parent, ()):
            fully_qualified_name = parent
        return self._as_it_came(super()._file_containing_symbol(request, fully_qualified_name))

    def _as_it_came(self, response: Any) -> Any:  # noqa: ANN401 - untyped upstream
        """Put the comments back, which a pool does not keep."""
        if response.HasField("file_descriptor_response"):
            told = response.file_descriptor_response.file_descriptor_proto
            told[:] = [self._files[FileDescriptorProto.FromString(file).name] for file in told]
        return response


def add_reflection(
    server: grpc.aio.Server, services: Sequence[str], versions: Sequence[str] = (V1ALPHA, V1)
) -> None:
    """Mount reflection; it tells of `services`, of itself, and of all that error details are made of.

    Both versions, unless told otherwise: most servers have one of them only, and tools must find their way with either.
    """
    servicer = Reflection([*services, *versions], {file.name: file for file in _files_of(services)})
    if V1ALPHA in versions:
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    if V1 in versions:
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {_METHOD: handler}),))


def _files_of(services: Iterable[str]) -> Iterator[FileDescriptorProto]:
    """Yield the contract, each file after what it imports, then the others that declare services; they import nothing."""
    contract = descriptor_set().file
    yield from contract
    named = {f"{file.package}.{service.name}" for file in contract for service in file.service}
    yield from (_declaring(service) for service in services if service not in named)
    yield _declaring(V1ALPHA)
    yield _v1_of(_declaring(V1ALPHA))


def _declaring(service: str) -> FileDescriptorProto:
    """Return a service's file with the JSON names that protoc gives to whoever asks protoc."""
    file = FileDescriptorProto()
    descriptor_pool.Default().FindFileContainingSymbol(service).CopyToProto(file)
    for message in file.message_type:
        for field in message.field:
            field.json_name = re.sub("_+(.?)", lambda match: match[1].upper(), field.name)
    return file


def _v1_of(file: FileDescriptorProto) -> FileDescriptorProto:
    """Make v1's file of v1alpha's, which is the same under its other name."""
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
