"""JSON ↔ `google.protobuf.Struct`, keeping its meaning: integral numbers are integers (4, not 4.0).

A Struct holds every number as a double, so an integer beyond ±2^53 has already lost digits when it arrives: it is refused, with a
hint, instead of being stored as another number.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from google.protobuf import struct_pb2
from pydantic import JsonValue

from osa_grpc.domain.field_path import FieldPath
from osa_grpc.wire.violations import Violations

MAX_DEPTH: Final = 24
"""How deep objects and arrays may nest. One level takes three of the hundred levels that a protobuf decoder allows a message."""

_MAX_INTEGER: Final = 2**53
_SHOWN_KEY: Final = 64


def json_from_struct(message: struct_pb2.Struct, *, at: FieldPath) -> dict[str, JsonValue]:
    """Return a Struct's JSON.

    Raises:
        InvalidRequestError: what JSON, Postgres or a double cannot hold; every violation with its path.
    """
    found = Violations()
    value = _object_from_proto(message, at=at, depth=1, found=found)
    found.check()
    return value


def struct_from_json(value: Mapping[str, JsonValue], *, at: FieldPath) -> struct_pb2.Struct:
    """Return JSON as a Struct.

    Raises:
        InvalidRequestError: what a Struct cannot hold; every violation with its path.
    """
    found = Violations()
    message = struct_pb2.Struct()
    _object_to_proto(value, message, at=at, depth=1, found=found)
    found.check()
    return message


def _object_from_proto(
    message: struct_pb2.Struct, *, at: FieldPath, depth: int, found: Violations
) -> dict[str, JsonValue]:
    if depth > MAX_DEPTH:
        _too_deep(at, found)
        return {}
    result: dict[str, JsonValue] = {}
    for key, value in message.fields.items():
        inside = at / key[:_SHOWN_KEY]
        _check_text(key, at=inside, found=found)
        result[key] = _value_from_proto(value, at=inside, depth=depth, found=found)
    return result


def _value_from_proto(
    message: struct_pb2.Value, *, at: FieldPath, depth: int, found: Violations
) -> JsonValue:
    match message.WhichOneof("kind"):
        case "null_value":
            return None
        case "bool_value":
            return message.bool_value
        case "string_value":
            _check_text(message.string_value, at=at, found=found)
            return message.string_value
        case "number_value":
            return _number(message.number_value, at=at, found=found)
        case "struct_value":
            return _object_from_proto(message.struct_value, at=at, depth=depth + 1, found=found)
        case "list_value":
            if depth + 1 > MAX_DEPTH:
                _too_deep(at, found)
                return []
            return [
                _value_from_proto(item, at=at[index], depth=depth + 1, found=found)
                for index, item in enumerate(message.list_value.values)
            ]
        case None:
            found.require(at)
            return None
        case unhandled:
            assert_never(unhandled)


def _object_to_proto(
    value: Mapping[str, object],
    message: struct_pb2.Struct,
    *,
    at: FieldPath,
    depth: int,
    found: Violations,
) -> None:
    if depth > MAX_DEPTH:
        _too_deep(at, found)
        return
    message.fields.clear()
    for key, item in value.items():
        inside = at / key[:_SHOWN_KEY]
        if _check_text(key, at=inside, found=found):
            _value_to_proto(item, message.fields[key], at=inside, depth=depth, found=found)


def _value_to_proto(
    value: object, message: struct_pb2.Value, *, at: FieldPath, depth: int, found: Violations
) -> None:
    if value is None:
        message.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        if _check_text(value, at=at, found=found):
            message.string_value = value
    elif isinstance(value, (int, float)):
        message.number_value = float(_number(value, at=at, found=found))
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        _object_to_proto(value, message.struct_value, at=at, depth=depth + 1, found=found)
    elif isinstance(value, Sequence):
        message.list_value.SetInParent()
        if depth + 1 > MAX_DEPTH:
            _too_deep(at, found)
            return
        for index, item in enumerate(value):
            _value_to_proto(item, message.list_value.values.add(), at=at[index], depth=depth + 1, found=found)
    else:
        found.add(at, f"expected JSON, found {type(value).__name__}", reason="WRONG_TYPE")


def _number(value: float, *, at: FieldPath, found: Violations) -> float:
    if -_MAX_INTEGER <= value <= _MAX_INTEGER:
        return int(value) if value == int(value) else value
    if value in {math.inf, -math.inf} or value != value:  # noqa: PLR0124 - math.isnan raises for integers beyond a double
        found.add(at, f"expected a finite number, found {value}", reason="OUT_OF_RANGE")
    else:
        found.add(
            at,
            f"expected an integral number within ±2^53, found {str(value)[:40]}: "
            "a Struct cannot carry more digits; send it as text",
            reason="OUT_OF_RANGE",
        )
    return 0


def _check_text(text: str, *, at: FieldPath, found: Violations) -> bool:
    if "\x00" in text:
        found.add(at, "expected text without the NUL character")
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        found.add(at, "expected text that can be encoded as UTF-8")
        return False
    return True


def _too_deep(at: FieldPath, found: Violations) -> None:
    found.add(at, f"expected at most {MAX_DEPTH} levels of objects and arrays", reason="TOO_DEEP")
