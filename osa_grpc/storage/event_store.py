"""The audit log, and deliveries: events owed to handlers, at least once. What a handler does commits with the done-mark."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, assert_never

import asyncpg
from pydantic import TypeAdapter

from osa_grpc.application.ports import DELIVERY_QUEUE
from osa_grpc.application.storage_ports import DeliveryLease, ListQuery, Page, WorkerId
from osa_grpc.domain.delivery import Delivery, DeliveryState
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.events import (
    ConventionReady,
    ConventionRegistered,
    DepositionSubmitted,
    DomainEvent,
    RecordPublished,
    RunFinished,
    StoredEvent,
)
from osa_grpc.storage.listed_tables import DELIVERIES
from osa_grpc.storage.listing_query import read_keys
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("event.sql")

_BODY: Final[TypeAdapter[DomainEvent]] = TypeAdapter(DomainEvent)


class PostgresEventStore:
    """Events and deliveries, in one transaction. `rings` takes the bells to be rung at its commit."""

    def __init__(self, connection: "Connection", rings: set[str]) -> None:
        self._connection = connection
        self._rings = rings

    async def append(self, event: DomainEvent, *, owed_to: Sequence[str] = ()) -> int:
        """Append an event and owe it to handlers; return its id."""
        event_id: int = await self._connection.fetchval(
            _SQL["append"], event.type, key_of(event), _BODY.dump_json(event).decode(), list(owed_to)
        )
        if owed_to:
            self._rings.add(DELIVERY_QUEUE)
        return event_id

    async def claim(
        self, handlers: Sequence[str], worker: WorkerId, duration: timedelta
    ) -> DeliveryLease | None:
        """Take the oldest delivery that is due and nobody holds (or whose lease is overdue). A re-pick counts as an attempt."""
        row = await self._connection.fetchrow(_SQL["claim"], list(handlers), worker, duration)
        if row is None:
            return None
        event = StoredEvent(
            id=row["event_id"], occurred_at=row["occurred_at"], body=_BODY.validate_json(row["body"])
        )
        return DeliveryLease(
            delivery=row["id"],
            event=event,
            handler=row["handler"],
            worker=worker,
            epoch=row["epoch"],
            attempt=row["attempts"],
        )

    async def renew(self, lease: DeliveryLease, duration: timedelta) -> None:
        """Prolong it. Raises LeaseLostError."""
        if not await self._connection.fetchval(_SQL["renew"], *_under(lease), duration):
            raise _lost(lease)

    async def finish(self, lease: DeliveryLease) -> None:
        """Mark it done, in the handler's own transaction. Raises LeaseLostError."""
        if not await self._connection.fetchval(_SQL["finish"], *_under(lease)):
            raise _lost(lease)

    async def fail(self, lease: DeliveryLease, error: str, *, retry_at: datetime | None) -> None:
        """Note the error; due again at `retry_at`, or dead when None. Raises LeaseLostError."""
        if not await self._connection.fetchval(_SQL["fail"], *_under(lease), error, retry_at):
            raise _lost(lease)

    async def postpone(self, lease: DeliveryLease, error: str, *, retry_at: datetime) -> None:
        """Note what is in the way; due again at `retry_at`, and the attempt does not count. Raises LeaseLostError."""
        if not await self._connection.fetchval(_SQL["postpone"], *_under(lease), error, retry_at):
            raise _lost(lease)

    async def deliver_again(self, event_type: str, key: str, handler: str) -> None:
        """Make the latest event of that type about `key` due to a handler again, at once and with its attempts reset.

        Raises:
            LookupError: there is no such event.
        """
        if not await self._connection.fetchval(_SQL["deliver_again"], event_type, key, handler):
            raise LookupError(f"no event {event_type} about {key}")
        self._rings.add(DELIVERY_QUEUE)

    async def find_delivery(self, delivery: int, *, for_update: bool = False) -> Delivery | None:
        """Return it, or None; `for_update` holds off other changes until the transaction ends."""
        if for_update and not await self._connection.fetchval(_SQL["lock_delivery"], delivery):
            return None
        # A statement of its own: it sees what the lock had to wait for.
        row = await self._connection.fetchrow(_SQL["find_delivery"], delivery)
        return None if row is None else _delivery(row)

    async def list_deliveries(self, query: ListQuery) -> Page[Delivery]:
        """Return a page, by default the newest first."""
        keys = await read_keys(self._connection, DELIVERIES, query)
        return keys.page(await self._connection.fetch(_SQL["list_deliveries"], keys.column()), _delivery)

    async def count_dead(self) -> int:
        """Return how many deliveries are DEAD."""
        return int(await self._connection.fetchval(_SQL["count_dead"]))

    async def set_delivery_state(self, delivery: int, state: DeliveryState) -> Delivery:
        """Make a delivery that was locked in this transaction PENDING (due at once, its attempts reset) or DISCARDED. Whoever holds
        it loses it.

        Raises:
            LookupError: it is not there.
        """
        if not await self._connection.fetchval(_SQL["set_delivery_state"], delivery, state):
            raise LookupError(f"no delivery {delivery}")
        if state is DeliveryState.PENDING:
            self._rings.add(DELIVERY_QUEUE)
        changed = await self.find_delivery(delivery)
        assert changed is not None
        return changed


def key_of(event: DomainEvent) -> str:
    """Return what an event is about: a convention's or a record's `{id}@{version}`, a deposition's or a run's id."""
    match event:
        case ConventionRegistered() | ConventionReady():
            return event.convention.key
        case DepositionSubmitted():
            return event.deposition
        case RecordPublished():
            return event.record.key
        case RunFinished():
            return event.run
        case unhandled:
            assert_never(unhandled)


def _delivery(row: asyncpg.Record) -> Delivery:
    return Delivery(
        id=row["id"],
        event_type=row["type"],
        key=row["key"],
        handler=row["handler"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        last_error=row["last_error"],
        next_attempt_at=row["next_attempt_at"] if row["state"] == DeliveryState.PENDING else None,
        created_at=row["occurred_at"],
        updated_at=row["updated_at"],
    )


def _under(lease: DeliveryLease) -> tuple[int, WorkerId, int]:
    return lease.delivery, lease.worker, lease.epoch


def _lost(lease: DeliveryLease) -> LeaseLostError:
    return LeaseLostError(
        f"delivery {lease.delivery} is no longer held by {lease.worker} in epoch {lease.epoch}"
    )
