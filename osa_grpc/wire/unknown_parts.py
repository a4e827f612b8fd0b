"""Finds what a newer contract's client put into a convention or one of its hooks, so that nothing in it is ever dropped.

A limit that is silently ignored is worse than a refusal. Whatever the decoder did not know is kept in a message's unknown fields;
an unknown number of an enum is kept as it is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf import struct_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from osa_grpc.domain.errors import UnsupportedError
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.wire import pb
from osa_grpc.wire.enums import unsupported_value

_ARM_BANDS: Final[Mapping[str, range]] = {"runtime": range(10, 50), "feature": range(50, 90)}
_SHOWN_KEY: Final = 64
_JSON_MESSAGES: Final = (struct_pb2.Struct, struct_pb2.Value, struct_pb2.ListValue)


def refuse_unknown_parts(msg: pb.HookDefinition, *, at: FieldPath) -> None:
    """Look for fields, arms and enum values this server does not know, anywhere inside.

    Raises:
        UnsupportedError: the first one found: `UNSUPPORTED_VARIANT` (an arm of `runtime` or `feature`), `UNSUPPORTED_FIELD` or
            `UNSUPPORTED_VALUE`, with its path.
    """
    for number in _unknown_numbers(msg):
        for oneof, band in _ARM_BANDS.items():
            if number in band:
                known = ", ".join(field.name for field in msg.DESCRIPTOR.oneofs_by_name[oneof].fields)
                raise UnsupportedError(
                    f"{at / oneof}: this server does not know the arm with number {number}; it knows {known}",
                    reason="UNSUPPORTED_VARIANT",
                    at=at / oneof,
                    number=number,
                )
    refuse_unknown_fields(msg, at=at)


def refuse_unknown_fields(msg: Message, *, at: FieldPath) -> None:
    """Look for fields and enum values this server does not know, anywhere inside but in hook definitions that are inside.

    Raises:
        UnsupportedError: the first one found, `UNSUPPORTED_FIELD` or `UNSUPPORTED_VALUE`, with its path.
    """
    for number in _unknown_numbers(msg):
        raise UnsupportedError(
            f"{at}: this server does not know the field with number {number} of {msg.DESCRIPTOR.name}",
            reason="UNSUPPORTED_FIELD",
            at=at,
            number=number,
        )
    for field, value in msg.ListFields():
        # inside JSON a path is that of the JSON
        inside = at if isinstance(msg, _JSON_MESSAGES) else at / field.name
        for path, item in _items(field, value, inside):
            if isinstance(item, pb.HookDefinition):
                continue  # it has arms; see above
            if isinstance(item, Message):
                refuse_unknown_fields(item, at=path)
            elif field.enum_type is not None and item not in field.enum_type.values_by_number:
                raise unsupported_value(field.enum_type.name, int(str(item)), at=path)


def _unknown_numbers(msg: Message) -> list[int]:
    unknown = UnknownFieldSet(msg)
    return [unknown[index].field_number for index in range(len(unknown))]


def _items(field: FieldDescriptor, value: Any, at: FieldPath) -> Iterator[tuple[FieldPath, object]]:  # noqa: ANN401 - of any field
    """Yield a field's values, each with its path; a map's by key."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for key, item in value.items():
            yield at / str(key)[:_SHOWN_KEY], item
    elif field.is_repeated:
        for index, item in enumerate(value):
            yield at[index], item
    else:
        yield at, value
