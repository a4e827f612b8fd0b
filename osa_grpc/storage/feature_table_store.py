"""The catalog of feature tables, and how the tables themselves come to be.

Everything that changes a table happens under one advisory lock per hook, because
`CREATE TABLE IF NOT EXISTS` alone races with itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import asyncpg
import sqlalchemy as sa

from osa_grpc.application.storage_ports import Page, PageRequest
from osa_grpc.domain.column import ColumnType
from osa_grpc.domain.errors import ColumnConflict, ConflictError
from osa_grpc.domain.feature import FeatureTable, merge_feature_spec, query_columns
from osa_grpc.domain.hook import FeatureSpec, HookDefinition, TableFeatureSpec
from osa_grpc.domain.names import ConventionRef
from osa_grpc.storage.compilation import TYPE_NAMES, compile_statement
from osa_grpc.storage.feature_table import (
    addition,
    comments,
    creation,
    feature_table,
    query_table,
)
from osa_grpc.storage.paging import page_of, position_of
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("feature_table.sql")

_EXACT_COUNT: Final = 1000  # more rows than these are not counted one by one


class PostgresFeatureTableStore:
    """Feature tables, in one transaction."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def lock(self, hook: str) -> None:
        """Hold off everybody else's changes of this table until the transaction ends. Take several in the order of their names."""
        await self._connection.execute(_SQL["lock"], hook)

    async def find(self, hook: str) -> FeatureTable | None:
        """Return the catalog's entry, made or not, or None."""
        row = await self._connection.fetchrow(_SQL["find"], hook)
        if row is None:
            return None
        [entry] = await self._completed([_entry(row)])
        return entry

    async def list(self, page: PageRequest) -> Page[FeatureTable]:
        """Return a page of those that were made, by name."""
        (last,) = position_of(page, ColumnType.TEXT)
        rows = await self._connection.fetch(_SQL["list"], last, page.size + 1)
        found = page_of(rows, page, item=_entry, position=("hook",))
        return replace(found, items=await self._completed(found.items))

    async def record(self, hook: str, spec: FeatureSpec) -> FeatureTable:
        """Store what registration decided: a new entry, or the next version of it when `spec` differs. Under `lock`."""
        row = await self._connection.fetchrow(_SQL["find"], hook)
        if row is None or _entry(row).spec != spec:
            await self._connection.execute(_SQL["record"], hook, spec.model_dump_json())
        return await self._get(hook)

    async def create_table(self, hook: HookDefinition) -> FeatureTable:
        """Make the hook's feature table, or bring it to the catalog's version. Takes `lock` itself; idempotent.

        The one way in which feature tables come to be, for all callers. Without a catalog entry it makes one; what it makes is
        always the catalog's newest spec (a late redelivery takes nothing back), with optional columns that only this hook knows.

        Raises:
            ConflictError: the catalog, or the table that is there, has other columns.
            UnavailableError: somebody writes the table and would have to be waited for (`DATABASE_BUSY`).
        """
        await self.lock(hook.name)
        row = await self._connection.fetchrow(_SQL["find"], hook.name)
        spec = hook.feature if row is None else _extended(hook, _entry(row).spec)
        if row is None or spec != _entry(row).spec:
            await self._connection.execute(_SQL["record"], hook.name, spec.model_dump_json())
            row = await self._connection.fetchrow(_SQL["find"], hook.name)
        assert row is not None
        entry = _entry(row)
        await self._connection.execute(_SQL["limit_lock_waits"])
        await self._make(hook.name, entry.spec)
        if entry.made_version != entry.version:
            for statement in comments(feature_table(hook.name, entry.spec)):
                await self._connection.execute(statement)
            await self._connection.execute(_SQL["mark_made"], hook.name, entry.version)
        return await self._get(hook.name)

    async def _get(self, hook: str) -> FeatureTable:
        entry = await self.find(hook)
        assert entry is not None
        return entry

    async def _make(self, hook: str, spec: TableFeatureSpec) -> None:
        table = feature_table(hook, spec)
        there = {
            row["name"]: _shape(row["type"], required=row["required"])
            for row in await self._connection.fetch(_SQL["columns_there"], hook)
        }
        if not there:
            for statement in creation(table):
                await self._connection.execute(statement)
            return
        missing = _missing_columns(hook, spec, there)
        for name in missing:
            await self._connection.execute(addition(table, name))

    async def _completed(self, entries: Sequence[FeatureTable]) -> Sequence[FeatureTable]:
        """Add what the catalog's rows do not say: the conventions, and how many rows there are."""
        conventions: dict[str, list[ConventionRef]] = {}
        for row in await self._connection.fetch(_SQL["conventions"], [entry.hook for entry in entries]):
            ref = ConventionRef(id=row["convention_id"], version=row["convention_version"])
            conventions.setdefault(row["hook"], []).append(ref)
        counts = await self._row_counts([entry.hook for entry in entries if entry.made_version])
        return [
            entry.model_copy(
                update={
                    "conventions": tuple(conventions.get(entry.hook, ())),
                    "row_count_estimate": counts.get(entry.hook, 0),
                }
            )
            for entry in entries
        ]

    async def _row_counts(self, hooks: Sequence[str]) -> dict[str, int]:
        if not hooks:
            return {}
        statement, parameters = compile_statement(sa.union_all(*(_limited_count(hook) for hook in hooks)))
        rows = await self._connection.fetch(statement, *parameters)
        counts: dict[str, int] = {row[0]: row[1] for row in rows}
        for hook in hooks:
            if counts[hook] > _EXACT_COUNT:
                estimate = await self._connection.fetchval(_SQL["rows_estimated"], hook)
                counts[hook] = max(counts[hook], estimate)
        return counts


def _limited_count(hook: str) -> sa.Select[str, int]:
    one: sa.ColumnElement[int] = sa.literal_column("1", sa.Integer())
    rows = sa.select(one).select_from(query_table(hook, ())).limit(_EXACT_COUNT + 1)
    return sa.select(sa.literal(hook, sa.Text()), sa.func.count()).select_from(rows.subquery())


def _extended(hook: HookDefinition, existing: TableFeatureSpec) -> TableFeatureSpec:
    """Return the catalog's spec, with what only the hook has; the catalog's descriptions stay. Raises ConflictError."""
    known = {column.name for column in existing.columns}
    merged = merge_feature_spec(hook.name, existing, hook.feature)
    added = tuple(column for column in merged.columns if column.name not in known)
    return existing.model_copy(update={"columns": (*existing.columns, *added)})


def _missing_columns(hook: str, spec: TableFeatureSpec, there: dict[str, str]) -> list[str]:
    """Return the columns to add to a table that is there. Raises ConflictError when it has others."""
    columns = query_columns(spec)
    wanted = {column.name: _shape(TYPE_NAMES[column.type], required=column.required) for column in columns}
    optional = {column.name for column in columns if not column.required}
    conflicts = [
        ColumnConflict(column=name, expected=wanted.get(name, "absent"), found=there.get(name, "absent"))
        for name in (*wanted, *(name for name in there if name not in wanted))
        if there.get(name) != wanted.get(name) and (name in there or name not in optional)
    ]
    if conflicts:
        raise ConflictError(hook=hook, columns=conflicts)
    return [name for name in wanted if name not in there]


def _shape(type_name: str, *, required: bool) -> str:
    return f"{type_name}, required" if required else type_name


def _entry(row: asyncpg.Record) -> FeatureTable:
    return FeatureTable(
        hook=row["hook"],
        spec=TableFeatureSpec.model_validate_json(row["spec"]),
        version=row["version"],
        made_version=row["made_version"],
        made_spec=None
        if row["made_spec"] is None
        else TableFeatureSpec.model_validate_json(row["made_spec"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
