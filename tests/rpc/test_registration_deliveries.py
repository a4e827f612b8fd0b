"""What a registration leaves to its delivery, which no client sees: workers of two servers on one database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from osa_grpc.application.delivery_worker import DeliveryWorker, Handler
from osa_grpc.application.registration import (
    MAKE_FEATURE_TABLES,
    give_up_feature_tables,
    make_feature_tables,
    register_convention,
)
from osa_grpc.application.storage_ports import Transaction, WorkerId
from osa_grpc.domain.convention import ConventionState
from osa_grpc.domain.errors import OsaError, ResourceExhaustedError, UnavailableError
from osa_grpc.domain.events import ConventionRegistered, DomainEvent
from osa_grpc.storage.database import Database
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import CONVENTION, definition

Connection = "asyncpg.Connection[asyncpg.Record]"


async def counted(connection: Connection) -> dict[str, Any]:
    """How much of everything there is."""
    return {
        name: await connection.fetchval(f"SELECT count(*) FROM osa.{name}")
        for name in ("convention", "feature_table", "event", "delivery")
    } | {"tables": await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'features'")}


class Deliveries:
    """Workers of several servers, each with connections of its own."""

    def __init__(self, dsn: str, stack: AsyncExitStack) -> None:
        self._dsn = dsn
        self._stack = stack

    async def worker(self, name: str, handle: Any = make_feature_tables) -> DeliveryWorker:
        doorbell = Doorbell(dsn=self._dsn)
        return DeliveryWorker(
            storage=await self.storage(doorbell),
            doorbell=doorbell,
            handlers={MAKE_FEATURE_TABLES: Handler(handle=handle, give_up=give_up_feature_tables)},
            worker=WorkerId(name),
        )

    async def storage(self, doorbell: Doorbell | None = None) -> PostgresStorage:
        database = await self._stack.enter_async_context(Database(dsn=self._dsn, max_size=4))
        return PostgresStorage(database=database, doorbell=doorbell or Doorbell(dsn=self._dsn))


@pytest.fixture
async def deliveries(database_dsn: str) -> AsyncIterator["Deliveries"]:
    async with AsyncExitStack() as stack:
        yield Deliveries(database_dsn, stack)


async def owed_again(connection: Connection) -> None:
    """Have every event delivered again."""
    await connection.execute(
        "UPDATE osa.delivery SET state = 'PENDING', next_attempt_at = now(), leased_by = NULL, leased_until = NULL"
    )


async def settled(deliveries: Deliveries, connection: Connection) -> dict[str, Any]:
    """What there is, of which nothing may be there twice."""
    async with (await deliveries.storage()).reading() as tx:
        found = await tx.conventions.find(CONVENTION)
    assert found is not None
    assert found.state is ConventionState.READY
    ready = await connection.fetchval("SELECT count(*) FROM osa.event WHERE type = 'ConventionReady'")
    assert ready == 1
    return await counted(connection)


async def test_an_event_delivered_again_changes_nothing(
    deliveries: Deliveries, connection: Connection
) -> None:
    async with (await deliveries.storage()).transaction() as tx:
        await register_convention(tx, definition())
    worker = await deliveries.worker("one")
    assert await worker.deliver_one()
    before = await settled(deliveries, connection)
    await owed_again(connection)
    assert await worker.deliver_one()
    assert not await worker.deliver_one()
    assert await settled(deliveries, connection) == before


async def test_an_event_handled_twice_at_once_on_two_connections_happens_once(
    deliveries: Deliveries, connection: Connection
) -> None:
    async with (await deliveries.storage()).transaction() as tx:
        await register_convention(tx, definition())
    storages = [await deliveries.storage() for _ in range(2)]
    event = ConventionRegistered(convention=CONVENTION, hooks=definition().hooks)

    async def handle(storage: PostgresStorage) -> None:
        async with storage.transaction() as tx:
            await make_feature_tables(tx, event)

    await asyncio.gather(*(handle(storage) for storage in storages))
    assert await (await deliveries.worker("one")).deliver_one()
    await settled(deliveries, connection)


async def test_a_worker_killed_before_its_commit_leaves_the_work_to_another(
    deliveries: Deliveries, connection: Connection
) -> None:
    async with (await deliveries.storage()).transaction() as tx:
        await register_convention(tx, definition())
    made = asyncio.Event()

    async def hanging(tx: Transaction, event: DomainEvent) -> None:
        await make_feature_tables(tx, event)
        made.set()
        await asyncio.Event().wait()

    killed = asyncio.create_task((await deliveries.worker("killed", hanging)).deliver_one())
    await made.wait()
    assert (await counted(connection))["tables"] == 0  # all of it is in its transaction
    backend = await connection.fetchval(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    assert backend
    killed.cancel()
    await asyncio.wait({killed})
    assert killed.cancelled()
    await connection.execute("UPDATE osa.delivery SET leased_until = now() - interval '1 second'")
    assert await (await deliveries.worker("other")).deliver_one()
    await settled(deliveries, connection)


@pytest.mark.parametrize(
    "obstacle",
    [
        UnavailableError("another transaction is in the way", reason="DATABASE_BUSY"),
        ResourceExhaustedError("the disk is full", reason="DATABASE_DISK_FULL"),
    ],
)
async def test_a_delivery_that_something_is_in_the_way_of_is_postponed_and_does_not_count(
    deliveries: Deliveries, connection: Connection, obstacle: OsaError
) -> None:
    async def busy(_tx: Transaction, _event: DomainEvent) -> None:
        raise obstacle

    storage = await deliveries.storage()
    async with storage.transaction() as tx:
        await register_convention(tx, definition())
    worker = await deliveries.worker("one", busy)
    assert await worker.deliver_one()
    row = await connection.fetchrow("SELECT state, attempts, last_error, leased_by FROM osa.delivery")
    assert tuple(row) == ("PENDING", 0, str(obstacle), None)
    assert not await worker.deliver_one()  # not due yet


async def test_an_error_of_whatever_length_and_letters_is_kept_within_bounds(
    deliveries: Deliveries, connection: Connection
) -> None:
    async def failing(_tx: Transaction, _event: DomainEvent) -> None:
        raise ValueError("\x00" + 10_000 * "é")

    async with (await deliveries.storage()).transaction() as tx:
        await register_convention(tx, definition())
    assert await (await deliveries.worker("one", failing)).deliver_one()
    error = await connection.fetchval("SELECT last_error FROM osa.delivery")
    assert error.startswith("ValueError: \N{REPLACEMENT CHARACTER}éé")
    assert len(error) == 4096
