from datetime import timedelta

import asyncpg
import pytest

from osa_grpc.application.storage_ports import ListQuery, PageRequest
from osa_grpc.domain.errors import UnavailableError
from osa_grpc.storage.database import Database
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import a_deposition


async def test_the_time_of_a_transaction_stands_still(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        first = await tx.now()
        assert await tx.now() == first
        assert first.utcoffset() == timedelta(0)
    async with storage.transaction() as tx:
        assert await tx.now() > first


async def test_nothing_is_visible_before_the_block_ends(storage: PostgresStorage) -> None:
    async with storage.transaction() as writing:
        draft = await a_deposition(writing)
        async with storage.reading() as reading:
            assert await reading.depositions.find(draft) is None
    async with storage.reading() as reading:
        assert await reading.depositions.find(draft) is not None


async def test_reading_writes_nothing(storage: PostgresStorage) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with storage.reading() as tx:
            await a_deposition(tx)


async def test_a_read_that_takes_too_long_is_ended_and_the_next_transaction_has_its_time(
    database_dsn: str, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connection.execute("BEGIN; LOCK TABLE osa.record")
    async with Database(dsn=database_dsn, max_size=1) as database:
        storage = PostgresStorage(
            database=database, doorbell=Doorbell(dsn=None), read_timeout=timedelta(milliseconds=20)
        )
        with pytest.raises(UnavailableError) as caught:
            async with storage.reading() as tx:
                await tx.records.list(ListQuery(page=PageRequest(size=1)))
        assert caught.value.reason == "DATABASE_TIMEOUT"
        await connection.execute("ROLLBACK")
        async with database.acquire() as used:
            assert await used.fetchval("SHOW statement_timeout") == "1min"
