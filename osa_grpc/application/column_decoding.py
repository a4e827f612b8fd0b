"""One JSON value of a declared column: what may be there, and the Python value that the database takes.

What is accepted here is what Postgres stores and gives back equal: the decoder lets nothing pass that COPY would refuse.
"""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

import msgspec

from osa_grpc.domain.column import ColumnDef, ColumnType, JsonType
from osa_grpc.domain.row_size import MAX_VALUE_DEPTH

_EXACT_FLOAT: Final = 2**53  # from here on, a number with a point or an exponent may have lost digits
_SMALL_BYTES: Final = 2**14
_EXPONENT = re.compile(rb"[0-9]e")
_STRING_OR_EXPONENT = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[0-9]e([+-]?[0-9]+)', re.DOTALL)

_WIRE_TYPES: Final[dict[ColumnType, Any]] = {
    ColumnType.TEXT: str,
    ColumnType.NUMBER: float,
    ColumnType.INTEGER: int | float,
    ColumnType.BOOLEAN: bool,
    ColumnType.TIMESTAMP: Annotated[datetime, msgspec.Meta(tz=True)],
    ColumnType.DATE: date,
    ColumnType.UUID: uuid.UUID,
}
_EXPECTED: Final[dict[ColumnType, str]] = {
    ColumnType.TEXT: "a string without the NUL character",
    ColumnType.NUMBER: "a finite number",
    ColumnType.INTEGER: "an integer between -2^63 and 2^63-1",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.TIMESTAMP: "a date and time with offset, such as 2026-01-31T12:00:00Z",
    ColumnType.DATE: "a date, such as 2026-01-31",
    ColumnType.UUID: "a UUID",
}


def wire_type(column: ColumnDef) -> Any:  # noqa: ANN401 - a type expression
    """Return what msgspec decodes the column's JSON as, null aside."""
    if column.json_type is JsonType.ARRAY:
        return list[Any]
    if column.json_type is JsonType.OBJECT:
        return dict[str, Any]
    return _WIRE_TYPES[column.column_type]


def expected(column: ColumnDef) -> str:
    """Say what the column's JSON may be."""
    if column.column_type is ColumnType.JSON:
        return f"an {column.json_type.value} without the NUL character, nested {MAX_VALUE_DEPTH} deep at most"
    return _EXPECTED[column.column_type]


def converter(column: ColumnDef) -> Callable[[Any], object] | None:
    """Return what makes the database's value of what msgspec gives, raising ValueError; None where it is that already."""
    return _CONVERTERS.get(column.column_type)


def _integer(value: float) -> int:
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError("out of range")
        return value
    if not value.is_integer() or abs(value) >= _EXACT_FLOAT:
        raise ValueError("not an exact integer")
    return int(value)


def _instant(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


def _json_text(value: list[Any] | dict[str, Any]) -> str:
    level: list[Any] = [value]
    for _ in range(MAX_VALUE_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return msgspec.json.encode(value).decode()
    raise ValueError("nested too deeply")


_CONVERTERS: Final[dict[ColumnType, Callable[[Any], object]]] = {
    ColumnType.INTEGER: _integer,
    ColumnType.TIMESTAMP: _instant,
    ColumnType.JSON: _json_text,
}


def holds_nul(value: object) -> bool:
    """Whether a value that msgspec gave has a NUL character anywhere, in keys too."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if "\x00" in value:
                return True
        elif isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def stored_bytes(text: str) -> int:
    """Return how many bytes Postgres prints a JSON text in, at most: with spaces, and with exponents written out."""
    encoded = text.encode()
    has_exponents = _EXPONENT.search(encoded) is not None
    if len(encoded) < _SMALL_BYTES and not has_exponents:
        return 2 * len(encoded)
    size = len(msgspec.json.format(encoded, indent=0))
    if has_exponents:
        exponents = (int(match[1]) for match in _STRING_OR_EXPONENT.finditer(encoded) if match[1])
        size += sum(abs(exponent) + 2 for exponent in exponents)
    return size
