from typing import TYPE_CHECKING

import asyncpg

from osa_grpc.application.ports import convention_bell
from osa_grpc.application.storage_ports import Page, PageRequest
from osa_grpc.domain.column import ColumnType
from osa_grpc.domain.convention import Convention, ConventionDefinition, ConventionState
from osa_grpc.domain.names import ConventionRef
from osa_grpc.storage.paging import newest_first, page_of
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("convention.sql")


class PostgresConventionStore:
    """Conventions, in one transaction. `rings` takes the bells to be rung at its commit."""

    def __init__(self, connection: "Connection", rings: set[str]) -> None:
        self._connection = connection
        self._rings = rings

    async def lock(self, ref: ConventionRef) -> None:
        """Hold off other registrations of this name until the transaction ends."""
        await self._connection.execute(_SQL["lock"], ref.key)

    async def insert(self, definition: ConventionDefinition) -> Convention:
        """Store a new one, PENDING."""
        row = await self._connection.fetchrow(
            _SQL["insert"],
            definition.ref.id,
            definition.ref.version,
            definition.model_dump_json(),
            [hook.name for hook in definition.hooks],
        )
        assert row is not None
        return _convention(row)

    async def find(self, ref: ConventionRef) -> Convention | None:
        """Return it, or None."""
        row = await self._connection.fetchrow(_SQL["find"], ref.id, ref.version)
        return None if row is None else _convention(row)

    async def list(self, page: PageRequest) -> Page[Convention]:
        """Return a page, the newest first."""
        rows = await self._connection.fetch(
            _SQL["list"], *newest_first(page, ColumnType.TEXT, ColumnType.TEXT), page.size + 1
        )
        return page_of(rows, page, item=_convention, position=("created_at", "id", "version"))

    async def mark_pending(self, ref: ConventionRef) -> bool:
        """FAILED → PENDING. False if it was not FAILED."""
        return await self._mark(_SQL["mark_pending"], ref)

    async def mark_ready(self, ref: ConventionRef) -> bool:
        """PENDING or FAILED → READY. False if it was READY already."""
        return await self._mark(_SQL["mark_ready"], ref)

    async def mark_failed(self, ref: ConventionRef, message: str) -> bool:
        """PENDING → FAILED. False if it was not PENDING."""
        return await self._mark(_SQL["mark_failed"], ref, message)

    async def _mark(self, statement: str, ref: ConventionRef, *arguments: str) -> bool:
        changed = await self._connection.fetchval(statement, ref.id, ref.version, *arguments) is not None
        if changed:
            self._rings.add(convention_bell(ref.name))
        return changed


def _convention(row: asyncpg.Record) -> Convention:
    return Convention(
        definition=ConventionDefinition.model_validate_json(row["definition"]),
        state=ConventionState(row["state"]),
        failure=row["failure"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
