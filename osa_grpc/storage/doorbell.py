"""Wakes whoever waits for news from the database. A ring is never the news: who is woken reads the tables.

Postgres carries the rings between processes (LISTEN and NOTIFY), and forgets what nobody hears. So every way
of having been deaf ends in ringing for everybody: a connection made or made again, a probe that was not
heard, and, as long as there is no connection at all, the clock. NOTIFY takes a lock of the whole database at
commit: `notify` once per transaction, with everything the transaction is about.

Who rings its own process at the commit says so in the notification, and its own ear lets that pass: heard twice, each piece
of news would be read twice.
"""

import asyncio
import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import structlog

from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("doorbell.sql")

_log = structlog.get_logger(__name__)

_ORIGIN = "\t"
"""Stands between a key and the doorbell that has rung it already."""
_CONNECT_SECONDS = 10
_CLOSE_SECONDS = 1


class Bell:
    """One listener's ear for one key. Rings that come before it is cleared are one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the listener, now or at its next `wait`."""
        self._rung.set()

    def clear(self) -> None:
        """Forget the rings so far. Call it before reading what the rings are about."""
        self._rung.clear()

    async def wait(self, *, at_most: timedelta) -> bool:
        """Wait for a ring; False when none came."""
        try:
            async with asyncio.timeout(at_most.total_seconds()):
                await self._rung.wait()
        except TimeoutError:
            return False
        return True


class Doorbell:
    """The process's ear at the database, for all its listeners: one connection of its own, not of the pool. A role.

    Args:
        dsn: where to listen; None: notifications are switched off, and the clock does the ringing.
        channel: what Postgres calls the bell; replicas share it.
        poll_interval: how often everybody is rung while the database cannot be heard.
        probe_interval: how often the connection is proved by a notification to itself, so that a peer that
        vanished
            without a word, or a proxy that lets no notification pass, is found out.
        probe_timeout: how long such a notification may take.
    """

    name = "doorbell"

    def __init__(
        self,
        *,
        dsn: str | None,
        channel: str = "osa_grpc",
        poll_interval: timedelta = timedelta(seconds=2),
        probe_interval: timedelta = timedelta(seconds=15),
        probe_timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        self._dsn = dsn
        self._channel = channel
        self._poll_interval = poll_interval
        self._probe_interval = probe_interval
        self._probe_timeout = probe_timeout
        self._bells: dict[str, set[Bell]] = {}
        self._origin = uuid4().hex
        self.ready = asyncio.Event()

    @contextmanager
    def subscription(self, key: str) -> Iterator[Bell]:
        """Listen to one key until the block ends."""
        bell = Bell()
        self._bells.setdefault(key, set()).add(bell)
        try:
            yield bell
        finally:
            bells = self._bells[key]
            bells.discard(bell)
            if not bells:
                del self._bells[key]

    def ring(self, key: str) -> None:
        """Wake this process's listeners, without the way through the database. Call it after the commit."""
        for bell in self._bells.get(key, ()):
            bell.ring()

    def ring_everybody(self) -> None:
        """Wake every listener of this process, because rings may have been missed."""
        for bells in self._bells.values():
            for bell in bells:
                bell.ring()

    async def notify(
        self, connection: "Connection", keys: Collection[str], *, is_rung_here: bool = False
    ) -> None:
        """Wake the listeners of all processes when the connection's transaction commits.

        `is_rung_here`: of all other processes; the caller calls `ring` whatever becomes of the commit.
        """
        if self._dsn is not None and keys:
            origin = f"{_ORIGIN}{self._origin}" if is_rung_here else ""
            await connection.execute(_SQL["notify"], self._channel, [f"{key}{origin}" for key in keys])

    def hear(self, payload: str) -> None:
        """Ring for a notification, unless it is our own and has been rung."""
        key, _, origin = payload.partition(_ORIGIN)
        if origin != self._origin:
            self.ring(key)

    async def run(self) -> None:
        """Listen, and reconnect for ever; ends by cancellation only."""
        pause_seconds = 0.1
        while True:
            if self._dsn is not None:
                heard = await self._listen(self._dsn)
                pause_seconds = 0.1 if heard else min(2 * pause_seconds, self._poll_interval.total_seconds())
            else:
                pause_seconds = self._poll_interval.total_seconds()
            self.ready.set()  # the clock does the work
            self.ring_everybody()
            # Replicas that lost the same server should not come back at the same moment.
            await asyncio.sleep(pause_seconds * random.uniform(0.5, 1))  # noqa: S311 - no secret

    async def _listen(self, dsn: str) -> bool:
        """Listen until the connection is lost; whether there was one."""
        connected = False
        try:
            connection = await asyncpg.connect(
                dsn,
                timeout=_CONNECT_SECONDS,
                command_timeout=self._probe_timeout.total_seconds(),
                server_settings={"application_name": f"osa-grpc {self.name}"},
            )
            try:
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _: lost.set())
                ear = _Ear(self)
                await connection.add_listener(self._channel, ear.hear)
                connected = True
                self.ready.set()
                self.ring_everybody()  # whatever was rung while we were deaf
                while not await _within(lost, self._probe_interval):
                    probe = ear.expect_probe()
                    await connection.execute(_SQL["notify"], self._channel, [probe])
                    if not await _within(ear.probe_heard, self._probe_timeout):
                        raise TimeoutError("a notification to ourselves was not heard")
                _log.warning("the database ended the doorbell's connection")
            finally:
                await _close(connection)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("the doorbell cannot hear the database", error=str(error) or type(error).__name__)
        return connected


class _Ear:
    """What one connection hears."""

    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell
        self._probe = ""
        self.probe_heard = asyncio.Event()

    def expect_probe(self) -> str:
        """A key that nobody else rings."""
        self._probe = f"probe {uuid4()}"
        self.probe_heard.clear()
        return self._probe

    def hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == self._probe:
            self.probe_heard.set()
        else:
            self._doorbell.hear(str(payload))


async def _within(event: asyncio.Event, duration: timedelta) -> bool:
    try:
        async with asyncio.timeout(duration.total_seconds()):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _close(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    try:
        await connection.close(timeout=_CLOSE_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
