"""The contract as files, from what is installed: all that a client in another language is generated from.

The `.proto` files lie beside the Python that was generated from them, ours and Google's alike. Those of `google/protobuf` are left
out: every generator brings its own, which must be those of its own version. The descriptor set has them.
"""

from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.rpc import error_details_pb2, status_pb2

from osa_grpc.wire import pb

_ERRORS: Final = (status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)
"""What errors are answered with. No file of ours imports them."""

_OF_GENERATORS: Final = "google/protobuf/"


def contract_files() -> dict[str, bytes]:
    """Return the contract and all it imports, but for `google/protobuf`, by the names they are imported by.

    Raises:
        FileNotFoundError: a package is installed without its `.proto` files.
    """
    names = [file.name for file in _with_imports() if not file.name.startswith(_OF_GENERATORS)]
    return {name: _source(name) for name in sorted(names)}


def descriptor_set() -> FileDescriptorSet:
    """Return the contract and all it imports as protoc writes it, each file after what it imports; without comments."""
    return FileDescriptorSet(file=[as_protoc_writes_it(file) for file in _with_imports()])


def _with_imports() -> Iterable[FileDescriptor]:
    """Return each file once, after what it imports."""
    found: dict[str, FileDescriptor] = {}

    def visit(file: FileDescriptor) -> None:
        if file.name not in found:
            for imported in file.dependencies:
                visit(imported)
            found[file.name] = file

    for file in sorted((*pb.FILES, *_ERRORS), key=lambda file: str(file.name)):
        visit(file)
    return found.values()


def _source(name: str) -> bytes:
    folder, _, file = name.rpartition("/")
    source = files(folder.replace("/", ".")) / file
    if not source.is_file():
        raise FileNotFoundError(f"{name} is not installed beside the Python that was generated from it")
    return source.read_bytes()


def as_protoc_writes_it(descriptor: FileDescriptor) -> FileDescriptorProto:
    """Return a file with the JSON names of its fields: generated Python has only those that were chosen."""
    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    for field in _fields(file):
        if not field.HasField("json_name"):
            field.json_name = _json_name(field.name)
    return file


def _fields(file: FileDescriptorProto) -> Iterator[FieldDescriptorProto]:
    yield from file.extension
    for message in file.message_type:
        yield from _fields_of(message)


def _fields_of(message: DescriptorProto) -> Iterator[FieldDescriptorProto]:
    yield from message.field
    yield from message.extension
    for nested in message.nested_type:
        yield from _fields_of(nested)


def _json_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)
