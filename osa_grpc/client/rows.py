"""Rows of queries as Python values."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, assert_never
from uuid import UUID

from osa_grpc.wire import pb

RowValue = str | float | int | bool | datetime | date | UUID | list[Any] | dict[str, Any] | None
"""What a column holds: JSON columns give lists and dicts, instants are in UTC."""


class UnknownKindError(ValueError):
    """A value is of a kind that only a newer client knows. The other columns can still be asked for."""


@dataclass(frozen=True, kw_only=True)
class QueryPage:
    """A page of rows."""

    columns: tuple[pb.ColumnInfo, ...]
    rows: tuple[tuple[RowValue, ...], ...]
    """The values of each row, in the order of `columns`."""
    next_page_token: str

    def as_dicts(self) -> Iterator[dict[str, RowValue]]:
        """Yield each row as a dict, its keys in the order of the columns."""
        names = [column.name for column in self.columns]
        for row in self.rows:
            yield dict(zip(names, row, strict=True))


def page_from_proto(response: pb.QueryFeaturesResponse) -> QueryPage:
    """Read a page."""
    return QueryPage(
        columns=tuple(response.columns),
        rows=tuple(tuple(value_from_proto(value) for value in row.values) for row in response.rows),
        next_page_token=response.next_page_token,
    )


def value_from_proto(value: pb.Value) -> RowValue:  # noqa: C901 - one case for each arm
    """Read one value.

    Raises:
        UnknownKindError: it is of a kind that this client does not know.
    """
    match value.WhichOneof("kind"):
        case "null":
            return None
        case "text":
            return value.text
        case "number":
            return value.number
        case "integer":
            return value.integer
        case "boolean":
            return value.boolean
        case "timestamp":
            return value.timestamp.ToDatetime(tzinfo=UTC)
        case "date":
            return date.fromisoformat(value.date)
        case "uuid":
            return UUID(value.uuid)
        case "json":
            parsed: list[Any] | dict[str, Any] = json.loads(value.json)
            return parsed
        case None:
            raise UnknownKindError(
                "a value of a kind that this client does not know: a newer client is needed"
            )
        case unhandled:
            assert_never(unhandled)
