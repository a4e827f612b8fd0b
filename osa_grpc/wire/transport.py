"""What client and server must agree on: message sizes, keepalive, and which metadata carries an error's details."""

from datetime import timedelta
from typing import Final

MAX_MESSAGE_BYTES: Final = 4 * 2**20
"""The largest message either side takes or sends."""

MIN_PING_INTERVAL: Final = timedelta(seconds=15)
"""The server ends connections (`too_many_pings`) of clients that ping more often."""

CLIENT_KEEPALIVE: Final = timedelta(seconds=20)
"""How often a client pings while calls are open; above `MIN_PING_INTERVAL`."""

SERVER_KEEPALIVE: Final = timedelta(seconds=30)
"""How often the server pings."""

KEEPALIVE_TIMEOUT: Final = timedelta(seconds=10)
"""How long either side waits for a ping's answer before it takes the connection for dead."""

MAX_METADATA_BYTES: Final = 16 * 2**10
"""How large headers and trailers may be."""

STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"
"""The trailer that has `google.rpc.Status`."""


def milliseconds(duration: timedelta) -> int:
    """Return a duration as channel arguments have it."""
    return round(duration.total_seconds() * 1000)
