"""From a checked filter to SQL's WHERE. Values are parameters, each cast to its column's type."""

import json
import operator
from collections.abc import Callable
from typing import Any, Final, assert_never

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.filter import And, Comparison, Contains, Filter, FilterValue, Not, Operator, Or, Present
from osa_grpc.storage.feature_table import sql_type

_OPERATORS: Final[dict[Operator, Callable[[Any, Any], sa.ColumnElement[bool]]]] = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


def condition(tree: Filter, table: sa.TableClause) -> sa.ColumnElement[bool]:
    """Return the condition; it may be null where it is false."""
    match tree:
        case Comparison():
            return _OPERATORS[tree.operator](table.c[tree.column.name], literal(tree.column, tree.value))
        case Contains():
            return _contains(tree, table)
        case Present():
            return table.c[tree.column.name].is_not(None)
        case Not():
            return sa.not_(sa.func.coalesce(condition(tree.operand, table), sa.false()))
        case And():
            return sa.and_(sa.true(), *(condition(operand, table) for operand in tree.operands))
        case Or():
            return sa.or_(sa.false(), *(condition(operand, table) for operand in tree.operands))
        case unhandled:
            assert_never(unhandled)


def literal(column: QueryColumn, value: FilterValue | None) -> sa.ColumnElement[Any]:
    """Return a parameter of the column's type."""
    return sa.literal(value, sql_type(column.type))


def _contains(tree: Contains, table: sa.TableClause) -> sa.ColumnElement[bool]:
    column = table.c[tree.column.name]
    match tree.column.type:
        case ColumnType.TEXT:
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
