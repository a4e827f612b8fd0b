"""Removes what nobody owns any more: at start, on a period, and when it is told of a reason."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from datetime import timedelta

import structlog

from osa_grpc.application.ports import HookRuntime
from osa_grpc.application.storage_ports import Storage
from osa_grpc.domain.errors import OsaError
from osa_grpc.domain.names import RunId
from osa_grpc.storage.files import ObstoreFileStore

_LOG = structlog.get_logger(__name__)
_ABANDONED_UPLOAD = timedelta(hours=24)


class Reaper:
    """A role: removes containers and directories of this server's runs that are over, and uploads that were cut off."""

    name = "reaper"

    def __init__(
        self,
        *,
        storage: Storage,
        runtimes: Mapping[str, HookRuntime],
        files: ObstoreFileStore,
        every: timedelta = timedelta(minutes=5),
        sweep_every: timedelta = timedelta(hours=6),
    ) -> None:
        self.ready = asyncio.Event()
        self._storage = storage
        self._runtimes = runtimes
        self._files = files
        self._every = every
        self._sweep_every_seconds = sweep_every.total_seconds()
        self._hurried = asyncio.Event()

    async def run(self) -> None:
        """Reap until cancelled."""
        sweep_at = time.monotonic()
        while True:
            self._hurried.clear()
            await self.reap()
            self.ready.set()
            if time.monotonic() >= sweep_at:
                await self.sweep()
                sweep_at = time.monotonic() + self._sweep_every_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every.total_seconds()):
                    await self._hurried.wait()

    def hurry(self) -> None:
        """Reap now: something is over, or something that could not be reached is there again."""
        self._hurried.set()

    async def reap(self) -> None:
        """Remove containers and directories; what cannot be reached now is removed the next time."""
        for runtime in self._runtimes.values():
            try:
                await runtime.reap(self._is_live)
            except Exception:  # noqa: BLE001 - the next reaping tries again
                _LOG.exception("reaping failed", runtime=runtime.runtime_type)

    async def sweep(self) -> None:
        """Remove files that no row knows. It lists the whole store, so it is done more seldom."""
        try:
            async with aclosing(self._file_keys()) as keys:
                swept = await self._files.sweep(keys, older_than=_ABANDONED_UPLOAD)
        except OsaError as error:
            _LOG.warning("files were not swept", error=str(error))
        else:
            if swept:
                _LOG.info("files swept", count=swept)

    async def _file_keys(self) -> AsyncGenerator[str, None]:
        """Yield the keys that rows know; the transaction is over with the last, before anything is deleted."""
        async with self._storage.reading() as tx:
            async for key in tx.depositions.file_keys():
                yield key

    async def _is_live(self, run: RunId) -> bool:
        async with self._storage.reading() as tx:
            found = await tx.runs.find(run)
        return found is not None and not found.state.is_terminal
