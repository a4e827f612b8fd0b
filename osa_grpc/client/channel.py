"""Channels to a server, and the stubs of its services."""

from pathlib import Path

import grpc

from osa_grpc.wire import pb
from osa_grpc.wire.transport import CLIENT_CHANNEL_OPTIONS

DEFAULT_TARGET = "127.0.0.1:50051"


def open_channel(target: str, *, tls: bool = False, ca_certificate: Path | None = None) -> grpc.aio.Channel:
    """Open a channel for the running event loop. It connects with the first call.

    `tls`: encrypted, to a server whose certificate is signed by an authority that is known to everybody, or by one in
    the file `ca_certificate`, which alone is trusted then.

    Raises:
        OSError, ValueError: there is no certificate in that file.
    """
    if not tls and ca_certificate is None:
        return grpc.aio.insecure_channel(target, options=CLIENT_CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(target, _trusting(ca_certificate), options=CLIENT_CHANNEL_OPTIONS)


def open_blocking_channel(
    target: str, *, tls: bool = False, ca_certificate: Path | None = None
) -> grpc.Channel:
    """Open a channel for threads; all else as `open_channel`."""
    if not tls and ca_certificate is None:
        return grpc.insecure_channel(target, options=CLIENT_CHANNEL_OPTIONS)
    return grpc.secure_channel(target, _trusting(ca_certificate), options=CLIENT_CHANNEL_OPTIONS)


def _trusting(ca_certificate: Path | None) -> grpc.ChannelCredentials:
    if ca_certificate is None:
        return grpc.ssl_channel_credentials()
    authorities = Path(ca_certificate).read_bytes()
    if b"-----BEGIN CERTIFICATE-----" not in authorities:
        raise ValueError(f"{ca_certificate} has no certificate in PEM")
    return grpc.ssl_channel_credentials(authorities)


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
