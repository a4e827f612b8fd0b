"""Deliveries: domain events owed to the service's own handlers, as operators see them."""

from datetime import datetime
from enum import StrEnum

from osa_grpc.domain.value import Value


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "PENDING"
    DONE = "DONE"
    DEAD = "DEAD"
    DISCARDED = "DISCARDED"


class Delivery(Value):
    """One event owed to one handler.

    `key` is what the event is about; `attempts` counts since it was last retried by hand; `next_attempt_at` is set when PENDING.
    """

    id: int
    event_type: str
    key: str
    handler: str
    state: DeliveryState
    attempts: int = 0
    last_error: str | None = None
    next_attempt_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
