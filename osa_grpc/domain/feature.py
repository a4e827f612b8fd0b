"""Feature tables as the catalog knows them, and what becomes of one when a hook is registered.

Same columns, or fewer where the missing ones are optional: the table serves as it is. New optional columns, changed description or
unit: an additive change. Anything else is a conflict, named column by column.
"""

from datetime import datetime

from osa_grpc.domain.column import SYSTEM_COLUMNS, QueryColumn
from osa_grpc.domain.errors import ColumnConflict, ConflictError
from osa_grpc.domain.hook import MAX_COLUMNS, FeatureSpec, TableFeatureSpec
from osa_grpc.domain.names import ConventionRef
from osa_grpc.domain.value import Value


class FeatureTable(Value):
    """A feature table. `spec` has every column ever registered; `version` rises when it changes."""

    hook: str
    spec: FeatureSpec
    version: int = 1
    made_version: int = 0
    """The version the table in Postgres has; 0: not made yet."""
    made_spec: FeatureSpec | None = None
    """The spec of `made_version`; None: not made yet. It lags behind `spec` until the table is brought to its version."""
    row_count_estimate: int = 0
    conventions: tuple[ConventionRef, ...] = ()
    created_at: datetime
    updated_at: datetime

    @property
    def columns(self) -> tuple[QueryColumn, ...]:
        """The columns as a query sees them: system columns, then the declared ones in order; those the table has, once made."""
        return query_columns(self.made_spec or self.spec)


def query_columns(spec: TableFeatureSpec) -> tuple[QueryColumn, ...]:
    """Return the columns of such a feature as a query sees them."""
    return (*SYSTEM_COLUMNS, *(QueryColumn.of(column) for column in spec.columns))


def merge_feature_spec(hook: str, existing: TableFeatureSpec, wanted: TableFeatureSpec) -> TableFeatureSpec:
    """Return what the table's spec becomes when a hook brings `wanted`; equal to `existing` when it serves as it is.

    Raises:
        ConflictError: the wanted columns do not fit; every column that differs.
    """
    conflicts: list[ColumnConflict] = []
    if existing.cardinality is not wanted.cardinality:
        conflicts.append(
            ColumnConflict(column="", expected=existing.cardinality.value, found=wanted.cardinality.value)
        )
    brought = {column.name: column for column in wanted.columns}
    merged = []
    for column in existing.columns:
        other = brought.pop(column.name, None)
        if other is None:
            if column.required:
                conflicts.append(ColumnConflict.between(column, None))
            merged.append(column)
        elif other.shape != column.shape:
            conflicts.append(ColumnConflict.between(column, other))
        else:
            merged.append(other)
    for column in brought.values():
        if column.required:
            conflicts.append(ColumnConflict.between(None, column))
        merged.append(column)
    if len(merged) > MAX_COLUMNS:
        first = merged[MAX_COLUMNS].name
        conflicts.append(
            ColumnConflict(
                column=first, expected=f"at most {MAX_COLUMNS} columns", found=f"{len(merged)} columns"
            )
        )
    if conflicts:
        raise ConflictError(hook=hook, columns=conflicts)
    return TableFeatureSpec(cardinality=existing.cardinality, columns=tuple(merged))
