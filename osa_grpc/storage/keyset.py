"""Orders and their positions in SQL: a page goes on beyond the sort keys of the last row of the page before."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.filter import CellValue, SortKey
from osa_grpc.domain.position import TEXT_KEY_CHARACTERS
from osa_grpc.storage.filter_condition import literal


def sort_value(value: sa.ColumnElement[Any], column: QueryColumn) -> sa.ColumnElement[Any]:
    """Return what is sorted by: of texts that may be long, the beginning."""
    if column.type is ColumnType.TEXT and not column.system:
        return sa.func.left(value, TEXT_KEY_CHARACTERS, type_=value.type)
    return value


def ordered(value: sa.ColumnElement[Any], key: SortKey) -> sa.ColumnElement[Any]:
    """Return a sort key's value as ORDER BY has it; nulls come last."""
    result = value.desc() if key.descending else value.asc()
    return result if key.column.required else result.nulls_last()


def beyond(
    values: Sequence[sa.ColumnElement[Any]], order: Sequence[SortKey], position: Sequence[CellValue]
) -> sa.ColumnElement[bool]:
    """Whether a row with these values of the sort keys comes after the position."""
    limits = [literal(key.column, value) for key, value in zip(order, position, strict=True)]
    if len({key.descending for key in order}) == 1 and all(key.column.required for key in order):
        # As one comparison it bounds the scan of an index.
        row, limit = sa.tuple_(*values), sa.tuple_(*limits)
        return row < limit if order[0].descending else row > limit
    result: sa.ColumnElement[bool] = sa.false()
    for value, key, at, limit in reversed(list(zip(values, order, position, limits, strict=True))):
        if at is None:  # nulls come last, so that nothing is beyond one
            result = sa.and_(value.is_(None), result)
            continue
        further = value < limit if key.descending else value > limit
        if not key.column.required:
            further = sa.or_(further, value.is_(None))
        result = sa.or_(further, sa.and_(value == limit, result))
    return result
