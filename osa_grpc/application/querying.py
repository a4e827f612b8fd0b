"""Reading feature tables: which there are, and their rows, filtered, sorted and page by page."""

from collections.abc import Sequence
from typing import Final

from osa_grpc.application.filtering import parse_filter, parse_order_by
from osa_grpc.application.query_errors import foreign_position
from osa_grpc.application.storage_ports import Page, PageRequest, Storage, Transaction
from osa_grpc.domain.column import SYSTEM_COLUMNS, ColumnType, QueryColumn
from osa_grpc.domain.errors import InvalidRequestError, NotFoundError, Violation
from osa_grpc.domain.feature import FeatureTable
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.filter import FeatureQuery, FeatureRow, SortKey
from osa_grpc.domain.names import feature_table_name
from osa_grpc.domain.position import TEXT_KEY_CHARACTERS, PositionError, parse_position

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 10_000

_BY_ID: Final = SortKey(column=SYSTEM_COLUMNS[0])


class FeatureQuerying:
    """Reads what hooks computed.

    Args:
        max_page_bytes: the most that a page's rows may take on the wire, so that they fit a message; a row alone always fits.
    """

    def __init__(self, *, storage: Storage, max_page_bytes: int) -> None:
        self._storage = storage
        self._max_page_bytes = max_page_bytes

    async def get(self, hook: str) -> FeatureTable:
        """Return a feature table that was made.

        Raises:
            NotFoundError: there is none of that name, or it is not made yet.
        """
        async with self._storage.reading() as transaction:
            return await _made(transaction, hook)

    async def list(self, page: PageRequest) -> Page[FeatureTable]:
        """Return a page of the feature tables that were made, by name."""
        async with self._storage.reading() as transaction:
            return await transaction.feature_tables.list(page)

    async def query(
        self,
        hook: str,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        columns: Sequence[str] = (),
        page_size: int = 0,
        after: Sequence[str] | None = None,
    ) -> tuple[Sequence[QueryColumn], Page[FeatureRow]]:
        """Return the columns that rows' values are positional against, and a page of rows.

        Args:
            hook: whose table.
            filter: which rows, in the filter language; blank: all.
            order_by: in which order; ties, and blank, go by `id`. Nulls come last.
            columns: which columns, in this order; empty: all.
            page_size: at most so many rows; 0: 100; more than 10000 is taken as that.
            after: a position that a page before gave, of the same filter, order and columns.

        Raises:
            NotFoundError: there is no such table.
            InvalidRequestError: `INVALID_FILTER`, `INVALID_ORDER_BY`, `UNKNOWN_COLUMN`, `INVALID_PAGE_TOKEN`, or a page size
                below 0.
        """
        if page_size < 0:
            violation = Violation(
                at=FieldPath("page_size"),
                message=f"expected 0 or more, found {page_size}",
                reason="OUT_OF_RANGE",
            )
            raise InvalidRequestError([violation])
        async with self._storage.reading() as transaction:
            table = await _made(transaction, hook)
            projection = _projection(columns, table.columns)
            order = _total(parse_order_by(order_by, table.columns))
            _check_position(after, order)
            page = await transaction.feature_rows.query(
                FeatureQuery(
                    hook=hook,
                    columns=projection,
                    filter=parse_filter(filter, table.columns),
                    order=order,
                    page_size=min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE),
                    max_bytes=self._max_page_bytes - _described_bytes(projection) - _token_bytes(order),
                    after=after,
                )
            )
        return projection, page


async def _made(transaction: Transaction, hook: str) -> FeatureTable:
    table = await transaction.feature_tables.find(hook)
    if table is None or table.made_version == 0:
        raise NotFoundError(
            resource_type="opensciencearchive.org/FeatureTable", name=feature_table_name(hook)
        )
    return table


def _projection(names: Sequence[str], known: Sequence[QueryColumn]) -> Sequence[QueryColumn]:
    by_name = {column.name: column for column in known}
    violations = []
    for i, name in enumerate(names):
        at = FieldPath("columns")[i]
        if name not in by_name:
            violations.append(
                Violation(at=at, message=f"there is no column {name[:63]!r}", reason="UNKNOWN_COLUMN")
            )
        elif name in names[:i]:
            violations.append(
                Violation(
                    at=at, message=f"expected each column once, found {name} again", reason="DUPLICATE_NAME"
                )
            )
    if violations:
        is_unknown = any(violation.reason == "UNKNOWN_COLUMN" for violation in violations)
        raise InvalidRequestError(violations, reason="UNKNOWN_COLUMN" if is_unknown else None)
    return [by_name[name] for name in names] or known


def _total(order: Sequence[SortKey]) -> Sequence[SortKey]:
    """End the order with `id`, which no two rows share; what comes after it has no say."""
    for i, key in enumerate(order):
        if key.column.name == _BY_ID.column.name:
            return order[: i + 1]
    return [*order, _BY_ID]


def _check_position(after: Sequence[str] | None, order: Sequence[SortKey]) -> None:
    if after is None:
        return
    try:
        parse_position(after, order)
    except PositionError as error:
        raise foreign_position() from error


def _described_bytes(columns: Sequence[QueryColumn]) -> int:
    """Return what the columns' own descriptions take on the wire, at most."""
    return sum(len((column.name + column.description + column.unit).encode()) + 32 for column in columns)


def _token_bytes(order: Sequence[SortKey]) -> int:
    """Return what the token of the next page takes, at most: a text of emoji, twelve bytes for each in JSON, in base64."""
    return 64 + sum(
        16 * (TEXT_KEY_CHARACTERS + 4) if key.column.type is ColumnType.TEXT else 128 for key in order
    )
