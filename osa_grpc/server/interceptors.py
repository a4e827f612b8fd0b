"""What every call of the server is put inside, from the outside in: log line, count, errors, deadline, place."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from osa_grpc.server.access_log import access_logged
from osa_grpc.server.answering_errors import answering_errors
from osa_grpc.server.call_limits import CallLimits
from osa_grpc.server.client_address import ClientAddresses, IpNetwork
from osa_grpc.server.compression import compressed_if_asked
from osa_grpc.server.deadlines import deadline
from osa_grpc.server.metrics import Metrics
from osa_grpc.server.rpc_wrapping import Rpc, RpcWrapping


def server_interceptors(
    limits: CallLimits,
    metrics: Metrics,
    *,
    default_deadline: timedelta = timedelta(seconds=60),
    trusted_proxies: Sequence[IpNetwork] = (),
) -> list[RpcWrapping]:
    """Return the interceptors for `grpc.aio.server`."""
    addresses = ClientAddresses(trusted_proxies)

    @asynccontextmanager
    async def around(rpc: Rpc) -> AsyncIterator[None]:
        async with (
            access_logged(rpc, addresses),
            metrics.measured(rpc),
            answering_errors(rpc),
            deadline(rpc, default_deadline),
            limits.place(rpc),
        ):
            await compressed_if_asked(rpc)
            yield

    return [RpcWrapping(around)]
