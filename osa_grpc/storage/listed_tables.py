"""The tables behind lists, as their filters and orders see them: the contract's fields over the columns there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from osa_grpc.application.listing import (
    DELIVERY_COLUMNS,
    DEPOSITION_COLUMNS,
    RECORD_COLUMNS,
    RUN_COLUMNS,
)
from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.filter import SortKey
from osa_grpc.storage.filter_condition import Parts

Expression = sa.ColumnElement[Any]


@dataclass(frozen=True, kw_only=True)
class ListedTable:
    """A table as its list sees it.

    `columns` has an expression for each of the list's columns and for those of `newest_first`; `parts` what its names are made of.
    `key` tells rows apart: ties are ordered by it.
    """

    source: sa.FromClause
    columns: Mapping[str, Expression]
    parts: Parts
    key: Sequence[QueryColumn]
    newest_first: Sequence[SortKey]


def _listed(
    source: sa.FromClause,
    listed: Sequence[QueryColumn],
    *,
    columns: Mapping[str, Expression],
    names: Mapping[str, tuple[str, Sequence[Expression]]],
    key: Mapping[str, tuple[ColumnType, Expression]],
    newest_first: Sequence[str],
) -> ListedTable:
    """Return it; `names` has, for each column of names, their collection and parts."""
    expressions = {
        **columns,
        **{column: _name(collection, parts) for column, (collection, parts) in names.items()},
    }
    assert set(expressions) == {column.name for column in listed}
    keys = [QueryColumn(name=name, type=kind, system=True, required=True) for name, (kind, _) in key.items()]
    known = {column.name: column for column in (*listed, *keys)}
    return ListedTable(
        source=source,
        columns={**expressions, **{name: expression for name, (_, expression) in key.items()}},
        parts={column: parts for column, (_, parts) in names.items()},
        key=keys,
        newest_first=[SortKey(column=known[column], descending=True) for column in newest_first],
    )


def _name(collection: str, parts: Sequence[Expression]) -> Expression:
    """Return a resource's name; null where it has none."""
    text: Expression = sa.literal_column(f"'{collection}/'", sa.Text())
    for i, part in enumerate(parts):
        at = [sa.literal_column("'@'", sa.Text())] if i else []
        for piece in (*at, sa.cast(part, sa.Text())):
            text = text.concat(piece)
    return _by_bytes(text)


def _table(name: str, **columns: sa.types.TypeEngine[Any]) -> sa.TableClause:
    return sa.table(name, *(sa.column(column, kind) for column, kind in columns.items()), schema="osa")


def _by_bytes(text: Expression) -> Expression:
    """Return a text that sorts and compares by its bytes, whatever the database's locale, as `keyset` takes it to."""
    return sa.collate(text, "C")


def _json_text(column: Expression, key: str) -> Expression:
    """Return a text in a JSON object. The key is part of the statement, as it is of an index."""
    return _by_bytes(column.op("->>", return_type=sa.Text())(sa.literal_column(f"'{key}'", sa.Text())))


_TEXT: Final = sa.Text(collation="C")
_TIME: Final = sa.DateTime(timezone=True)

_RUN = _table(
    "run",
    id=sa.Uuid(),
    source=JSONB(),
    convention_id=_TEXT,
    convention_version=_TEXT,
    state=sa.Text(),
    failure=JSONB(),
    rejection_reason=sa.Text(),
    record_id=sa.Uuid(),
    record_version=sa.Integer(),
    retry_of=sa.Uuid(),
    created_at=_TIME,
    started_at=_TIME,
    ended_at=_TIME,
)
RUNS: Final = _listed(
    _RUN,
    RUN_COLUMNS,
    columns={
        "state": _by_bytes(_RUN.c.state),
        "failure_kind": _json_text(_RUN.c.failure, "kind"),
        "rejection_reason": _by_bytes(_RUN.c.rejection_reason),
        "create_time": _RUN.c.created_at,
        "start_time": _RUN.c.started_at,
        "end_time": _RUN.c.ended_at,
    },
    names={
        "name": ("runs", [_RUN.c.id]),
        "convention": ("conventions", [_RUN.c.convention_id, _RUN.c.convention_version]),
        "deposition": ("depositions", [_json_text(_RUN.c.source, "deposition")]),
        "retry_of": ("runs", [_RUN.c.retry_of]),
        "record": ("records", [_RUN.c.record_id, _RUN.c.record_version]),
    },
    key={"id": (ColumnType.UUID, _RUN.c.id)},
    newest_first=["create_time", "id"],
)

_DEPOSITION = _table(
    "deposition",
    id=sa.Uuid(),
    convention_id=_TEXT,
    convention_version=_TEXT,
    state=sa.Text(),
    run_id=sa.Uuid(),
    record_id=sa.Uuid(),
    record_version=sa.Integer(),
    rejection_reason=sa.Text(),
    file_count=sa.Integer(),
    created_at=_TIME,
    updated_at=_TIME,
)
DEPOSITIONS: Final = _listed(
    _DEPOSITION,
    DEPOSITION_COLUMNS,
    columns={
        "state": _by_bytes(_DEPOSITION.c.state),
        "rejection_reason": _by_bytes(_DEPOSITION.c.rejection_reason),
        "file_count": _DEPOSITION.c.file_count,
        "create_time": _DEPOSITION.c.created_at,
        "update_time": _DEPOSITION.c.updated_at,
    },
    names={
        "name": ("depositions", [_DEPOSITION.c.id]),
        "convention": ("conventions", [_DEPOSITION.c.convention_id, _DEPOSITION.c.convention_version]),
        "run": ("runs", [_DEPOSITION.c.run_id]),
        "record": ("records", [_DEPOSITION.c.record_id, _DEPOSITION.c.record_version]),
    },
    key={"id": (ColumnType.UUID, _DEPOSITION.c.id)},
    newest_first=["create_time", "id"],
)

_RECORD = _table(
    "record",
    id=sa.Uuid(),
    version=sa.Integer(),
    srn=sa.Text(),
    deposition_id=sa.Uuid(),
    run_id=sa.Uuid(),
    convention_id=_TEXT,
    convention_version=_TEXT,
    file_count=sa.Integer(),
    created_at=_TIME,
)
RECORDS: Final = _listed(
    _RECORD,
    RECORD_COLUMNS,
    columns={
        "srn": _by_bytes(_RECORD.c.srn),
        "file_count": _RECORD.c.file_count,
        "create_time": _RECORD.c.created_at,
    },
    names={
        "name": ("records", [_RECORD.c.id, _RECORD.c.version]),
        "convention": ("conventions", [_RECORD.c.convention_id, _RECORD.c.convention_version]),
        "deposition": ("depositions", [_RECORD.c.deposition_id]),
        "run": ("runs", [_RECORD.c.run_id]),
    },
    key={"id": (ColumnType.UUID, _RECORD.c.id), "version": (ColumnType.INTEGER, _RECORD.c.version)},
    newest_first=["create_time", "id", "version"],
)

_DELIVERY = _table(
    "delivery",
    id=sa.BigInteger(),
    event_id=sa.BigInteger(),
    handler=sa.Text(),
    state=sa.Text(),
    attempts=sa.Integer(),
    next_attempt_at=_TIME,
    last_error=sa.Text(),
    updated_at=_TIME,
)
_EVENT = _table("event", id=sa.BigInteger(), type=sa.Text(), key=sa.Text(), occurred_at=_TIME)
DELIVERIES: Final = _listed(
    _DELIVERY.join(_EVENT, _EVENT.c.id == _DELIVERY.c.event_id),
    DELIVERY_COLUMNS,
    columns={
        "event_type": _by_bytes(_EVENT.c.type),
        "subject": _by_bytes(_EVENT.c.key),
        "handler": _by_bytes(_DELIVERY.c.handler),
        "state": _by_bytes(_DELIVERY.c.state),
        "attempts": _DELIVERY.c.attempts,
        "last_error": _by_bytes(_DELIVERY.c.last_error),
        "create_time": _EVENT.c.occurred_at,
        "update_time": _DELIVERY.c.updated_at,
        "next_attempt_time": sa.case((_DELIVERY.c.state == "PENDING", _DELIVERY.c.next_attempt_at)),
    },
    names={"name": ("deliveries", [_DELIVERY.c.id])},
    key={"id": (ColumnType.INTEGER, _DELIVERY.c.id)},
    newest_first=["id"],
)
