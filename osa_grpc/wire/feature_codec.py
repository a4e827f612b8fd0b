"""Feature tables, and their rows: values by their column's type."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeVar, assert_never

from google.protobuf import struct_pb2

from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.errors import InvalidRequestError, Violation
from osa_grpc.domain.feature import FeatureTable
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.filter import CellValue, FeatureRow
from osa_grpc.domain.hook import TableFeatureSpec
from osa_grpc.domain.names import feature_table_name
from osa_grpc.wire import pb
from osa_grpc.wire.column_codec import query_column_to_proto
from osa_grpc.wire.hook_codec import feature_from_proto, table_to_proto
from osa_grpc.wire.resource_names import convention_ref, feature_table
from osa_grpc.wire.times import timestamp_from_proto
from osa_grpc.wire.violations import Violations

T = TypeVar("T", date, uuid.UUID)


def feature_table_to_proto(table: FeatureTable) -> pb.FeatureTable:
    """Return a feature table as a message."""
    msg = pb.FeatureTable(
        name=feature_table_name(table.hook),
        hook=table.hook,
        columns=[query_column_to_proto(column) for column in table.columns],
        row_count_estimate=table.row_count_estimate,
        conventions=[ref.name for ref in table.conventions],
    )
    msg.create_time.FromDatetime(table.created_at.astimezone(UTC))
    msg.update_time.FromDatetime(table.updated_at.astimezone(UTC))
    match table.spec:
        case TableFeatureSpec():
            msg.table.CopyFrom(table_to_proto(table.spec))
        case unhandled:
            assert_never(unhandled)
    return msg


def feature_table_from_proto(msg: pb.FeatureTable, *, at: FieldPath) -> FeatureTable:
    """Read a feature table that a server sent; the catalog's versions stay on the server.

    Raises:
        InvalidRequestError: the message is not a feature table.
        UnsupportedError: the server's contract is newer.
    """
    found = Violations()
    values: dict[str, Any] = {
        "row_count_estimate": msg.row_count_estimate,
        "created_at": timestamp_from_proto(msg.create_time),
        "updated_at": timestamp_from_proto(msg.update_time),
    }
    with found.collecting():
        values["hook"] = feature_table(msg.name, at=at / "name")
    with found.collecting():
        values["spec"] = feature_from_proto(msg, at=at)
    with found.collecting():
        values["conventions"] = tuple(
            convention_ref(name, at=(at / "conventions")[index]) for index, name in enumerate(msg.conventions)
        )
    return found.build(FeatureTable, values, at=at)


def row_to_proto(row: FeatureRow, columns: Sequence[QueryColumn]) -> pb.Row:
    """Return a row as a message; values are positional against `columns`."""
    return pb.Row(
        values=[value_to_proto(value, column.type) for value, column in zip(row.values, columns, strict=True)]
    )


def row_from_proto(msg: pb.Row, *, at: FieldPath) -> FeatureRow:
    """Read a row. Raises InvalidRequestError."""
    return FeatureRow(
        values=tuple(
            value_from_proto(value, at=(at / "values")[index]) for index, value in enumerate(msg.values)
        )
    )


def value_to_proto(value: CellValue, column_type: ColumnType) -> pb.Value:
    """Return a value of a column of that type as a message; JSON is given, and sent, as text."""
    if value is None:
        return pb.Value(null=struct_pb2.NULL_VALUE)
    match column_type:
        case ColumnType.TEXT:
            return pb.Value(text=str(value))
        case ColumnType.NUMBER if isinstance(value, (int, float)):
            return pb.Value(number=value)
        case ColumnType.INTEGER if isinstance(value, int):
            return pb.Value(integer=value)
        case ColumnType.BOOLEAN if isinstance(value, bool):
            return pb.Value(boolean=value)
        case ColumnType.TIMESTAMP if isinstance(value, datetime):
            msg = pb.Value()
            msg.timestamp.FromDatetime(value.astimezone(UTC))
            return msg
        case ColumnType.DATE if isinstance(value, date):
            return pb.Value(date=value.isoformat())
        case ColumnType.UUID if isinstance(value, uuid.UUID):
            return pb.Value(uuid=str(value))
        case ColumnType.JSON:
            return pb.Value(json=str(value))
        case _:
            raise TypeError(f"expected a value of a {column_type} column, found {type(value).__name__}")


def value_from_proto(msg: pb.Value, *, at: FieldPath) -> CellValue:  # noqa: C901 - one arm for each type
    """Read a value; JSON stays text. Raises InvalidRequestError."""
    match msg.WhichOneof("kind"):
        case "null":
            return None
        case "text":
            return msg.text
        case "number":
            return msg.number
        case "integer":
            return msg.integer
        case "boolean":
            return msg.boolean
        case "timestamp":
            return timestamp_from_proto(msg.timestamp)
        case "date":
            return _read(date.fromisoformat, msg.date, "a date YYYY-MM-DD", at)
        case "uuid":
            return _read(uuid.UUID, msg.uuid, "a UUID", at)
        case "json":
            return msg.json
        case None:
            raise _unreadable("a value", "nothing, or a kind of a newer contract", at)
        case unhandled:
            assert_never(unhandled)


def _read(parse: Callable[[str], T], text: str, expected: str, at: FieldPath) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise _unreadable(expected, repr(text[:80]), at) from error


def _unreadable(expected: str, found: str, at: FieldPath) -> InvalidRequestError:
    return InvalidRequestError([Violation(at=at, message=f"expected {expected}, found {found}")])
