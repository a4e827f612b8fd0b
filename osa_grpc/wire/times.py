"""Instants and durations: `datetime` and `timedelta` ↔ Timestamp and Duration, to the microsecond."""

from datetime import UTC, datetime, timedelta
from typing import overload

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


@overload
def timestamp_to_proto(instant: datetime) -> Timestamp: ...
@overload
def timestamp_to_proto(instant: datetime | None) -> Timestamp | None: ...
def timestamp_to_proto(instant: datetime | None) -> Timestamp | None:
    """Return an instant, which has a time zone, as a Timestamp; None stays None."""
    if instant is None:
        return None
    message = Timestamp()
    message.FromDatetime(instant.astimezone(UTC))
    return message


def timestamp_from_proto(message: Timestamp) -> datetime:
    """Return a Timestamp as an instant in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def duration_to_proto(duration: timedelta) -> Duration:
    """Return a duration as a Duration."""
    message = Duration()
    message.FromTimedelta(duration)
    return message


def duration_from_proto(message: Duration) -> timedelta:
    """Return a Duration as a duration; one that is longer than any, as the longest."""
    try:
        return message.ToTimedelta()
    except OverflowError:
        return timedelta.max if message.seconds > 0 else timedelta.min
