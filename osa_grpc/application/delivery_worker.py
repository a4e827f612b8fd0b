"""Brings deliveries to their handlers: at least once, each in the handler's own transaction.

Effect and done-mark commit together, so a handler that is idempotent in the database takes effect exactly once. A handler that
fails is tried again with backoff; a permanent error, or the last attempt, parks the delivery as dead.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from osa_grpc.application.patience import OUTAGES, backoff, through_outages
from osa_grpc.application.ports import DELIVERY_QUEUE, Doorbell
from osa_grpc.application.storage_ports import DeliveryLease, Storage, Transaction, WorkerId
from osa_grpc.domain.errors import ConflictError, InvalidRequestError, LeaseLostError
from osa_grpc.domain.events import DomainEvent

_PERMANENT = (ConflictError, InvalidRequestError)
_POSTPONED = timedelta(seconds=2)
_ERROR_CHARACTERS = 4096
_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Handler:
    """What is done about an event, and what is done when that is given up."""

    handle: Callable[[Transaction, DomainEvent], Awaitable[None]]
    give_up: Callable[[Transaction, DomainEvent, str], Awaitable[None]]


class DeliveryWorker:
    """A role: takes deliveries as they fall due, one at a time."""

    name = "deliveries"

    def __init__(
        self,
        *,
        storage: Storage,
        doorbell: Doorbell,
        handlers: Mapping[str, Handler],
        worker: WorkerId,
        lease: timedelta = timedelta(seconds=10),
        max_attempts: int = 8,
        poll: timedelta = timedelta(seconds=2),
    ) -> None:
        self.ready = asyncio.Event()
        self._storage = storage
        self._doorbell = doorbell
        self._handlers = handlers
        self._worker = worker
        self._lease = lease
        self._max_attempts = max_attempts
        self._poll = poll

    async def run(self) -> None:
        """Deliver until cancelled. A delivery under way when cancelled is rolled back, and due again."""
        with self._doorbell.subscription(DELIVERY_QUEUE) as bell:
            self.ready.set()
            while True:
                bell.clear()
                if not await through_outages(self.deliver_one):
                    await bell.wait(at_most=self._poll)

    async def deliver_one(self) -> bool:
        """Deliver the oldest that is due; False if there is none."""
        async with self._storage.transaction() as tx:
            lease = await tx.events.claim(list(self._handlers), self._worker, self._lease)
        if lease is None:
            return False
        # Whoever took it over after a lost lease does it.
        with suppress(LeaseLostError):
            await self._deliver(lease)
        return True

    async def _deliver(self, lease: DeliveryLease) -> None:
        handler = self._handlers[lease.handler]
        log = _LOG.bind(
            delivery=lease.delivery, handler=lease.handler, event=lease.event.id, attempt=lease.attempt
        )
        if lease.attempt > self._max_attempts:
            await self._park(
                lease, f"given up after {self._max_attempts} attempts, the last without an answer"
            )
            return
        try:
            async with self._kept(lease), self._storage.transaction() as tx:
                await handler.handle(tx, lease.event.body)
                await tx.events.finish(lease)
        except LeaseLostError:
            log.warning("delivery taken over by another worker")
            raise
        except OUTAGES as error:
            # The database is away, busy or full: no fault of the event's. (While it is away this waits, too.)
            log.warning("delivery postponed", error=str(error))
            reason = _told(str(error))

            async def postpone() -> None:
                async with self._storage.transaction() as tx:
                    await tx.events.postpone(lease, reason, retry_at=await tx.now() + _POSTPONED)

            await through_outages(postpone)
        except _PERMANENT as error:
            log.warning("delivery given up", error=str(error))
            await self._park(lease, _told(str(error)))
        except Exception as error:
            text = _told(f"{type(error).__name__}: {error}")
            if lease.attempt >= self._max_attempts:
                log.exception("delivery given up")
                await self._park(lease, text)
                return
            wait = backoff(lease.attempt)
            log.exception("delivery failed", retry_seconds=wait.total_seconds())
            async with self._storage.transaction() as tx:
                await tx.events.fail(lease, text, retry_at=await tx.now() + wait)
        else:
            log.info("delivered")

    @asynccontextmanager
    async def _kept(self, lease: DeliveryLease) -> AsyncIterator[None]:
        """Renew the lease while the block runs: what takes long is not taken over for that."""
        keeper = asyncio.create_task(self._keep(lease), name=f"keep delivery {lease.delivery}")
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait({keeper})

    async def _keep(self, lease: DeliveryLease) -> None:
        async def renew() -> None:
            async with self._storage.transaction() as tx:
                await tx.events.renew(lease, self._lease)

        with suppress(LeaseLostError):  # found out again when the delivery is finished
            while True:
                await asyncio.sleep(self._lease.total_seconds() / 3)
                await through_outages(renew)

    async def _park(self, lease: DeliveryLease, error: str) -> None:
        async with self._storage.transaction() as tx:
            await tx.events.fail(lease, error, retry_at=None)
            await self._handlers[lease.handler].give_up(tx, lease.event.body, error)


def _told(error: str) -> str:
    """Return an error's text as it is kept: not longer than the contract says, and without what Postgres cannot hold."""
    text = error.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= _ERROR_CHARACTERS else text[: _ERROR_CHARACTERS - 1] + "…"
