"""Forgets what request ids were answered with, once it has been kept as long as was promised."""

import asyncio
from datetime import timedelta

import structlog

from osa_grpc.application.patience import through_outages
from osa_grpc.application.storage_ports import Storage

_LOG = structlog.get_logger(__name__)
_EVERY = timedelta(minutes=5)


class RequestForgetter:
    """A role: at start and then on a period, forgets answers older than `retention`, a few at a time.

    Several servers on one database may do so at once.
    """

    name = "requests"

    def __init__(self, *, storage: Storage, retention: timedelta, batch: int = 1000) -> None:
        self.ready = asyncio.Event()
        self._storage = storage
        self._retention = retention
        self._batch = batch

    async def run(self) -> None:
        """Forget until cancelled."""
        self.ready.set()
        pause = min(_EVERY, self._retention / 4)
        while True:
            await self.forget()
            await asyncio.sleep(pause.total_seconds())

    async def forget(self) -> int:
        """Forget all that is old enough; return how many answers. Each batch is a transaction: nobody waits long for a row."""
        count = 0
        while True:
            forgotten = await through_outages(self._forget_some)
            count += forgotten
            if forgotten < self._batch:
                break
        if count:
            _LOG.info("answers to request ids forgotten", count=count)
        return count

    async def _forget_some(self) -> int:
        async with self._storage.transaction() as tx:
            return await tx.requests.purge(older_than=self._retention, limit=self._batch)
