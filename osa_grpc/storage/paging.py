"""Pages by position (keyset): the same whatever is added meanwhile, and as quick far down as at the start."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import asyncpg

from osa_grpc.application.storage_ports import Page, PageRequest
from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.filter import CellValue, SortKey
from osa_grpc.domain.position import parse_position, position_text

T = TypeVar("T")


def page_of(
    rows: Sequence[asyncpg.Record],
    request: PageRequest,
    *,
    item: Callable[[asyncpg.Record], T],
    position: Sequence[str],
) -> Page[T]:
    """Make a page of rows, of which one more than asked for was read; `position` names the columns listed by."""
    kept = rows[: request.size]
    positions = [[position_text(row[column]) for column in position] for row in kept]
    after = positions[-1] if len(rows) > len(kept) and kept else None
    return Page(items=[item(row) for row in kept], after=after, positions=positions)


def position_of(request: PageRequest, *types: ColumnType) -> Sequence[CellValue]:
    """Return the values of the columns listed by, of these types, behind which the page begins; nulls for the first page.

    Raises:
        PositionError: `after` is not a position of this list.
    """
    if request.after is None:
        return [None] * len(types)
    return parse_position(request.after, [_KEYS[kind] for kind in types])


def newest_first(request: PageRequest, *types: ColumnType) -> Sequence[CellValue]:
    """Return the position in a list by `created_at` and columns of these types. Raises PositionError."""
    return position_of(request, ColumnType.TIMESTAMP, *types)


_KEYS = {kind: SortKey(column=QueryColumn(name="", type=kind, required=True)) for kind in ColumnType}
