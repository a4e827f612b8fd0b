"""Which rows are on a page of a list: filtered, sorted, continued by keyset. Only their keys are read here; the rows come after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import sqlalchemy as sa

from osa_grpc.application.storage_ports import ListQuery, Page
from osa_grpc.domain.filter import SortKey
from osa_grpc.domain.position import parse_position, position_text
from osa_grpc.storage.compilation import compile_statement
from osa_grpc.storage.filter_condition import condition
from osa_grpc.storage.keyset import beyond, ordered, sort_value
from osa_grpc.storage.listed_tables import ListedTable

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ListedKeys:
    """The keys of a page's rows, in order. `positions` are those behind each; `more`: there are rows after the last."""

    keys: Sequence[tuple[Any, ...]]
    positions: Sequence[Sequence[str]]
    more: bool

    def column(self, index: int = 0) -> list[Any]:
        """Return one column of the keys."""
        return [key[index] for key in self.keys]

    def page(self, rows: Sequence[asyncpg.Record], item: Callable[[asyncpg.Record], T]) -> Page[T]:
        """Make a page of the rows, each with its number in the page, from 1, as `listed`; one may have gone meanwhile."""
        return Page(
            items=[item(row) for row in rows],
            after=self.positions[-1] if self.more else None,
            positions=[self.positions[row["listed"] - 1] for row in rows],
        )


async def read_keys(connection: "Connection", listed: ListedTable, query: ListQuery) -> ListedKeys:
    """Return the keys of a page's rows.

    Raises:
        PositionError: `after` is not a position of this query's order.
    """
    order = _total(listed, query.order)
    text, parameters = compile_statement(_select(listed, query, order))
    rows = await connection.fetch(text, *parameters)
    kept = rows[: query.page.size]
    width = len(listed.key)
    return ListedKeys(
        keys=[tuple(row)[:width] for row in kept],
        positions=[[position_text(value) for value in tuple(row)[width:]] for row in kept],
        more=len(rows) > len(kept),
    )


def _select(listed: ListedTable, query: ListQuery, order: Sequence[SortKey]) -> sa.Select[Any]:
    keys = [listed.columns[column.name].label(f"id{i}") for i, column in enumerate(listed.key)]
    values = [sort_value(listed.columns[key.column.name], key.column) for key in order]
    statement = (
        sa.select(*keys, *(value.label(f"k{i}") for i, value in enumerate(values)))
        .select_from(listed.source)
        .order_by(*map(ordered, values, order))
        .limit(query.page.size + 1)
    )
    if query.filter is not None:
        statement = statement.where(condition(query.filter, listed.columns, listed.parts))
    if query.page.after is not None:
        statement = statement.where(beyond(values, order, parse_position(query.page.after, order)))
    return statement


def _total(listed: ListedTable, order: Sequence[SortKey]) -> Sequence[SortKey]:
    """End the order with the key, in the direction of what comes before it: so one index serves both ways."""
    if not order:
        return listed.newest_first
    return [*order, *(SortKey(column=column, descending=order[-1].descending) for column in listed.key)]
