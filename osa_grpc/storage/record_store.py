import json
from typing import TYPE_CHECKING

import asyncpg

from osa_grpc.application.storage_ports import ListQuery, Page
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.names import ConventionRef, DepositionId, RecordRef, RunId
from osa_grpc.domain.record import Record
from osa_grpc.storage.listed_tables import RECORDS
from osa_grpc.storage.listing_query import read_keys
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("record.sql")


class PostgresRecordStore:
    """Records, in one transaction."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def insert(self, record: Record) -> None:
        """Store a new record: one for a run.

        Raises:
            LeaseLostError: the run has its record already; another worker had taken it over.
        """
        inserted = await self._connection.fetchval(
            _SQL["insert"],
            record.ref.id,
            record.ref.version,
            record.srn,
            record.deposition,
            record.run,
            record.convention.id,
            record.convention.version,
            json.dumps(record.metadata, ensure_ascii=False, allow_nan=False),
            record.file_count,
            record.created_at,
        )
        if not inserted:
            raise LeaseLostError(f"run {record.run} has its record already")

    async def find(self, ref: RecordRef) -> Record | None:
        """Return it, or None."""
        row = await self._connection.fetchrow(_SQL["find"], ref.id, ref.version)
        return None if row is None else _record(row)

    async def list(self, query: ListQuery) -> Page[Record]:
        """Return a page, by default the newest first."""
        keys = await read_keys(self._connection, RECORDS, query)
        return keys.page(await self._connection.fetch(_SQL["list"], keys.column(0), keys.column(1)), _record)


def _record(row: asyncpg.Record) -> Record:
    return Record(
        ref=RecordRef(id=str(row["id"]), version=row["version"]),
        srn=row["srn"],
        deposition=DepositionId(str(row["deposition_id"])),
        run=RunId(str(row["run_id"])),
        convention=ConventionRef(id=row["convention_id"], version=row["convention_version"]),
        metadata=json.loads(row["metadata"]),
        file_count=row["file_count"],
        created_at=row["created_at"],
    )
