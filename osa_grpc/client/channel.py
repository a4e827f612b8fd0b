"""Channels to a server, and the stubs of its services."""

import grpc

from osa_grpc.client.service_config import SERVICE_CONFIG
from osa_grpc.wire import pb
from osa_grpc.wire.transport import (
    CLIENT_KEEPALIVE,
    KEEPALIVE_TIMEOUT,
    MAX_MESSAGE_BYTES,
    MAX_METADATA_BYTES,
    milliseconds,
)

DEFAULT_TARGET = "127.0.0.1:50051"

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.keepalive_time_ms", milliseconds(CLIENT_KEEPALIVE)),
    ("grpc.keepalive_timeout_ms", milliseconds(KEEPALIVE_TIMEOUT)),
    ("grpc.http2.max_pings_without_data", 0),  # a quiet watch is pinged for as long as it lasts
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 10_000),
    ("grpc.service_config", SERVICE_CONFIG),
)
"""The channel arguments of both clients. Connections that break are noticed within 30 s while a call is open."""


def open_channel(target: str) -> grpc.aio.Channel:
    """Open a channel for the running event loop. It connects with the first call."""
    return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)


def open_blocking_channel(target: str) -> grpc.Channel:
    """Open a channel for threads. It connects with the first call."""
    return grpc.insecure_channel(target, options=CHANNEL_OPTIONS)


class Stubs:
    """The stubs of all services over one channel; over a `grpc.aio` channel their calls are awaitable."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.conventions = pb.ConventionServiceStub(channel)
        self.depositions = pb.DepositionServiceStub(channel)
        self.runs = pb.RunServiceStub(channel)
        self.records = pb.RecordServiceStub(channel)
        self.features = pb.FeatureServiceStub(channel)
        self.hooks = pb.HookServiceStub(channel)
        self.admin = pb.AdminServiceStub(channel)
        self.server = pb.ServerServiceStub(channel)
