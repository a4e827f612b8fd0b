"""What lists of resources can be filtered and sorted by: their fields, as the contract calls them.

The language is that of feature tables (`filtering`). A field with a resource's name is compared with whole names, an enum with its
values' words: `COMPLETED` or, as answers show it, `RUN_STATE_COMPLETED`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from osa_grpc.application.filtering import parse_filter, parse_order_by
from osa_grpc.application.storage_ports import ListQuery, PageRequest
from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.delivery import DeliveryState
from osa_grpc.domain.deposition import DepositionState
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.filter import Filter, SortKey
from osa_grpc.domain.names import ResourceKind
from osa_grpc.domain.run import RunState


@dataclass(frozen=True, kw_only=True)
class ListSelection:
    """Which of a list's items are wanted, and in which order."""

    filter: Filter | None
    order: Sequence[SortKey]

    def query(self, page: PageRequest) -> ListQuery:
        """Return the query for one page of them."""
        return ListQuery(page=page, filter=self.filter, order=self.order)


def parse_selection(
    columns: Sequence[QueryColumn],
    *,
    filter: str,  # noqa: A002 - the contract's word
    order_by: str,
) -> ListSelection:
    """Read a filter and an order over the columns of a list; blank: all, and the newest first.

    Raises:
        InvalidRequestError: `INVALID_FILTER`, `INVALID_ORDER_BY`, `UNKNOWN_COLUMN`.
    """
    return ListSelection(filter=parse_filter(filter, columns), order=parse_order_by(order_by, columns))


def _name(column: str, kind: ResourceKind, *, required: bool = True) -> QueryColumn:
    return QueryColumn(name=column, type=ColumnType.TEXT, system=True, required=required, resource=kind)


def _word(column: str, words: type[StrEnum], prefix: str, *, required: bool = True) -> QueryColumn:
    return QueryColumn(
        name=column,
        type=ColumnType.TEXT,
        system=True,
        required=required,
        words=tuple(words),
        word_prefix=prefix,
    )


def _text(column: str, *, required: bool = True, is_short: bool = True) -> QueryColumn:
    return QueryColumn(name=column, type=ColumnType.TEXT, system=is_short, required=required)


def _count(column: str) -> QueryColumn:
    return QueryColumn(name=column, type=ColumnType.INTEGER, system=True, required=True)


def _time(column: str, *, required: bool = True) -> QueryColumn:
    return QueryColumn(name=column, type=ColumnType.TIMESTAMP, system=True, required=required)


RUN_COLUMNS: Final = (
    _name("name", ResourceKind.RUN),
    _word("state", RunState, "RUN_STATE_"),
    _name("convention", ResourceKind.CONVENTION),
    _name("deposition", ResourceKind.DEPOSITION),
    _name("retry_of", ResourceKind.RUN, required=False),
    _name("record", ResourceKind.RECORD, required=False),
    _word("failure_kind", FailureKind, "FAILURE_KIND_", required=False),
    _text("rejection_reason", required=False, is_short=False),
    _time("create_time"),
    _time("start_time", required=False),
    _time("end_time", required=False),
)

DEPOSITION_COLUMNS: Final = (
    _name("name", ResourceKind.DEPOSITION),
    _word("state", DepositionState, "DEPOSITION_STATE_"),
    _name("convention", ResourceKind.CONVENTION),
    _name("run", ResourceKind.RUN, required=False),
    _name("record", ResourceKind.RECORD, required=False),
    _text("rejection_reason", required=False, is_short=False),
    _count("file_count"),
    _time("create_time"),
    _time("update_time"),
)

RECORD_COLUMNS: Final = (
    _name("name", ResourceKind.RECORD),
    _text("srn"),
    _name("convention", ResourceKind.CONVENTION),
    _name("deposition", ResourceKind.DEPOSITION),
    _name("run", ResourceKind.RUN),
    _count("file_count"),
    _time("create_time"),
)

DELIVERY_COLUMNS: Final = (
    _name("name", ResourceKind.DELIVERY),
    _text("event_type"),
    _text("subject"),
    _text("handler"),
    _word("state", DeliveryState, "DELIVERY_STATE_"),
    _count("attempts"),
    _text("last_error", required=False, is_short=False),
    _time("create_time"),
    _time("update_time"),
    _time("next_attempt_time", required=False),
)
