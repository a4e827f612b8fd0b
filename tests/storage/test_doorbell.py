import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest

from osa_grpc.storage.database import Database
from osa_grpc.storage.doorbell import Doorbell
from tests.fixtures.postgres import PostgresServer

NOT_NOW = timedelta(0)
SOON = timedelta(seconds=20)
NEVER = timedelta(hours=1)

LISTENERS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'osa-grpc doorbell' AND datname = current_database()"


@contextlib.asynccontextmanager
async def running(doorbell: Doorbell) -> AsyncIterator[Doorbell]:
    role = asyncio.create_task(doorbell.run())
    try:
        await doorbell.ready.wait()
        yield doorbell
    finally:
        role.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await role


def by_ear_alone(dsn: str) -> Doorbell:
    """A doorbell that the clock never helps."""
    return Doorbell(dsn=dsn, poll_interval=NEVER, probe_interval=NEVER)


async def cut_listeners(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(f"SELECT pg_terminate_backend(pid, 5000) FROM ({LISTENERS}) AS listeners")
    await connection.close()
    return len(rows)


async def test_a_ring_reaches_another_process_when_the_transaction_commits(database_dsn: str) -> None:
    async with (
        running(by_ear_alone(database_dsn)) as near,
        running(by_ear_alone(database_dsn)) as far,
        Database(dsn=database_dsn) as database,
    ):
        with far.subscription("run") as bell:
            async with database.transaction() as connection:
                await near.notify(connection, ["run"])
                assert not await bell.wait(at_most=NOT_NOW)
            assert await bell.wait(at_most=SOON)


async def test_a_transaction_that_is_undone_rings_nobody(database_dsn: str) -> None:
    async with running(by_ear_alone(database_dsn)) as doorbell, Database(dsn=database_dsn) as database:
        with doorbell.subscription("undone") as undone, doorbell.subscription("done") as done:
            with contextlib.suppress(KeyError):
                async with database.transaction() as connection:
                    await doorbell.notify(connection, ["undone"])
                    raise KeyError
            async with database.transaction() as connection:
                await doorbell.notify(connection, ["done"])
            assert await done.wait(at_most=SOON)
            assert not await undone.wait(at_most=NOT_NOW)


async def test_what_was_rung_here_is_heard_by_the_others_only(database_dsn: str) -> None:
    async with (
        running(by_ear_alone(database_dsn)) as near,
        running(by_ear_alone(database_dsn)) as far,
        Database(dsn=database_dsn) as database,
    ):
        with near.subscription("run") as here, far.subscription("run") as there:
            async with database.transaction() as connection:
                await near.notify(connection, ["run"], is_rung_here=True)
            assert await there.wait(at_most=SOON)
            with near.subscription("later") as later:
                async with database.transaction() as connection:
                    await near.notify(connection, ["later"])
                assert await later.wait(at_most=SOON)  # so the first one has come, too
            assert not await here.wait(at_most=NOT_NOW)


async def test_a_local_ring_needs_no_database() -> None:
    doorbell = Doorbell(dsn=None)
    with doorbell.subscription("run") as bell, doorbell.subscription("other") as other:
        doorbell.ring("run")
        assert await bell.wait(at_most=NOT_NOW)
        assert not await other.wait(at_most=NOT_NOW)


async def test_many_rings_are_one() -> None:
    doorbell = Doorbell(dsn=None)
    with doorbell.subscription("run") as bell:
        for _ in range(1000):
            doorbell.ring("run")
        assert await bell.wait(at_most=NOT_NOW)
        bell.clear()
        assert not await bell.wait(at_most=NOT_NOW)


async def test_a_ring_between_clear_and_wait_is_kept() -> None:
    doorbell = Doorbell(dsn=None)
    with doorbell.subscription("run") as bell:
        bell.clear()
        doorbell.ring("run")
        await asyncio.sleep(0)
        assert await bell.wait(at_most=NOT_NOW)


async def test_one_transaction_sends_one_notification_for_each_key(database_dsn: str) -> None:
    heard: list[object] = []
    last = asyncio.Event()

    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        heard.append(payload)
        if payload == "end":
            last.set()

    listener = await asyncpg.connect(database_dsn)
    await listener.add_listener("osa_grpc", hear)
    async with Database(dsn=database_dsn) as database:
        doorbell = Doorbell(dsn=database_dsn)
        async with database.transaction() as connection:
            for _ in range(100):
                await doorbell.notify(connection, ["a", "b", "a"])
        async with database.transaction() as connection:
            await doorbell.notify(connection, ["end"])
    await last.wait()
    await listener.close()
    assert sorted(map(str, heard)) == ["a", "b", "end"]


async def test_a_listener_whose_connection_is_killed_while_events_flow_misses_nothing(
    database_dsn: str,
) -> None:
    async with running(by_ear_alone(database_dsn)) as doorbell, Database(dsn=database_dsn) as database:
        async with database.transaction() as connection:
            await connection.execute("CREATE TABLE news (n int)")
        last = 200
        cuts = 0

        async def write() -> None:
            nonlocal cuts
            for n in range(1, last + 1):
                async with database.transaction() as connection:
                    await connection.execute("INSERT INTO news VALUES ($1)", n)
                    await doorbell.notify(connection, ["news"])
                if n % 20 == 0:
                    cuts += await cut_listeners(database_dsn)

        seen: list[int] = []
        writing = asyncio.create_task(write())
        with doorbell.subscription("news") as bell:
            while last not in seen:
                bell.clear()
                async with database.acquire() as connection:
                    rows = await connection.fetch("SELECT n FROM news WHERE n > $1 ORDER BY n", len(seen))
                if rows:
                    seen += [row["n"] for row in rows]
                else:
                    assert await bell.wait(at_most=SOON)
        await writing
        assert seen == list(range(1, last + 1))
        assert cuts


async def test_everybody_is_rung_when_the_connection_is_made_again(database_dsn: str) -> None:
    async with running(by_ear_alone(database_dsn)) as doorbell:
        with doorbell.subscription("run") as bell:
            for _ in range(3):
                # The first ring says that the connection was lost, the second that there is a new one.
                assert await cut_listeners(database_dsn) == 1
                bell.clear()
                while not await has_listener(database_dsn):
                    assert await bell.wait(at_most=SOON)
                    bell.clear()


async def has_listener(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    found = await connection.fetchval(f"SELECT EXISTS ({LISTENERS})")
    await connection.close()
    return bool(found)


async def test_it_comes_back_when_the_server_does(postgres_server: PostgresServer) -> None:
    async with running(Doorbell(dsn=postgres_server.dsn, probe_interval=NEVER)) as doorbell:
        with doorbell.subscription("run") as bell:
            bell.clear()
            await asyncio.to_thread(postgres_server.kill)
            assert await bell.wait(at_most=SOON)  # deaf: the clock rings
            await asyncio.to_thread(postgres_server.start)
            async with Database(dsn=postgres_server.dsn) as database:
                bell.clear()
                while not await has_listener(postgres_server.dsn):
                    assert await bell.wait(at_most=SOON)
                    bell.clear()
                async with database.transaction() as connection:
                    bell.clear()
                    await doorbell.notify(connection, ["run"])
                assert await bell.wait(at_most=SOON)


async def test_a_server_that_vanished_without_a_word_is_found_out(database_dsn: str, tmp_path: Path) -> None:
    async with swallowing_proxy(database_dsn, tmp_path) as (dsn, swallow, connections):
        doorbell = Doorbell(
            dsn=dsn,
            poll_interval=timedelta(milliseconds=20),
            probe_interval=timedelta(milliseconds=20),
            probe_timeout=timedelta(milliseconds=200),
        )
        async with running(doorbell):
            with doorbell.subscription("run") as bell:
                bell.clear()
                swallow.set()
                assert await bell.wait(at_most=SOON)
                swallow.clear()
                await asyncio.wait_for(connections.acquire(), SOON.total_seconds())


@contextlib.asynccontextmanager
async def swallowing_proxy(
    dsn: str, directory: Path
) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Semaphore]]:
    """A proxy before Postgres that lets nothing through while the event is set; counts later connections."""
    server_socket = parse_qs(urlsplit(dsn).query)["host"][0] + "/.s.PGSQL.5432"
    swallow = asyncio.Event()
    again = asyncio.Semaphore(0)
    first = True
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not swallow.is_set():
                    writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        if not first and not swallow.is_set():
            again.release()
        first = False
        server_reader, server_writer = await asyncio.open_unix_connection(server_socket)
        for task in (pump(reader, server_writer), pump(server_reader, writer)):
            tasks.add(asyncio.create_task(task))

    listening = await asyncio.start_unix_server(serve, directory / ".s.PGSQL.5432")
    mine = f"postgresql://postgres@{urlsplit(dsn).path}?host={quote(str(directory), safe='')}&port=5432"
    try:
        yield mine, swallow, again
    finally:
        listening.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def test_with_notifications_switched_off_the_clock_rings() -> None:
    async with running(Doorbell(dsn=None, poll_interval=timedelta(milliseconds=10))) as doorbell:
        with doorbell.subscription("run") as bell:
            for _ in range(3):
                bell.clear()
                assert await bell.wait(at_most=SOON)


async def test_a_probe_that_is_heard_rings_nobody(database_dsn: str) -> None:
    doorbell = Doorbell(dsn=database_dsn, poll_interval=NEVER, probe_interval=timedelta(milliseconds=1))
    heard = asyncio.Event()
    probes = 0

    def count(*_: object) -> None:
        nonlocal probes
        probes += 1
        if probes == 10:
            heard.set()

    listener = await asyncpg.connect(database_dsn)
    await listener.add_listener("osa_grpc", count)
    async with running(doorbell):
        with doorbell.subscription("run") as bell:
            bell.clear()
            await asyncio.wait_for(heard.wait(), SOON.total_seconds())
            assert not await bell.wait(at_most=NOT_NOW)
    await listener.close()


async def test_a_subscription_that_ends_leaves_nothing() -> None:
    doorbell = Doorbell(dsn=None)
    with pytest.raises(KeyError), doorbell.subscription("run"), doorbell.subscription("run"):
        raise KeyError
    assert not doorbell._bells


async def test_a_doorbell_that_ends_leaves_no_session(database_dsn: str) -> None:
    async with running(by_ear_alone(database_dsn)):
        assert await has_listener(database_dsn)
    assert await cut_listeners(database_dsn) == 0
