"""Pages by position (keyset): the same whatever is added meanwhile, and as quick far down as at the start."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

import asyncpg

from osa_grpc.application.storage_ports import Page, PageRequest

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
    positions = [[_text(row[column]) for column in position] for row in kept]
    after = positions[-1] if len(rows) > len(kept) and kept else None
    return Page(items=[item(row) for row in kept], after=after, positions=positions)


def newest_first(request: PageRequest, *, keys: int) -> tuple[datetime | str | None, ...]:
    """Return the position's `created_at` and the keys after it, for the database; nulls for the first page."""
    if request.after is None:
        return (None,) * (1 + keys)
    created_at, *rest = request.after
    return datetime.fromisoformat(created_at), *rest


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
