from typing import TYPE_CHECKING

import asyncpg

from osa_grpc.application.storage_ports import Page, PageRequest
from osa_grpc.domain.column import ColumnType
from osa_grpc.domain.convention import ConventionDefinition
from osa_grpc.domain.hook_summary import HookSummary, HookUse, VerdictCounts
from osa_grpc.domain.names import ConventionRef
from osa_grpc.storage.paging import newest_first, page_of, position_of
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("hook.sql")


class PostgresHookStore:
    """Hooks across conventions, in one transaction. A hook is there as soon as a convention with it is registered."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def find(self, hook: str) -> HookSummary | None:
        """Return it, or None."""
        row = await self._connection.fetchrow(_SQL["find"], hook)
        return None if row is None else _summary(row)

    async def list(self, page: PageRequest) -> Page[HookSummary]:
        """Return a page, by name."""
        (after,) = position_of(page, ColumnType.TEXT)
        rows = await self._connection.fetch(_SQL["list"], after, page.size + 1)
        return page_of(rows, page, item=_summary, position=("hook",))

    async def list_uses(self, hook: str, page: PageRequest) -> Page[HookUse]:
        """Return a page of the conventions that use it, the newest first."""
        rows = await self._connection.fetch(
            _SQL["list_uses"], hook, *newest_first(page, ColumnType.TEXT, ColumnType.TEXT), page.size + 1
        )
        return page_of(rows, page, item=lambda row: _use(row, hook), position=("created_at", "id", "version"))


def _summary(row: asyncpg.Record) -> HookSummary:
    convention = ConventionDefinition.model_validate_json(row["definition"])
    return HookSummary(
        definition=convention.hook(row["hook"]),
        convention_count=row["convention_count"],
        verdict_counts=VerdictCounts(passed=row["passed"], rejected=row["rejected"], failed=row["failed"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _use(row: asyncpg.Record, hook: str) -> HookUse:
    return HookUse(
        convention=ConventionRef(id=row["id"], version=row["version"]),
        definition=ConventionDefinition.model_validate_json(row["definition"]).hook(hook),
        created_at=row["created_at"],
    )
