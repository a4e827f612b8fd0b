"""The pool of connections to Postgres: where they come from, and what a lost one means."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy
from asyncpg.transaction import Transaction

from osa_grpc.domain.errors import OsaError, ResourceExhaustedError, UnavailableError

if TYPE_CHECKING:
    Connection = PoolConnectionProxy[asyncpg.Record]
else:
    Connection = PoolConnectionProxy

_log = structlog.get_logger(__name__)

# The server says that it goes, comes, or has no room; or the connection broke.
_CONNECTION_ERRORS = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)

# It is there, and will not have us whatever we wait.
_REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
    asyncpg.UndefinedObjectError,  # a server setting that this server does not have
)

# What cleaning up on a connection that broke may say; InternalClientError: it broke in the middle of a statement.
_BROKEN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

# Somebody else's transaction was in the way, and one of the two had to go: another time it will do.
_COLLISIONS = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)

# What a connection that broke may also say. AttributeError: it broke between the two halves of a statement (asyncpg has then
# forgotten its protocol).
_LOSSES = (asyncpg.InterfaceError, ConnectionError, AttributeError)

_ANSWER_MARGIN = timedelta(seconds=5)


class Database:
    """A pool of connections, for everything but LISTEN (see `doorbell`). An async context manager.

    Sessions are plain: UTC, a statement timeout, nothing kept between two uses. Locks and settings are those
    of a transaction, so nothing is reset after a use but a transaction that was left open.

    Args:
        dsn: a libpq URL.
        connect_patience: how long `connect` waits for a server that is not there yet.
        acquire_timeout: how long a caller waits for a connection while all are in use.
        statement_timeout: the longest a statement may take.
    """

    def __init__(
        self,
        *,
        dsn: str,
        min_size: int = 1,
        max_size: int = 10,
        connect_patience: timedelta = timedelta(seconds=30),
        connect_timeout: timedelta = timedelta(seconds=10),
        acquire_timeout: timedelta = timedelta(seconds=10),
        statement_timeout: timedelta = timedelta(seconds=60),
        application_name: str = "osa-grpc",
    ) -> None:
        self._dsn = dsn
        self._min_size = min_size
        self._max_size = max_size
        self._connect_patience = connect_patience
        self._connect_timeout = connect_timeout
        self._acquire_timeout = acquire_timeout
        self._statement_timeout = statement_timeout
        self._application_name = application_name
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def connect(self) -> None:
        """Open the pool, waiting a while for a server that is just starting.

        Raises:
            UnavailableError: the server is not there after all the patience (`DATABASE_UNAVAILABLE`), or it
                does not let us in (`DATABASE_REFUSED`); the message names it, without the password.
            ResourceExhaustedError: its disk is so full that it lets nobody in (`DATABASE_DISK_FULL`).
        """
        deadline = time.monotonic() + self._connect_patience.total_seconds()
        pause_seconds = 0.05
        while True:
            try:
                self._pool = await self._create_pool()
            except _REFUSALS as error:
                raise UnavailableError(
                    f"The database at {place(self._dsn)} refuses the connection: {error}",
                    reason="DATABASE_REFUSED",
                ) from error
            except asyncpg.DiskFullError as error:
                raise _full() from error
            except (*_CONNECTION_ERRORS, OSError, asyncpg.InterfaceError) as error:
                if time.monotonic() + pause_seconds > deadline:
                    raise UnavailableError(
                        f"The database at {place(self._dsn)} cannot be reached: {_in_words(error)}",
                        reason="DATABASE_UNAVAILABLE",
                    ) from error
                _log.warning("waiting for the database", at=place(self._dsn), error=_in_words(error))
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, 2)
            else:
                return

    async def _create_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        return await asyncpg.create_pool(
            self._dsn,
            min_size=self._min_size,
            max_size=self._max_size,
            reset=_nothing,
            timeout=self._connect_timeout.total_seconds(),
            # For a server that does not answer at all: one that does ends the statement itself.
            command_timeout=(self._statement_timeout + _ANSWER_MARGIN).total_seconds(),
            server_settings={
                "application_name": self._application_name,
                "statement_timeout": _milliseconds(self._statement_timeout),
                "idle_in_transaction_session_timeout": _milliseconds(2 * self._statement_timeout),
                "timezone": "UTC",
            },
        )

    async def aclose(self) -> None:
        """Close the pool: orderly if the connections come back soon, at once otherwise. Harmless when not open."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), _ANSWER_MARGIN.total_seconds())
        except (TimeoutError, *_BROKEN):  # a connection may break in its farewell
            pool.terminate()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Lend a connection, outside any transaction.

        Raises:
            UnavailableError: the server is not there, or went away meanwhile (`DATABASE_UNAVAILABLE`); all
                connections are in use, or another transaction was in the way (`DATABASE_BUSY`); a statement
                took too long (`DATABASE_TIMEOUT`).
            ResourceExhaustedError: the server's disk is full (`DATABASE_DISK_FULL`).
        """
        pool = self._pool
        if pool is None:
            raise UnavailableError("The database is not connected.", reason="DATABASE_UNAVAILABLE")
        with _cancelled_first():
            connection = await self._take(pool)
            try:
                yield connection
            except Exception as error:
                translated = _translate(error, connection)
                if translated is None:
                    raise
                raise translated from error
            finally:
                # A connection that broke meanwhile may say so once more; the pool replaces it.
                with contextlib.suppress(*_BROKEN):
                    await pool.release(connection)

    async def _take(self, pool: "asyncpg.Pool[asyncpg.Record]") -> Connection:
        try:
            return await pool.acquire(timeout=self._acquire_timeout.total_seconds())
        except TimeoutError as error:
            raise UnavailableError(
                "All connections to the database are in use.", reason="DATABASE_BUSY"
            ) from error
        except asyncpg.DiskFullError as error:
            raise _full() from error
        except (*_CONNECTION_ERRORS, *_REFUSALS, OSError, asyncpg.InterfaceError) as error:
            raise _gone() from error

    @asynccontextmanager
    async def transaction(
        self,
        *,
        isolation: Literal["read_committed", "repeatable_read", "serializable"] | None = None,
        readonly: bool = False,
    ) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that commits when the block ends and is undone when it raises.

        Raises:
            UnavailableError, ResourceExhaustedError: as `acquire`; and UnavailableError when the server takes no
                writes at present, as while it fails over (`DATABASE_READ_ONLY`). If it comes out of the commit
                itself, the transaction may have happened or not.
        """
        async with self.acquire() as connection:
            transaction = connection.transaction(isolation=isolation, readonly=readonly)
            await _begin(transaction)
            try:
                yield connection
            except BaseException as error:
                # Where the connection is gone the server has rolled back; what happened first is what counts.
                with contextlib.suppress(*_BROKEN):
                    await _to_its_end(transaction.rollback())
                if isinstance(error, asyncpg.ReadOnlySQLTransactionError) and not readonly:
                    raise UnavailableError(
                        "The database takes no writes at present.", reason="DATABASE_READ_ONLY"
                    ) from error
                raise
            await _to_its_end(transaction.commit())


async def _begin(transaction: Transaction) -> None:
    try:
        await _to_its_end(transaction.start())
    except asyncio.CancelledError:
        with contextlib.suppress(*_BROKEN):
            await transaction.rollback()
        raise


async def _to_its_end(step: Coroutine[object, object, None]) -> None:
    """Take a step of a transaction: its begin, or its end. A cancellation meanwhile is heard after it.

    The driver cannot tell whether a transaction is open whose step was cancelled; the pool, given its connection, would log an
    error and find out.
    """
    taking = asyncio.create_task(step)
    try:
        await asyncio.shield(taking)
    except asyncio.CancelledError:
        with contextlib.suppress(*_BROKEN):
            await asyncio.wait_for(taking, _ANSWER_MARGIN.total_seconds())
        raise


@contextmanager
def _cancelled_first() -> Iterator[None]:
    """Let a task that is cancelled meanwhile be cancelled, whatever else goes wrong at that moment.

    Where a connection breaks, the driver's cleaning up after a cancellation may fail too, and its error takes the cancellation's
    place (in `copy_in`, for one): whoever waits for outages to pass would go on for ever.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        yield
    except Exception as error:
        if task.cancelling() > before:
            raise asyncio.CancelledError from error
        raise


async def _nothing(_connection: object) -> None:
    """The pool's own reset would be a round trip to the database after each use."""


def place(dsn: str) -> str:
    """Say where a database is, for people: host, port and name, never the password."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    host = query.get("host", [parts.hostname or "localhost"])[0]
    port = query.get("port", [str(parts.port or 5432)])[0]
    return f"{host}:{port}{parts.path}"


def outage_of(error: BaseException | None) -> OsaError | None:
    """The domain's word for an error that came, perhaps through others, of a server that is away or full; else None."""
    while error is not None:
        if isinstance(error, _CONNECTION_ERRORS):
            return _gone()
        if isinstance(error, asyncpg.DiskFullError):
            return _full()
        error = error.__cause__
    return None


def _translate(error: Exception, connection: Connection) -> OsaError | None:
    """The domain's word for an error of the driver; None for what is not about the connection or the server."""
    if isinstance(error, asyncpg.PostgresError) and (outage := outage_of(error)) is not None:
        return outage
    if isinstance(error, _COLLISIONS):
        return UnavailableError("The database is busy with other changes.", reason="DATABASE_BUSY")
    if isinstance(error, asyncpg.QueryCanceledError):
        return UnavailableError("The database took too long to answer.", reason="DATABASE_TIMEOUT")
    if isinstance(error, asyncpg.InternalClientError):  # the server's last words came between two statements
        return _gone()
    # These say too little by themselves: they also come from wrong use, and from files and sockets of others.
    if isinstance(error, _LOSSES) and _is_closed(connection):
        return _gone()
    return None


def _is_closed(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # it broke, and the pool has taken it back
        return True


def _gone() -> UnavailableError:
    return UnavailableError("The database is away.", reason="DATABASE_UNAVAILABLE")


def _full() -> ResourceExhaustedError:
    return ResourceExhaustedError("The database's disk is full.", reason="DATABASE_DISK_FULL")


def _in_words(error: BaseException) -> str:
    return "no answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _milliseconds(duration: timedelta) -> str:
    return str(int(duration.total_seconds() * 1000))
