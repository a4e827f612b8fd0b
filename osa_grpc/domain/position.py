"""Positions in a sorted listing: the sort keys' values as JSON texts, exact to the last digit."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter

from osa_grpc.domain.column import ColumnType, PlainText
from osa_grpc.domain.filter import CellValue, SortKey

TEXT_KEY_CHARACTERS: Final = 1024
"""Declared text columns sort by so many characters, so that a position stays small."""

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_VALUES: Final[dict[ColumnType, TypeAdapter[Any]]] = {
    ColumnType.TEXT: TypeAdapter(PlainText, config=_STRICT),
    ColumnType.NUMBER: TypeAdapter(float, config=_STRICT),
    ColumnType.INTEGER: TypeAdapter(Annotated[int, Field(ge=-(2**63), lt=2**63)], config=_STRICT),
    ColumnType.BOOLEAN: TypeAdapter(bool, config=_STRICT),
    ColumnType.TIMESTAMP: TypeAdapter(AwareDatetime, config=_STRICT),
    ColumnType.DATE: TypeAdapter(date, config=_STRICT),
    ColumnType.UUID: TypeAdapter(uuid.UUID, config=_STRICT),
}


class PositionError(ValueError):
    """A position that no page of this listing gave."""


def position_text(value: CellValue) -> str:
    """Return a sort key's value as JSON."""
    if isinstance(value, date):  # and so an instant
        return json.dumps(value.isoformat())
    if isinstance(value, uuid.UUID):
        return json.dumps(str(value))
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def parse_position(texts: Sequence[str], order: Sequence[SortKey]) -> list[CellValue]:
    """Return the sort keys' values.

    Raises:
        PositionError: it is not a position of this order.
    """
    try:
        return [_value(text, key) for text, key in zip(texts, order, strict=True)]
    except (ValueError, OverflowError) as error:
        raise PositionError("not a position of this order") from error


def _value(text: str, key: SortKey) -> CellValue:
    if text == "null" and not key.column.required:
        return None
    value: CellValue = _VALUES[key.column.type].validate_json(text)
    return (
        value.astimezone(UTC) if isinstance(value, datetime) else value
    )  # overflows before the first instant there is
