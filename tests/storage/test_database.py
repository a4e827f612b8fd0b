import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from osa_grpc.domain.errors import ResourceExhaustedError, UnavailableError
from osa_grpc.storage.database import Database, place
from tests.fixtures.postgres import PostgresServer

AT_ONCE = timedelta(0)


async def terminate(dsn: str, pid: int) -> None:
    """Cut a session of the server, and wait until it is gone."""
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    await connection.close()


async def test_a_transaction_that_is_cancelled_as_it_begins_or_ends_leaves_none_open_and_no_word(
    database_dsn: str,
) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with Database(dsn=database_dsn, max_size=1) as database:

        async def use() -> None:
            async with database.transaction():
                pass

        for moment in range(200):
            using = asyncio.create_task(use())
            if moment < 30:
                for _ in range(moment):
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(moment * 1e-5)
            using.cancel()
            await asyncio.gather(using, return_exceptions=True)
        async with database.acquire() as connection:
            assert not connection.is_in_transaction()
    assert complaints == []


async def test_a_transaction_that_is_cancelled_as_it_is_undone_leaves_none_open_and_no_word(
    database_dsn: str,
) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with Database(dsn=database_dsn, max_size=1) as database:

        async def use(began: asyncio.Event) -> None:
            async with database.transaction():
                began.set()
                await asyncio.Event().wait()

        for steps in range(20):
            began = asyncio.Event()
            using = asyncio.create_task(use(began))
            await began.wait()
            using.cancel()
            for _ in range(steps):
                await asyncio.sleep(0)
            using.cancel()
            await asyncio.gather(using, return_exceptions=True)
        async with database.acquire() as connection:
            assert not connection.is_in_transaction()
    assert complaints == []


async def test_a_transaction_commits_when_its_block_ends(database_dsn: str) -> None:
    async with Database(dsn=database_dsn) as database:
        async with database.transaction() as connection:
            await connection.execute("CREATE TABLE kept (n int)")
        async with database.acquire() as connection:
            assert await connection.fetchval("SELECT count(*) FROM kept") == 0


async def test_a_transaction_is_undone_when_its_block_raises(database_dsn: str) -> None:
    async with Database(dsn=database_dsn) as database:
        with pytest.raises(KeyError):  # noqa: PT012 - the whole block is the matter
            async with database.transaction() as connection:
                await connection.execute("CREATE TABLE kept (n int)")
                raise KeyError
        async with database.acquire() as connection:
            assert await connection.fetchval("SELECT to_regclass('kept')") is None


async def test_a_cancelled_transaction_is_undone_and_gives_its_connection_back(database_dsn: str) -> None:
    async with Database(dsn=database_dsn, max_size=1) as database:
        begun = asyncio.Event()

        async def work() -> None:
            async with database.transaction() as connection:
                await connection.execute("CREATE TABLE kept (n int)")
                begun.set()
                await connection.execute("SELECT pg_sleep(60)")

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with database.acquire() as connection:
            assert await connection.fetchval("SELECT to_regclass('kept')") is None


async def test_whoever_is_cancelled_is_cancelled_though_the_connection_breaks_at_that_moment(
    database_dsn: str,
) -> None:
    async with Database(dsn=database_dsn, max_size=1) as database:
        copying = asyncio.Event()

        async def rows() -> AsyncIterator[tuple[int]]:
            yield (1,)
            copying.set()
            await asyncio.Event().wait()

        async def work() -> None:
            async with database.transaction() as connection:
                await connection.execute("CREATE TABLE kept (n int)")
                await connection.copy_records_to_table("kept", records=rows())

        task = asyncio.create_task(work())
        await copying.wait()
        assert database._pool is not None
        database._pool.terminate()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_driver_that_lost_its_place_has_lost_its_connection(database_dsn: str) -> None:
    async with Database(dsn=database_dsn) as database:
        with pytest.raises(UnavailableError, match="away"):
            async with database.transaction():
                raise asyncpg.InternalClientError(
                    "cannot switch to state 21; another operation (2) is in progress"
                )


async def test_a_read_only_transaction_writes_nothing(database_dsn: str) -> None:
    async with Database(dsn=database_dsn) as database:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with database.transaction(readonly=True) as connection:
                await connection.execute("CREATE TABLE kept (n int)")


async def test_errors_of_the_statement_itself_stay_what_they_are(database_dsn: str) -> None:
    async with Database(dsn=database_dsn) as database:
        with pytest.raises(asyncpg.UndefinedTableError):
            async with database.transaction() as connection:
                await connection.execute("SELECT * FROM nowhere")
        with pytest.raises(ConnectionResetError):
            async with database.transaction():
                raise ConnectionResetError  # somebody else's connection


async def test_a_session_that_is_cut_is_unavailable_and_the_pool_recovers(database_dsn: str) -> None:
    async with Database(dsn=database_dsn, max_size=1) as database:
        with pytest.raises(UnavailableError) as caught:  # noqa: PT012 - the whole block is the matter
            async with database.transaction() as connection:
                await terminate(database_dsn, connection.get_server_pid())
                await connection.execute("SELECT 1")
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
        assert isinstance(caught.value.__cause__, asyncpg.PostgresError | asyncpg.InterfaceError)
        async with database.acquire() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_what_failed_first_counts_when_the_session_is_cut_too(database_dsn: str) -> None:
    async with Database(dsn=database_dsn) as database:
        with pytest.raises(KeyError):  # noqa: PT012 - the whole block is the matter
            async with database.transaction() as connection:
                await terminate(database_dsn, connection.get_server_pid())
                raise KeyError


async def test_an_idle_session_that_was_cut_is_not_handed_out(database_dsn: str) -> None:
    async with Database(dsn=database_dsn, max_size=1) as database:
        async with database.acquire() as connection:
            pid = connection.get_server_pid()
        await terminate(database_dsn, pid)
        async with database.acquire() as connection:
            assert connection.get_server_pid() != pid


async def test_a_server_that_went_away_is_unavailable_until_it_is_back(
    postgres_server: PostgresServer,
) -> None:
    async with Database(dsn=postgres_server.dsn) as database:
        with pytest.raises(UnavailableError):  # noqa: PT012 - the whole block is the matter
            async with database.transaction() as connection:
                postgres_server.kill()
                await connection.execute("SELECT 1")
        with pytest.raises(UnavailableError, match="database is away"):
            async with database.transaction():
                pass
        postgres_server.start()
        async with database.transaction() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_connect_waits_for_a_server_that_is_starting(postgres_server: PostgresServer) -> None:
    postgres_server.stop()
    database = Database(dsn=postgres_server.dsn)
    connecting = asyncio.create_task(database.connect())
    await asyncio.to_thread(postgres_server.start)
    await connecting
    await database.aclose()


async def test_a_server_that_is_not_there_is_named_without_the_password(unused_tcp_port: int) -> None:
    dsn = f"postgresql://me:secret@127.0.0.1:{unused_tcp_port}/archive"
    with pytest.raises(
        UnavailableError, match=f"127.0.0.1:{unused_tcp_port}/archive cannot be reached"
    ) as caught:
        await Database(dsn=dsn, connect_patience=AT_ONCE).connect()
    assert "secret" not in str(caught.value)


async def test_a_database_that_does_not_exist_is_refused_at_once(postgres: PostgresServer) -> None:
    with pytest.raises(UnavailableError, match='database "nowhere" does not exist') as caught:
        await Database(dsn=postgres.dsn_of("nowhere"), connect_patience=timedelta(hours=1)).connect()
    assert caught.value.reason == "DATABASE_REFUSED"


async def test_a_pool_in_use_to_the_last_connection_is_busy(database_dsn: str) -> None:
    database = Database(dsn=database_dsn, max_size=1, acquire_timeout=timedelta(milliseconds=20))
    async with database, database.acquire():
        with pytest.raises(UnavailableError) as caught:
            async with database.acquire():
                pass
    assert caught.value.reason == "DATABASE_BUSY"


async def test_a_statement_that_takes_too_long_is_ended(database_dsn: str) -> None:
    async with Database(dsn=database_dsn, statement_timeout=timedelta(milliseconds=20)) as database:
        with pytest.raises(UnavailableError) as caught:
            async with database.transaction() as connection:
                await connection.execute("SELECT pg_sleep(60)")
    assert caught.value.reason == "DATABASE_TIMEOUT"


async def test_a_full_disk_is_named(database_dsn: str) -> None:
    async with Database(dsn=database_dsn) as database:
        with pytest.raises(ResourceExhaustedError, match="disk is full"):
            async with database.transaction() as connection:
                await connection.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$")


async def test_a_database_that_takes_no_writes_is_unavailable_until_it_does(database_dsn: str) -> None:
    async with Database(dsn=database_dsn, max_size=1) as database:
        async with database.acquire() as connection:  # as every session of a server that fails over
            await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(UnavailableError) as caught:
            async with database.transaction() as connection:
                await connection.execute("CREATE TABLE kept (n int)")
        assert caught.value.reason == "DATABASE_READ_ONLY"
        async with database.acquire() as connection:
            await connection.execute("SET default_transaction_read_only = off")
        async with database.transaction() as connection:
            await connection.execute("CREATE TABLE kept (n int)")


async def test_of_two_transactions_that_wait_for_each_other_one_is_told_to_try_again(
    database_dsn: str,
) -> None:
    async with Database(dsn=database_dsn) as database:
        async with database.transaction() as connection:
            await connection.execute("CREATE TABLE a (); CREATE TABLE b ()")
        both_hold = asyncio.Barrier(2)

        async def take(first: str, second: str) -> None:
            async with database.transaction() as connection:
                await connection.execute(f"LOCK TABLE {first}")
                await both_hold.wait()
                await connection.execute(f"LOCK TABLE {second}")

        ends = await asyncio.gather(take("a", "b"), take("b", "a"), return_exceptions=True)
    [refused] = [end for end in ends if end is not None]
    assert isinstance(refused, UnavailableError)
    assert refused.reason == "DATABASE_BUSY"


async def test_a_server_without_room_is_unavailable(database_dsn: str) -> None:
    name = database_dsn.partition("@/")[2].partition("?")[0]
    admin = await asyncpg.connect(database_dsn)
    await admin.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 0")
    with pytest.raises(UnavailableError, match="too many connections"):
        await Database(dsn=database_dsn.replace("postgres@", f"{name}@"), connect_patience=AT_ONCE).connect()
    await admin.execute(f"DROP ROLE {name}")
    await admin.close()


async def test_sessions_say_who_they_are_and_run_in_utc(database_dsn: str) -> None:
    database = Database(dsn=database_dsn, application_name="osa-grpc worker")
    async with database, database.acquire() as connection:
        assert await connection.fetchval("SHOW application_name") == "osa-grpc worker"
        assert await connection.fetchval("SHOW timezone") == "UTC"


async def test_closing_ends_every_session_even_one_in_use(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osa_grpc.storage.database._ANSWER_MARGIN", timedelta(milliseconds=20))
    database = Database(dsn=database_dsn)
    await database.connect()
    async with database.acquire() as connection:
        pid = connection.get_server_pid()
        await database.aclose()
    observer = await asyncpg.connect(database_dsn)
    assert not await observer.fetchval(
        "SELECT bool_or(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE pid = $1", pid
    )
    await observer.close()
    await database.aclose()


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://u:p@db.example.org/osa", "db.example.org:5432/osa"),
        ("postgresql://u@db.example.org:6000/osa?sslmode=require", "db.example.org:6000/osa"),
        ("postgresql://u@/osa?host=%2Frun%2Fpostgresql&port=5433", "/run/postgresql:5433/osa"),
    ],
)
def test_a_database_is_named_by_host_port_and_name(dsn: str, said: str) -> None:
    assert place(dsn) == said
