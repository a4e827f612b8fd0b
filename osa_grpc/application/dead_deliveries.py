"""Counts the deliveries that were given up, so that an operator learns of them without having to ask."""

import asyncio
from datetime import timedelta

import structlog

from osa_grpc.application.patience import through_outages
from osa_grpc.application.storage_ports import Storage

_LOG = structlog.get_logger(__name__)


class DeadDeliveries:
    """A role: looks how many there are; `count` is what it saw last. Every server on one database counts the same ones."""

    name = "dead-deliveries"

    def __init__(self, *, storage: Storage, every: timedelta = timedelta(seconds=10)) -> None:
        self.ready = asyncio.Event()
        self.count = 0
        self._storage = storage
        self._every = every

    async def run(self) -> None:
        """Look until cancelled."""
        self.ready.set()
        while True:
            await self.look()
            await asyncio.sleep(self._every.total_seconds())

    async def look(self) -> None:
        """Count them, and warn when there are more than before."""
        before, self.count = self.count, await through_outages(self._counted)
        if self.count > before:
            _LOG.warning(
                "dead deliveries", count=self.count, see="osa-grpc delivery list --filter 'state = DEAD'"
            )

    async def _counted(self) -> int:
        async with self._storage.reading() as tx:
            return await tx.events.count_dead()
