"""Looks whether what the server stands on is there, and lets its health say so."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from osa_grpc.application.disk_room import DiskRoom
from osa_grpc.application.ports import EngineProbe
from osa_grpc.domain.errors import OsaError
from osa_grpc.server.health import Health
from osa_grpc.storage.database import Database
from osa_grpc.wire import pb

CONTAINER_ENGINE: Final = "container-engine"
"""The health name of the engine: without it runs fail, and everything else is served."""

DATA_DIRECTORY: Final = "data-directory"
"""The health name of the room on its disk: without it uploads are refused and hooks wait, and everything else is served."""

_ENGINE: Final = "container engine"

_LOG = structlog.get_logger(__name__)


class HealthWatch:
    """A role: without the database nothing is SERVING; without engine `container-engine` is not, without room `data-directory`.

    `engine_trouble` says why an engine that answers is of no use. `on_engine_back` is called when one that was not usable is again.
    `rooms`: on the disks that data lie on.
    """

    name = "health"

    def __init__(
        self,
        *,
        health: Health,
        database: Database,
        engine: EngineProbe,
        engine_trouble: Callable[[], Awaitable[str | None]],
        rooms: Sequence[DiskRoom],
        on_engine_back: Callable[[], None],
        every: timedelta = timedelta(seconds=3),
    ) -> None:
        self.ready = asyncio.Event()
        self._health = health
        self._database = database
        self._engine = engine
        self._engine_trouble = engine_trouble
        self._rooms = rooms
        self._on_engine_back = on_engine_back
        self._every = every
        self._said: dict[str, bool] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._say(await self._database_answers(), "database", "", *pb.SERVICES)
            engine_answers = await self._engine.describe() is not None
            trouble = await self._engine_trouble() if engine_answers else None
            is_usable = engine_answers and trouble is None
            if is_usable and self._said.get(_ENGINE) is False:
                self._on_engine_back()
            await self._say(is_usable, _ENGINE, CONTAINER_ENGINE, why=trouble)
            shortage = await asyncio.to_thread(self._shortage)
            await self._say(shortage is None, "room on disk", DATA_DIRECTORY, why=shortage)
            self.ready.set()
            await asyncio.sleep(self._every.total_seconds())

    async def _database_answers(self) -> bool:
        try:
            async with self._database.acquire() as connection:
                await connection.fetchval("SELECT 1")
        except OsaError:
            return False
        return True

    def _shortage(self) -> str | None:
        return next((shortage for room in self._rooms if (shortage := room.shortage) is not None), None)

    async def _say(
        self,
        is_there: bool,  # noqa: FBT001 - one of two states
        what: str,
        *services: str,
        why: str | None = None,
    ) -> None:
        if self._said.get(what) == is_there:
            return
        if what in self._said or not is_there:
            told = {} if why is None else {"why": why}
            _LOG.warning("there again" if is_there else "not there", what=what, **told)
        self._said[what] = is_there
        await (self._health.serving(*services) if is_there else self._health.not_serving(*services))
