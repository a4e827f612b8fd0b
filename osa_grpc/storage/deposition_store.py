import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

import asyncpg

from osa_grpc.application.storage_ports import ListQuery, Page, PageRequest
from osa_grpc.domain.column import ColumnType
from osa_grpc.domain.deposition import Deposition, DepositionFile, DepositionState
from osa_grpc.domain.names import ConventionRef, DepositionId, RecordRef, RunId
from osa_grpc.storage.listed_tables import DEPOSITIONS
from osa_grpc.storage.listing_query import read_keys
from osa_grpc.storage.paging import page_of, position_of
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("deposition.sql")
_FILE_SQL = Statements("deposition_file.sql")


class PostgresDepositionStore:
    """Depositions and their files, in one transaction."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def insert(
        self, deposition: DepositionId, convention: ConventionRef, metadata: Mapping[str, object]
    ) -> Deposition:
        """Store a new draft."""
        row = await self._connection.fetchrow(
            _SQL["insert"], deposition, convention.id, convention.version, _json(metadata)
        )
        assert row is not None
        return _deposition(row)

    async def find(self, deposition: DepositionId, *, for_update: bool = False) -> Deposition | None:
        """Return it, or None; `for_update` holds off other changes until the transaction ends."""
        statement = _SQL["find_for_update"] if for_update else _SQL["find"]
        row = await self._connection.fetchrow(statement, deposition)
        return None if row is None else _deposition(row)

    async def list(self, query: ListQuery) -> Page[Deposition]:
        """Return a page, by default the newest first."""
        keys = await read_keys(self._connection, DEPOSITIONS, query)
        return keys.page(await self._connection.fetch(_SQL["list"], keys.column()), _deposition)

    async def save(self, deposition: Deposition) -> Deposition:
        """Write metadata, state, run, record and rejection reason; raises `revision`, and gives back what is stored.
        After `find(for_update=True)`.

        Raises:
            LookupError: it is not there.
        """
        record = deposition.record
        row = await self._connection.fetchrow(
            _SQL["save"],
            deposition.id,
            _json(deposition.metadata),
            deposition.state,
            deposition.run,
            None if record is None else record.id,
            None if record is None else record.version,
            deposition.rejection_reason,
        )
        if row is None:
            raise LookupError(f"no deposition {deposition.id}")
        return _deposition(row)

    async def delete(self, deposition: DepositionId) -> Sequence[str]:
        """Delete it and its files; return the files' keys. Its runs stay."""
        return [row["key"] for row in await self._connection.fetch(_SQL["delete"], deposition)]

    async def insert_file(self, file: DepositionFile) -> DepositionFile | None:
        """Add a file and raise the deposition's revision and file count; None if one of that name is there."""
        row = await self._connection.fetchrow(
            _FILE_SQL["insert_file"],
            file.deposition,
            file.file_name,
            file.key,
            file.size_bytes,
            file.sha256,
            file.media_type,
            file.created_at,
        )
        return None if row is None else _file(row)

    async def find_file(self, deposition: DepositionId, file_name: str) -> DepositionFile | None:
        """Return it, or None."""
        row = await self._connection.fetchrow(_FILE_SQL["find_file"], deposition, file_name)
        return None if row is None else _file(row)

    async def list_files(self, deposition: DepositionId, page: PageRequest) -> Page[DepositionFile]:
        """Return a page, by name."""
        (after,) = position_of(page, ColumnType.TEXT)
        rows = await self._connection.fetch(_FILE_SQL["list_files"], deposition, after, page.size + 1)
        return page_of(rows, page, item=_file, position=("file_name",))

    async def delete_file(self, deposition: DepositionId, file_name: str) -> str | None:
        """Delete it and return its key; None if it is not there. Raises the revision."""
        key: str | None = await self._connection.fetchval(_FILE_SQL["delete_file"], deposition, file_name)
        return key

    async def file_keys(self) -> AsyncIterator[str]:
        """Stream every key there is, for the sweep of what no row knows. Memory is bounded."""
        async for row in self._connection.cursor(_FILE_SQL["file_keys"], prefetch=1000):
            yield row["key"]


def _json(metadata: Mapping[str, object]) -> str:
    return json.dumps(metadata, ensure_ascii=False, allow_nan=False)


def _deposition(row: asyncpg.Record) -> Deposition:
    return Deposition(
        id=DepositionId(str(row["id"])),
        convention=ConventionRef(id=row["convention_id"], version=row["convention_version"]),
        metadata=json.loads(row["metadata"]),
        file_count=row["file_count"],
        state=DepositionState(row["state"]),
        run=None if row["run_id"] is None else RunId(str(row["run_id"])),
        record=None
        if row["record_id"] is None
        else RecordRef(id=str(row["record_id"]), version=row["record_version"]),
        rejection_reason=row["rejection_reason"],
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _file(row: asyncpg.Record) -> DepositionFile:
    return DepositionFile(
        deposition=DepositionId(str(row["deposition_id"])),
        file_name=row["file_name"],
        key=row["key"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        media_type=row["media_type"],
        created_at=row["created_at"],
    )
