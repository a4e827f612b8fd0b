"""The server's channel arguments. gRPC's defaults end connections that ping more than once in five minutes."""

from datetime import timedelta

from osa_grpc.wire import transport


def server_channel_options(
    *,
    max_concurrent_streams: int = 1000,
    max_connection_age: timedelta | None = None,
    connection_age_grace: timedelta = timedelta(seconds=60),
) -> tuple[tuple[str, int], ...]:
    """Return the arguments for `grpc.aio.server`.

    `max_concurrent_streams`: calls one connection may have under way; more wait in the client. `max_connection_age`: after it a
    client is asked to connect anew, so that clients spread onto new servers; its calls have `connection_age_grace` to end. None:
    never.
    """
    options = [
        ("grpc.max_send_message_length", transport.MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", transport.MAX_MESSAGE_BYTES),
        ("grpc.max_metadata_size", transport.MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", max_concurrent_streams),
        (
            "grpc.http2.min_ping_interval_without_data_ms",
            transport.milliseconds(transport.MIN_PING_INTERVAL),
        ),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", transport.milliseconds(transport.SERVER_KEEPALIVE)),
        ("grpc.keepalive_timeout_ms", transport.milliseconds(transport.KEEPALIVE_TIMEOUT)),
        ("grpc.http2.max_pings_without_data", 0),
        # a second server on the same port would take every other connection
        ("grpc.so_reuseport", 0),
    ]
    if max_connection_age is not None:
        options += [
            ("grpc.max_connection_age_ms", transport.milliseconds(max_connection_age)),
            ("grpc.max_connection_age_grace_ms", transport.milliseconds(connection_age_grace)),
        ]
    return tuple(options)
