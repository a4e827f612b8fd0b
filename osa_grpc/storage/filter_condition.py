"""From a checked filter to SQL's WHERE. Values are parameters, each cast to its column's type."""

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, assert_never

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.filter import (
    And,
    Comparison,
    Contains,
    Filter,
    FilterValue,
    Not,
    Operator,
    Or,
    Present,
)
from osa_grpc.domain.names import name_parts
from osa_grpc.storage.compilation import sql_type

_OPERATORS: Final[dict[Operator, Callable[[Any, Any], sa.ColumnElement[bool]]]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


class Expressions(Protocol):
    """What columns are in SQL, by name; a table's `c` is such."""

    def __getitem__(self, name: str, /) -> sa.ColumnElement[Any]: ...


Parts = Mapping[str, Sequence[sa.ColumnElement[Any]]]
"""Of columns of resource names: what the names are made of, each in its own type."""


def condition(tree: Filter, columns: Expressions, parts: Parts | None = None) -> sa.ColumnElement[bool]:
    """Return the condition; it may be null where it is false. `parts` has every column of names."""
    match tree:
        case Comparison() if tree.column.resource is not None:
            return _names_compared(tree, (parts or {})[tree.column.name])
        case Comparison():
            return _OPERATORS[tree.operator](columns[tree.column.name], literal(tree.column, tree.value))
        case Contains():
            return _contains(tree, columns[tree.column.name])
        case Present():
            return columns[tree.column.name].is_not(None)
        case Not():
            return sa.not_(sa.func.coalesce(condition(tree.operand, columns, parts), sa.false()))
        case And():
            return sa.and_(sa.true(), *(condition(operand, columns, parts) for operand in tree.operands))
        case Or():
            return sa.or_(sa.false(), *(condition(operand, columns, parts) for operand in tree.operands))
        case unhandled:
            assert_never(unhandled)


def _names_compared(tree: Comparison, parts: Sequence[sa.ColumnElement[Any]]) -> sa.ColumnElement[bool]:
    """Compare part by part, so that indexes serve."""
    assert tree.column.resource is not None
    values = name_parts(tree.column.resource, str(tree.value))
    equal = sa.and_(
        *(part == sa.literal(value, part.type) for part, value in zip(parts, values, strict=True))
    )
    return sa.not_(equal) if tree.operator is Operator.NOT_EQUAL else equal


def literal(column: QueryColumn, value: FilterValue | None) -> sa.ColumnElement[Any]:
    """Return a parameter of the column's type."""
    return sa.literal(value, sql_type(column.type))


def _contains(tree: Contains, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    match tree.column.type:
        case ColumnType.TEXT if not tree.column.words:
            # In any case as the database's locale has it: the column's own collation, "C", knows ASCII only.
            folded = sa.func.lower(sa.collate(column, "default"))
            wanted = sa.func.lower(sa.collate(literal(tree.column, tree.value), "default"))
            return sa.func.strpos(folded, wanted) > 0
        case ColumnType.JSON:
            element = sa.cast(sa.literal(json.dumps(tree.value), sa.Text()), JSONB())
            key = sa.literal(tree.value if isinstance(tree.value, str) else json.dumps(tree.value), sa.Text())
            return sa.case(
                (sa.func.jsonb_typeof(column) == "array", column.op("@>", return_type=sa.Boolean())(element)),
                else_=column.op("?", return_type=sa.Boolean())(key),
            )
        case _:
            return column == literal(tree.column, tree.value)


def columns_of(tree: Filter) -> list[QueryColumn]:
    """Return the columns a filter is about."""
    match tree:
        case Comparison() | Contains() | Present():
            return [tree.column]
        case Not():
            return columns_of(tree.operand)
        case And() | Or():
            return [column for operand in tree.operands for column in columns_of(operand)]
        case unhandled:
            assert_never(unhandled)
