"""Transactions on Postgres: every store bound to one connection, and the bells rung once, at the commit.

NOTIFY takes a lock of the whole database at commit, so the stores collect the bells, and a transaction gives out each once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from osa_grpc.application.storage_ports import (
    ConventionStore,
    DepositionStore,
    EventStore,
    FeatureRowStore,
    FeatureTableStore,
    HookStore,
    RecordStore,
    RequestStore,
    RunLogStore,
    RunStore,
    Transaction,
)
from osa_grpc.storage.convention_store import PostgresConventionStore
from osa_grpc.storage.database import Database
from osa_grpc.storage.deposition_store import PostgresDepositionStore
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.event_store import PostgresEventStore
from osa_grpc.storage.feature_rows import PostgresFeatureRowStore
from osa_grpc.storage.feature_table_store import PostgresFeatureTableStore
from osa_grpc.storage.hook_store import PostgresHookStore
from osa_grpc.storage.record_store import PostgresRecordStore
from osa_grpc.storage.request_store import PostgresRequestStore
from osa_grpc.storage.run_log_store import PostgresRunLogStore
from osa_grpc.storage.run_store import PostgresRunStore
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("transaction.sql")


class PostgresTransaction:
    """One transaction, and every store bound to it."""

    def __init__(self, connection: "Connection", rings: set[str]) -> None:
        self._connection = connection
        self.conventions: ConventionStore = PostgresConventionStore(connection, rings)
        self.feature_tables: FeatureTableStore = PostgresFeatureTableStore(connection)
        self.feature_rows: FeatureRowStore = PostgresFeatureRowStore(connection)
        self.depositions: DepositionStore = PostgresDepositionStore(connection)
        self.runs: RunStore = PostgresRunStore(connection, rings)
        self.run_logs: RunLogStore = PostgresRunLogStore(connection, rings)
        self.records: RecordStore = PostgresRecordStore(connection)
        self.requests: RequestStore = PostgresRequestStore(connection)
        self.events: EventStore = PostgresEventStore(connection, rings)
        self.hooks: HookStore = PostgresHookStore(connection)

    async def now(self) -> datetime:
        """Return the transaction's time, with time zone."""
        now: datetime = await self._connection.fetchval(_SQL["now"])
        return now


class PostgresStorage:
    """The database.

    Args:
        database: connected by whoever made it.
        doorbell: rung for what transactions write; it need not be running.
        read_timeout: the longest a statement of `reading` may take.
    """

    def __init__(
        self,
        *,
        database: Database,
        doorbell: Doorbell,
        read_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._database = database
        self._doorbell = doorbell
        self._read_timeout = read_timeout

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begin a transaction; it commits when the block ends, and rings whoever waits for what it wrote.

        Raises:
            UnavailableError: the database is away (`DATABASE_UNAVAILABLE`).
        """
        rings: set[str] = set()
        is_committing = False
        try:
            async with self._database.transaction() as connection:
                yield PostgresTransaction(connection, rings)
                await self._doorbell.notify(connection, rings, is_rung_here=True)
                is_committing = True
        finally:
            # Those of this process need not wait for the way through the database. A commit that was cut off may have
            # happened, and a ring too many harms nobody.
            if is_committing:
                for key in rings:
                    self._doorbell.ring(key)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Begin a read-only transaction with a statement timeout; cheaper, and it blocks nobody. All of it sees one moment."""
        async with self._database.transaction(isolation="repeatable_read", readonly=True) as connection:
            limit = str(int(self._read_timeout.total_seconds() * 1000))
            await connection.execute(_SQL["limit_statements"], limit)
            yield PostgresTransaction(connection, set())
