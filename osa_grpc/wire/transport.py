"""What client and server must agree on: message sizes, keepalive, and which calls may be tried again."""

import json
from datetime import timedelta
from typing import Final

from google.protobuf.descriptor_pb2 import MethodOptions

from osa_grpc.wire import pb

MAX_MESSAGE_BYTES: Final = 4 * 2**20
"""The largest message either side takes or sends."""

MAX_METADATA_BYTES: Final = 16 * 2**10
"""How large headers and trailers may be."""

MAX_PAGE_BYTES: Final = MAX_MESSAGE_BYTES - 64 * 1024
"""How much of a message a page's items may fill; the rest is for its token and columns."""

MIN_PING_INTERVAL: Final = timedelta(seconds=15)
"""The server ends connections (`too_many_pings`) of clients that ping more often."""

CLIENT_KEEPALIVE: Final = timedelta(seconds=20)
"""How often a client pings while calls are open; above `MIN_PING_INTERVAL`."""

SERVER_KEEPALIVE: Final = timedelta(seconds=30)
"""How often the server pings."""

KEEPALIVE_TIMEOUT: Final = timedelta(seconds=10)
"""How long either side waits for a ping's answer before it takes the connection for dead."""

RESPONSE_ENCODING_KEY: Final = "osa-response-encoding"
"""Metadata of a call: `gzip` asks for compressed answers."""

STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"
"""The trailer that has `google.rpc.Status`."""


def milliseconds(duration: timedelta) -> int:
    """Return a duration as channel arguments have it."""
    return round(duration.total_seconds() * 1000)


def reads() -> list[tuple[str, str]]:
    """Return (service, method) of every call that the contract marks NO_SIDE_EFFECTS."""
    return [
        (service.full_name, method.name)
        for file in pb.FILES
        for service in file.services_by_name.values()
        for method in service.methods
        if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    ]


def service_config() -> str:
    """Return the gRPC service config for clients: reads, and nothing else, are tried again when the server is UNAVAILABLE.

    A stream is tried again only before its first message; resuming it is the client's own work.
    """
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    names = [{"service": service, "method": method} for service, method in reads()]
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]}, indent=2)


CLIENT_CHANNEL_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.keepalive_time_ms", milliseconds(CLIENT_KEEPALIVE)),
    ("grpc.keepalive_timeout_ms", milliseconds(KEEPALIVE_TIMEOUT)),
    ("grpc.http2.max_pings_without_data", 0),  # a quiet watch is pinged for as long as it lasts
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 10_000),
    ("grpc.service_config", service_config()),
)
"""The channel arguments of clients that suit the server's. Connections that break are noticed within 30 s while a call is open."""
