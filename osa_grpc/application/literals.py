"""Literals of the filter language: what may be written for a column, and the typed value it means."""

import math
import re
import uuid
from datetime import UTC, date, datetime
from typing import Final

from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.filter import FilterValue
from osa_grpc.domain.names import name_parts

_EXPECTED: Final[dict[ColumnType, str]] = {
    ColumnType.TEXT: "text",
    ColumnType.NUMBER: "a number",
    ColumnType.INTEGER: "an integer between -2^63 and 2^63-1",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.TIMESTAMP: "a time such as 2026-01-31T12:00:00Z, or a date such as 2026-01-31",
    ColumnType.DATE: "a date such as 2026-01-31",
    ColumnType.UUID: "a UUID",
    ColumnType.JSON: "text, a number, true or false",
}

_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def expected_value(column: QueryColumn) -> str:
    """Return what a literal that is compared with the column may be, in words."""
    if column.words:
        return f"one of {', '.join(column.words)}"
    return column.resource.value if column.resource is not None else _EXPECTED[column.type]


def literal_value(column: QueryColumn, text: str, *, quoted: bool, is_whole: bool = True) -> FilterValue:
    """Return the value that a literal means for a column.

    Numbers, true and false are written without quotes; times, dates and UUIDs as one likes. For JSON the literal's own form says
    what it is. A column of names is compared with whole ones, but may contain anything. A word may have its prefix.

    Raises:
        ValueError: it is not a value of such a column.
    """
    if column.words:
        text = text.removeprefix(column.word_prefix)
        if text not in column.words:
            raise ValueError("another word")
    if column.resource is not None and is_whole:
        name_parts(column.resource, text)
    return _typed(column.type, text, quoted=quoted)


def _typed(kind: ColumnType, text: str, *, quoted: bool) -> FilterValue:
    match kind:
        case ColumnType.TEXT:
            return text
        case ColumnType.JSON:
            return text if quoted else _json(text)
        case ColumnType.TIMESTAMP:
            return _instant(text)
        case ColumnType.DATE:
            return date.fromisoformat(_matched(_DATE, text))
        case ColumnType.UUID:
            return uuid.UUID(_matched(_UUID, text))
        case _ if quoted:
            raise ValueError("quoted")
        case ColumnType.NUMBER:
            return _number(text)
        case ColumnType.INTEGER:
            return _integer(text)
        case ColumnType.BOOLEAN:
            return {"true": True, "false": False}[text] if text in {"true", "false"} else _refuse()


def _refuse() -> bool:
    raise ValueError("neither true nor false")


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError("of another form")
    return text


def _number(text: str) -> float:
    value = float(_matched(_NUMBER, text))
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _integer(text: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,19}", text):
        value = int(text)
    else:
        number = _number(text)
        if not number.is_integer() or abs(number) >= 2**53:
            raise ValueError("not an exact integer")
        value = int(number)
    if not -(2**63) <= value < 2**63:
        raise ValueError("out of range")
    return value


def _instant(text: str) -> datetime:
    if _DATE.fullmatch(text):
        return datetime.fromisoformat(f"{text}T00:00:00+00:00")
    try:
        return datetime.fromisoformat(_matched(_INSTANT, text).upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


def _json(text: str) -> str | float | int | bool:
    if text in {"true", "false"}:
        return text == "true"
    if _NUMBER.fullmatch(text) is None:
        return text
    number = _number(text)
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else number
