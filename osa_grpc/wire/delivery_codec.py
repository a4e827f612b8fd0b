"""Deliveries."""

from typing import Any

from osa_grpc.domain.delivery import Delivery
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import delivery_name
from osa_grpc.wire import pb
from osa_grpc.wire.enums import DELIVERY_STATE
from osa_grpc.wire.resource_names import delivery_number
from osa_grpc.wire.times import timestamp_from_proto, timestamp_to_proto
from osa_grpc.wire.violations import Violations


def delivery_to_proto(delivery: Delivery) -> pb.Delivery:
    """Return a delivery as a message."""
    return pb.Delivery(
        name=delivery_name(delivery.id),
        event_type=delivery.event_type,
        subject=delivery.key,
        handler=delivery.handler,
        state=DELIVERY_STATE.to_proto(delivery.state),
        attempts=delivery.attempts,
        last_error=delivery.last_error or "",
        create_time=timestamp_to_proto(delivery.created_at),
        update_time=timestamp_to_proto(delivery.updated_at),
        next_attempt_time=timestamp_to_proto(delivery.next_attempt_at),
    )


def delivery_from_proto(msg: pb.Delivery, *, at: FieldPath) -> Delivery:
    """Read a delivery that a server sent. Raises InvalidRequestError, UnsupportedError."""
    found = Violations()
    values: dict[str, Any] = {
        "event_type": msg.event_type,
        "key": msg.subject,
        "handler": msg.handler,
        "attempts": msg.attempts,
        "last_error": msg.last_error or None,
        "created_at": timestamp_from_proto(msg.create_time),
        "updated_at": timestamp_from_proto(msg.update_time),
        "next_attempt_at": timestamp_from_proto(msg.next_attempt_time)
        if msg.HasField("next_attempt_time")
        else None,
    }
    with found.collecting():
        values["id"] = delivery_number(msg.name, at=at / "name")
    with found.collecting():
        values["state"] = DELIVERY_STATE.from_proto(msg.state, at=at / "state")
    return found.build(Delivery, values, at=at, paths={"id": at / "name", "key": at / "subject"})
