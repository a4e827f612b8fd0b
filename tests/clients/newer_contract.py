"""A newer contract than today's: in every message one field more, in every enum a value, in every oneof an arm; and an RPC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.message import Message

from tests.clients.foreign_contract import PACKAGE, Contract, contract_of_today, ours_in

LATER = 900
"""The number of the added fields and enum values; the fields are called `later`, the values `..._LATER`."""

_ARMS = {
    ("HookDefinition", "runtime"): ("nextflow", 11, "NextflowConfig"),
    ("HookDefinition", "feature"): ("time_series", 51, "TimeSeriesFeatureSpec"),
    ("FeatureTable", "feature"): ("time_series", 51, "TimeSeriesFeatureSpec"),
    ("Run", "source"): ("trial", 11, ""),
    ("RunEvent", "kind"): ("run_paused", 20, "RunPaused"),
}
"""Which arms are added, by message and oneof: name, number and message; a string where no message is named."""
_OTHER_ARM = ("later_arm", LATER + 1, "")
_MESSAGES = {"hook.proto": ("NextflowConfig", "TimeSeriesFeatureSpec"), "run_event.proto": ("RunPaused",)}


def newer_contract() -> Contract:
    """The newer contract."""
    return Contract(newer_descriptors())


def newer_descriptors() -> FileDescriptorSet:
    """The descriptor set of the newer contract, made of what protoc makes of proto/."""
    files = FileDescriptorSet.FromString(contract_of_today())
    for file in files.file:
        if file.package == PACKAGE:
            _grow_file(file)
    return files


def with_later_fields(message: Any, *, but: str = "Convention") -> Any:
    """Set the added field in this message and all inside it; not in conventions: a request may have nothing new there."""
    for part in ours_in(message, but=but):
        part.later = "what is not known today"
    return message


def later_fields(message: Message) -> Iterator[str]:
    """Yield what is in the added fields, wherever there is something."""
    for part in ours_in(message):
        if part.later:
            yield part.later


def _grow_file(file: FileDescriptorProto) -> None:
    for name in _MESSAGES.get(file.name.rpartition("/")[2], ()):
        file.message_type.add(name=name, field=[_field("text", 1)])
    for message in file.message_type:
        _grow_message(message)
    for enum in file.enum_type:
        _grow_enum(enum)
    for service in file.service:
        if service.name == "RunService":
            request, response = (f".{PACKAGE}.CancelRun{part}" for part in ("Request", "Response"))
            service.method.add(name="PauseRun", input_type=request, output_type=response)


def _grow_message(message: DescriptorProto) -> None:
    assert not message.nested_type
    assert not message.enum_type
    optionals = {field.oneof_index for field in message.field if field.proto3_optional}
    for index, oneof in enumerate(message.oneof_decl):
        if index in optionals:
            continue
        name, number, of = _ARMS.get((message.name, oneof.name), _OTHER_ARM)
        arm = _field(name, number, of)
        arm.oneof_index = index
        # the fields of a oneof stand together
        last = max(
            at for at, f in enumerate(message.field) if f.HasField("oneof_index") and f.oneof_index == index
        )
        message.field.insert(last + 1, arm)
    message.field.append(_field("later", LATER))


def _field(name: str, number: int, of: str = "") -> FieldDescriptorProto:
    field = FieldDescriptorProto(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if of:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{of}"
    else:
        field.type = FieldDescriptorProto.TYPE_STRING
    return field


def _grow_enum(enum: EnumDescriptorProto) -> None:
    prefix = enum.value[0].name.removesuffix("UNSPECIFIED")
    enum.value.add(name=f"{prefix}LATER", number=LATER)
