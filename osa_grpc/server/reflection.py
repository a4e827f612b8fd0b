"""Reflection, as v1alpha and as v1: grpcio-reflection ships v1alpha only, and v1 has the same messages under another name."""

from collections.abc import Sequence
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import _async, reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._base import BaseReflectionServicer

V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"
V1: Final = "grpc.reflection.v1.ServerReflection"
_METHOD: Final = "ServerReflectionInfo"


class Reflection(_async.ReflectionServicer):  # type: ignore[misc] # untyped upstream
    """Answers what services there are. Knows of v1, and finds methods by name (`ghz` asks so), which the base does not."""

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__(services)
        self._v1: Final = BaseReflectionServicer((), pool=_v1_pool())

    def _file_by_filename(self, request: Any, filename: str) -> Any:  # noqa: ANN401 - untyped upstream
        response = super()._file_by_filename(request, filename)
        if response.HasField("error_response"):
            return self._v1._file_by_filename(request, filename)  # noqa: SLF001 - upstream has no other way in
        return response

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:  # noqa: ANN401 - untyped upstream
        response = super()._file_containing_symbol(request, fully_qualified_name)
        for name in (fully_qualified_name, fully_qualified_name.rpartition(".")[0]):
            if not response.HasField("error_response"):
                break
            response = super()._file_containing_symbol(request, name)
            if response.HasField("error_response"):
                response = self._v1._file_containing_symbol(request, name)  # noqa: SLF001 - upstream has no other way in
        return response


def _v1_pool() -> DescriptorPool:
    """Return a pool of its own with the v1 file: v1alpha's under its other name."""
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name = "grpc/reflection/v1/reflection.proto"
    file.package = "grpc.reflection.v1"
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
        method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    pool = DescriptorPool()
    pool.Add(file)
    return pool


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Mount both versions; both tell of `services` and of themselves."""
    servicer = Reflection([*services, V1ALPHA, V1])
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {_METHOD: handler}),))
