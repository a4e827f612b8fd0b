import asyncio
from datetime import timedelta

import asyncpg

from osa_grpc.application.request_forgetting import RequestForgetter
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


async def aged(connection: "asyncpg.Connection[asyncpg.Record]", **hours: float) -> None:
    """Answers of such ages, by their request ids."""
    await connection.executemany(
        "INSERT INTO osa.request (method, request_id, fingerprint, answer, created_at) "
        "VALUES ('Submit', $1, '', '', now() - make_interval(secs => $2))",
        [(name, 3600 * age) for name, age in hours.items()],
    )


async def kept(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    return [
        row["request_id"] for row in await connection.fetch("SELECT request_id FROM osa.request ORDER BY 1")
    ]


async def test_answers_are_forgotten_from_their_age_on_the_oldest_first_a_few_at_a_time(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await aged(connection, a=23.9, b=24.1, c=30, d=25)
    day = timedelta(hours=24)
    async with storage.transaction() as tx:
        assert await tx.requests.purge(older_than=day, limit=2) == 2
    assert await kept(connection) == ["a", "b"]
    async with storage.transaction() as tx:
        assert await tx.requests.purge(older_than=day, limit=2) == 1
        assert await tx.requests.purge(older_than=day, limit=2) == 0
    assert await kept(connection) == ["a"]


async def test_servers_that_forget_at_once_do_not_wait_for_each_other(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await aged(connection, a=25, b=26, c=27)
    day = timedelta(hours=24)
    async with storage.transaction() as one:
        assert await one.requests.purge(older_than=day, limit=2) == 2
        async with storage.transaction() as other:
            assert await other.requests.purge(older_than=day, limit=2) == 1
    assert await kept(connection) == []


async def test_the_forgetter_goes_on_until_nothing_old_is_left(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await aged(connection, **{f"old{n}": 25 + n for n in range(7)}, new=1)
    forgetter = RequestForgetter(storage=storage, retention=timedelta(hours=24), batch=3)
    assert await forgetter.forget() == 7
    assert await forgetter.forget() == 0
    assert await kept(connection) == ["new"]
