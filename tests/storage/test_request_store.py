import asyncio

import asyncpg

from osa_grpc.application.storage_ports import StoredAnswer
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import until_somebody_waits

ANSWER = StoredAnswer(fingerprint=b"\x00\x01", answer=b"\xff answer")


async def test_a_request_is_answered_with_what_was_stored_for_its_method(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        assert await tx.requests.find("Submit", "id") is None
        await tx.requests.insert("Submit", "id", ANSWER)
    async with storage.transaction() as tx:
        assert await tx.requests.find("Submit", "id") == ANSWER
        assert await tx.requests.find("Cancel", "id") is None
        assert await tx.requests.find("Submit", "other") is None


async def test_the_same_request_twice_at_once_waits_for_the_first_ones_answer(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async def second() -> StoredAnswer | None:
        async with storage.transaction() as tx:
            return await tx.requests.find("Submit", "id")

    async with storage.transaction() as tx:
        assert await tx.requests.find("Submit", "id") is None
        waiting = asyncio.create_task(second())
        await until_somebody_waits(connection)
        await tx.requests.insert("Submit", "id", ANSWER)
    assert await waiting == ANSWER
