import asyncio
from datetime import timedelta

import asyncpg

from osa_grpc.application.ports import convention_bell
from osa_grpc.application.storage_ports import PageRequest
from osa_grpc.domain.convention import Convention, ConventionState
from osa_grpc.domain.names import ConventionRef
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import CONVENTION, definition, hook

NOT_NOW = timedelta(0)


async def test_a_convention_is_read_as_it_was_stored(storage: PostgresStorage) -> None:
    wanted = definition()
    async with storage.transaction() as tx:
        stored = await tx.conventions.insert(wanted)
    async with storage.reading() as tx:
        found = await tx.conventions.find(CONVENTION)
    assert found == stored
    assert stored.definition == wanted
    assert not stored.definition.differences(wanted)
    assert stored.state is ConventionState.PENDING


async def test_a_convention_that_is_not_there_is_not_found(storage: PostgresStorage) -> None:
    async with storage.reading() as tx:
        assert await tx.conventions.find(CONVENTION) is None


async def test_four_clients_at_once_store_one_convention(storage: PostgresStorage) -> None:
    async def register() -> Convention:
        async with storage.transaction() as tx:
            await tx.conventions.lock(CONVENTION)
            return await tx.conventions.find(CONVENTION) or await tx.conventions.insert(definition())

    answers = await asyncio.gather(*(register() for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)


async def test_a_convention_is_ready_once_and_fails_only_before(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        await tx.conventions.insert(definition())
        assert not await tx.conventions.mark_pending(CONVENTION)
        assert await tx.conventions.mark_failed(CONVENTION, "no room")
        assert not await tx.conventions.mark_failed(CONVENTION, "again")
        failed = await tx.conventions.find(CONVENTION)
        assert failed is not None
        assert (failed.state, failed.failure) == (ConventionState.FAILED, "no room")
        assert await tx.conventions.mark_pending(CONVENTION)
        assert await tx.conventions.mark_ready(CONVENTION)
        assert not await tx.conventions.mark_ready(CONVENTION)
        assert not await tx.conventions.mark_failed(CONVENTION, "late")
        assert not await tx.conventions.mark_pending(CONVENTION)
        ready = await tx.conventions.find(CONVENTION)
        assert ready is not None
        assert (ready.state, ready.failure) == (ConventionState.READY, None)


async def test_a_failed_convention_becomes_ready_by_a_late_delivery(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        await tx.conventions.insert(definition())
        await tx.conventions.mark_failed(CONVENTION, "no room")
        assert await tx.conventions.mark_ready(CONVENTION)


async def test_a_change_of_state_rings_who_watches_the_convention(
    storage: PostgresStorage, doorbell: Doorbell
) -> None:
    async with storage.transaction() as tx:
        await tx.conventions.insert(definition())
    with doorbell.subscription(convention_bell(CONVENTION.name)) as bell:
        async with storage.transaction() as tx:
            await tx.conventions.mark_ready(CONVENTION)
        assert await bell.wait(at_most=NOT_NOW)
        bell.clear()
        async with storage.transaction() as tx:
            await tx.conventions.mark_ready(CONVENTION)
        assert not await bell.wait(at_most=NOT_NOW)


async def test_pages_list_every_convention_once_the_newest_first(storage: PostgresStorage) -> None:
    # Two of each three have the same time, so that the keys after it count.
    for n in range(3):
        async with storage.transaction() as tx:
            for minor in range(3):
                await tx.conventions.insert(definition(ConventionRef(id=f"c{n}", version=f"1.{minor}.0")))
    seen: list[str] = []
    page = PageRequest(size=2)
    async with storage.reading() as tx:
        while True:
            listed = await tx.conventions.list(page)
            seen += [convention.ref.key for convention in listed.items]
            if listed.after is None:
                break
            page = PageRequest(size=2, after=listed.after)
    assert seen == [f"c{n}@1.{minor}.0" for n in (2, 1, 0) for minor in (2, 1, 0)]


async def test_the_hooks_of_a_convention_are_listed_with_their_feature_tables(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with storage.transaction() as tx:
        await tx.conventions.insert(definition(CONVENTION, hook("a"), hook("b")))
    rows = await connection.fetch("SELECT * FROM osa.convention_feature_table ORDER BY hook")
    assert [tuple(row) for row in rows] == [("pdb-structures", "1.0.0", name) for name in ("a", "b")]
