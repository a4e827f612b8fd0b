"""Filters, sorts and queries as checked trees: AIP-160 and AIP-132 after parsing, with every literal of its column's type."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from osa_grpc.domain.column import QueryColumn

FilterValue = str | float | int | bool | datetime | date | uuid.UUID
"""A literal, of the type its column holds. Instants have a time zone."""

CellValue = FilterValue | None
"""A value of a row; JSON columns hold JSON text."""


class Operator(StrEnum):
    """A comparison."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`column operator value`. A null on the left makes it false, for `!=` too."""

    column: QueryColumn
    operator: Operator
    value: FilterValue


@dataclass(frozen=True, kw_only=True)
class Contains:
    """`column:value`: the text contains it, in any case; for JSON arrays: one of the elements is it; for objects: it has that key;
    for other types, and for columns of a few words: equal.
    """

    column: QueryColumn
    value: FilterValue


@dataclass(frozen=True, kw_only=True)
class Present:
    """`column:*`: it is not null."""

    column: QueryColumn


@dataclass(frozen=True, kw_only=True)
class Not:
    """The opposite; what is neither true nor false (a null was compared) counts as false before it is negated."""

    operand: "Filter"


@dataclass(frozen=True, kw_only=True)
class And:
    """All of them."""

    operands: Sequence["Filter"]


@dataclass(frozen=True, kw_only=True)
class Or:
    """One of them at least."""

    operands: Sequence["Filter"]


Filter = Comparison | Contains | Present | Not | And | Or


@dataclass(frozen=True, kw_only=True)
class SortKey:
    """A column to sort by; nulls come last either way."""

    column: QueryColumn
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class FeatureQuery:
    """A query of one feature table. `order` ends with `id`, so that it is total. `after`: a position a page before gave."""

    hook: str
    columns: Sequence[QueryColumn]
    filter: Filter | None
    order: Sequence[SortKey]
    page_size: int
    max_bytes: int
    after: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """A row; values are positional against the query's columns."""

    values: Sequence[CellValue]
