"""Pages of a feature table: filtered, sorted, continued by keyset, and cut in rows and bytes.

The position of a page is the last row's sort keys, so pages neither repeat nor lose a row whatever is published meanwhile. Bytes
are counted where the rows are: what comes after the page is full comes without its texts and JSON, so that memory is bounded here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from osa_grpc.application.storage_ports import Page
from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.filter import CellValue, FeatureQuery, FeatureRow
from osa_grpc.domain.position import parse_position, position_text
from osa_grpc.domain.row_size import VARIABLE_TYPES, fixed_bytes
from osa_grpc.storage.compilation import compile_statement
from osa_grpc.storage.feature_table import query_table
from osa_grpc.storage.filter_condition import columns_of, condition
from osa_grpc.storage.keyset import beyond, ordered, sort_value

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_FETCHED_ROWS: Final = 500


async def read_page(connection: "Connection", query: FeatureQuery) -> Page[FeatureRow]:
    """Return a page. In a transaction.

    Raises:
        ValueError: `after` is not a position of this query's order.
    """
    limit = min(query.page_size, max(1, query.max_bytes // fixed_bytes(c.type for c in query.columns)))
    text, parameters = compile_statement(_select(query, limit + 1))
    read = [*query.columns, *(key.column for key in query.order)]
    instants = [i for i, column in enumerate(read) if column.type is ColumnType.TIMESTAMP]
    rows: list[tuple[CellValue, ...]] = []
    size = 0
    cursor = await connection.cursor(text, *parameters)
    while fetched := await cursor.fetch(min(_FETCHED_ROWS, limit + 1 - len(rows))):
        for record in fetched:
            size, *values = record
            if rows and (len(rows) == limit or size > query.max_bytes):
                return _page(query, rows, more=True)
            for i in instants:
                values[i] = _with_zone(values[i])
            rows.append(tuple(values))
    return _page(query, rows, more=False)


def _page(query: FeatureQuery, rows: Sequence[tuple[CellValue, ...]], *, more: bool) -> Page[FeatureRow]:
    width = len(query.columns)
    return Page(
        items=[FeatureRow(values=row[:width]) for row in rows],
        after=[position_text(value) for value in rows[-1][width:]] if more else None,
    )


def _with_zone(value: datetime | None) -> datetime | None:
    """Undo what asyncpg does to the first and the last instant there is: it takes and gives them as infinite, without zone."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _select(query: FeatureQuery, limit: int) -> sa.Select[Any]:
    """Select the bytes so far, this row's included, then the values, then the sort keys."""
    used = [*query.columns, *(key.column for key in query.order), *_filtered(query)]
    table = query_table(query.hook, used)
    values = [_value(table, column).label(f"v{i}") for i, column in enumerate(query.columns)]
    keys = [sort_value(table.c[key.column.name], key.column) for key in query.order]
    statement = sa.select(*values, *(key.label(f"k{i}") for i, key in enumerate(keys))).limit(limit)
    if query.filter is not None:
        statement = statement.where(condition(query.filter, table.c))
    if query.after is not None:
        position = parse_position(query.after, query.order)
        statement = statement.where(beyond(keys, query.order, position))
    statement = statement.order_by(*map(ordered, keys, query.order))
    return _measured(query, statement.subquery("page"))


def _measured(query: FeatureQuery, page: sa.Subquery) -> sa.Select[Any]:
    fixed = sa.literal(fixed_bytes(column.type for column in query.columns), sa.BigInteger())
    texts = [
        sa.func.coalesce(sa.func.octet_length(page.c[f"v{i}"]), 0)
        for i, column in enumerate(query.columns)
        if column.type in VARIABLE_TYPES
    ]
    size = sum(texts, start=fixed)
    order = [ordered(page.c[f"k{i}"], key) for i, key in enumerate(query.order)]
    running = sa.cast(sa.func.sum(size).over(order_by=order, rows=(None, 0)), sa.BigInteger())
    sized = sa.select(running.label("running"), size.label("size"), *page.c).subquery("sized")
    fits = sa.or_(sized.c.running <= query.max_bytes, sized.c.running == sized.c.size)
    return sa.select(
        sized.c.running,
        *(
            sa.case((fits, sized.c[f"v{i}"])) if column.type in VARIABLE_TYPES else sized.c[f"v{i}"]
            for i, column in enumerate(query.columns)
        ),
        *(sized.c[f"k{i}"] for i in range(len(query.order))),
    ).order_by(*(ordered(sized.c[f"k{i}"], key) for i, key in enumerate(query.order)))


def _value(table: sa.TableClause, column: QueryColumn) -> sa.ColumnElement[Any]:
    if column.type is ColumnType.JSON:
        return sa.cast(table.c[column.name], sa.Text())
    return table.c[column.name]


def _filtered(query: FeatureQuery) -> list[QueryColumn]:
    return [] if query.filter is None else columns_of(query.filter)
