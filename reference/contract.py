"""The contract as its files have it: services, messages and enums, with their comments and what their options say."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import google.rpc
from google.api import field_behavior_pb2, resource_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodOptions,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

ROOT: Final = Path(__file__).parents[1]

_MESSAGE, _ENUM, _SERVICE, _SYNTAX = 4, 5, 6, 12  # fields of FileDescriptorProto, as source paths have them
_ONEOF: Final = 8
_PART: Final = 2  # field of a message, value of an enum, method of a service

SourcePath = tuple[int, ...]
"""Where something is in a file, see SourceCodeInfo in google/protobuf/descriptor.proto."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field. `type` is a scalar's name, or a full name; `behaviors` as google.api has them, in lower-case words."""

    name: str
    number: int
    type: str
    is_repeated: bool
    is_optional: bool
    behaviors: tuple[str, ...]
    refers_to: str
    oneof: str
    comment: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message. `resource` is its type and the patterns of its names, if it is one."""

    name: str
    comment: str
    fields: tuple[Field, ...]
    oneofs: Mapping[str, str]
    resource: tuple[str, tuple[str, ...]] | None


@dataclass(frozen=True, kw_only=True)
class EnumValue:
    """A value of an enum."""

    name: str
    number: int
    comment: str


@dataclass(frozen=True, kw_only=True)
class Enum:
    """An enum."""

    name: str
    comment: str
    values: tuple[EnumValue, ...]


@dataclass(frozen=True, kw_only=True)
class Rpc:
    """A method. `errors` are what its comment says it is answered with: a status code, and the words after it."""

    name: str
    comment: str
    errors: tuple[tuple[str, str], ...]
    request: str
    response: str
    takes_stream: bool
    gives_stream: bool
    is_read: bool


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service."""

    name: str
    full_name: str
    comment: str
    rpcs: tuple[Rpc, ...]


@dataclass(frozen=True, kw_only=True)
class File:
    """A file. `types` are in the order in which they stand there."""

    name: str
    comment: str
    services: tuple[Service, ...]
    types: tuple[Message | Enum, ...]


def read_contract() -> tuple[File, ...]:
    """Return the contract's files, by name."""
    folder = ROOT / "proto"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.proto"))
    imports = Path(next(iter(google.rpc.__path__))).parents[1]
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "contract.binpb"
        options = [f"-I{folder}", f"-I{imports}", f"-I{files('grpc_tools') / '_proto'}"]
        if protoc.main(
            ["protoc", *options, "--include_source_info", f"--descriptor_set_out={target}", *names]
        ):
            raise SystemExit("the contract does not compile")
        return tuple(_Reader(file).file() for file in FileDescriptorSet.FromString(target.read_bytes()).file)


class _Reader:
    def __init__(self, file: FileDescriptorProto) -> None:
        self._file: Final = file
        self._places: Final = {tuple(place.path): place for place in file.source_code_info.location}

    def file(self) -> File:
        """Read it."""
        file = self._file
        types: list[tuple[SourcePath, Message | Enum]] = [
            *(((_MESSAGE, i), self._message(one, (_MESSAGE, i))) for i, one in enumerate(file.message_type)),
            *(((_ENUM, i), self._enum(one, (_ENUM, i))) for i, one in enumerate(file.enum_type)),
        ]
        types.sort(key=lambda entry: self._places[entry[0]].span[0])
        return File(
            name=file.name.rpartition("/")[2],
            comment="\n".join(_text(comment) for comment in self._places[_SYNTAX,].leading_detached_comments),
            services=tuple(self._service(one, (_SERVICE, i)) for i, one in enumerate(file.service)),
            types=tuple(one for _, one in types),
        )

    def _comment(self, path: SourcePath) -> str:
        return _text(self._places[path].leading_comments)

    def _message(self, message: DescriptorProto, at: SourcePath) -> Message:
        resource = message.options.Extensions[resource_pb2.resource]
        return Message(
            name=message.name,
            comment=self._comment(at),
            fields=tuple(self._field(message, one, (*at, _PART, i)) for i, one in enumerate(message.field)),
            oneofs={
                oneof.name: self._comment((*at, _ONEOF, i))
                for i, oneof in enumerate(message.oneof_decl)
                if not oneof.name.startswith("_")  # those that protoc makes for `optional`
            },
            resource=(resource.type, tuple(resource.pattern)) if resource.type else None,
        )

    def _field(self, message: DescriptorProto, field: FieldDescriptorProto, at: SourcePath) -> Field:
        in_oneof = field.HasField("oneof_index") and not field.proto3_optional
        behaviors = field.options.Extensions[field_behavior_pb2.field_behavior]
        return Field(
            name=field.name,
            number=field.number,
            type=field.type_name.lstrip(".") or FieldDescriptorProto.Type.Name(field.type)[5:].lower(),
            is_repeated=field.label == FieldDescriptorProto.LABEL_REPEATED,
            is_optional=field.proto3_optional,
            behaviors=tuple(
                field_behavior_pb2.FieldBehavior.Name(one).lower().replace("_", " ") for one in behaviors
            ),
            refers_to=field.options.Extensions[resource_pb2.resource_reference].type,
            oneof=message.oneof_decl[field.oneof_index].name if in_oneof else "",
            comment=self._comment(at),
        )

    def _enum(self, enum: EnumDescriptorProto, at: SourcePath) -> Enum:
        return Enum(
            name=enum.name,
            comment=self._comment(at),
            values=tuple(
                EnumValue(name=one.name, number=one.number, comment=self._comment((*at, _PART, i)))
                for i, one in enumerate(enum.value)
            ),
        )

    def _service(self, service: ServiceDescriptorProto, at: SourcePath) -> Service:
        rpcs = []
        for i, method in enumerate(service.method):
            comment, errors = errors_apart(self._comment((*at, _PART, i)))
            rpcs.append(
                Rpc(
                    name=method.name,
                    comment=comment,
                    errors=errors,
                    request=method.input_type.rpartition(".")[2],
                    response=method.output_type.rpartition(".")[2],
                    takes_stream=method.client_streaming,
                    gives_stream=method.server_streaming,
                    is_read=method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
                )
            )
        return Service(
            name=service.name,
            full_name=f"{self._file.package}.{service.name}",
            comment=self._comment(at),
            rpcs=tuple(rpcs),
        )


def errors_apart(comment: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return what an RPC's comment says before `Errors:`, and each status code after it with what is said of it."""
    text, _, errors = comment.partition("Errors:")
    listed = " ".join(errors.split()).rstrip(".")
    return text.strip(), tuple(_each_error(listed))


def _each_error(listed: str) -> Iterator[tuple[str, str]]:
    for one in _outside_of_brackets(listed):
        code, _, said = one.partition(" ")
        if not re.fullmatch(r"[A-Z][A-Z_]+", code):
            raise ValueError(f"expected errors as in `Errors: NOT_FOUND ..., ABORTED ...`, found {listed}")
        yield code, said


def _outside_of_brackets(listed: str) -> Iterable[str]:
    """Split at the commas before status codes: words in capitals that stand in no brackets and no backticks."""
    depth, start = 0, 0
    for at, sign in enumerate(listed):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth and re.match(r", [A-Z]{2}", listed[at:]):
            yield listed[start:at]
            start = at + 2
    if listed:
        yield listed[start:]


def _text(comment: str) -> str:
    return "\n".join(line.removeprefix(" ") for line in comment.rstrip().split("\n"))
