"""Column definitions: columns of feature tables and fields of a convention's metadata."""

from collections.abc import Iterable, Sequence
from typing import Any

from osa_grpc.domain.column import ColumnDef, JsonType, QueryColumn
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.wire import pb
from osa_grpc.wire.enums import COLUMN_TYPE, JSON_TYPE
from osa_grpc.wire.violations import Violations


def column_from_proto(msg: pb.ColumnDef, *, at: FieldPath) -> ColumnDef:
    """Read a column definition. Raises InvalidRequestError, UnsupportedError."""
    found = Violations()
    values: dict[str, Any] = {
        "name": msg.name,
        "format": msg.format,
        "required": msg.required,
        "description": msg.description,
        "unit": msg.unit,
    }
    with found.collecting():
        values["json_type"] = JSON_TYPE.from_proto(msg.json_type, at=at / "json_type")
        if msg.format and values["json_type"] is not JsonType.STRING:
            del values["format"]
            found.add(at / "format", f"expected no format, found {msg.format!r}: formats go with strings")
    return found.build(ColumnDef, values, at=at)


def columns_from_proto(
    msgs: Iterable[pb.ColumnDef], *, at: FieldPath, reserved: frozenset[str] = frozenset()
) -> tuple[ColumnDef, ...]:
    """Read column definitions, whose names are unique and not reserved. Raises InvalidRequestError, UnsupportedError."""
    found = Violations()
    columns: list[ColumnDef] = []
    seen: set[str] = set()
    for index, msg in enumerate(msgs):
        with found.collecting():
            columns.append(column_from_proto(msg, at=at[index]))
        if msg.name in reserved:
            found.add(
                at[index] / "name", f"{msg.name} is the name of a system column", reason="RESERVED_NAME"
            )
        elif msg.name and msg.name in seen:
            found.add(at[index] / "name", f"{msg.name} is there twice", reason="DUPLICATE_NAME")
        seen.add(msg.name)
    found.check()
    return tuple(columns)


def column_to_proto(column: ColumnDef) -> pb.ColumnDef:
    """Return a column definition as a message."""
    return pb.ColumnDef(
        name=column.name,
        json_type=JSON_TYPE.to_proto(column.json_type),
        format=column.format,
        required=column.required,
        description=column.description,
        unit=column.unit,
    )


def columns_to_proto(columns: Sequence[ColumnDef]) -> list[pb.ColumnDef]:
    """Return column definitions as messages."""
    return [column_to_proto(column) for column in columns]


def query_column_to_proto(column: QueryColumn) -> pb.ColumnInfo:
    """Return a column as a query sees it."""
    return pb.ColumnInfo(
        name=column.name,
        type=COLUMN_TYPE.to_proto(column.type),
        system=column.system,
        required=column.required,
        description=column.description,
        unit=column.unit,
    )


def query_column_from_proto(msg: pb.ColumnInfo, *, at: FieldPath) -> QueryColumn:
    """Read a column as a query sees it. Raises InvalidRequestError, UnsupportedError."""
    found = Violations()
    values: dict[str, Any] = {
        "name": msg.name,
        "system": msg.system,
        "required": msg.required,
        "description": msg.description,
        "unit": msg.unit,
    }
    with found.collecting():
        values["type"] = COLUMN_TYPE.from_proto(msg.type, at=at / "type")
    return found.build(QueryColumn, values, at=at)
