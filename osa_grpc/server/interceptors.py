"""What every call of the server is put inside, from the outside in: its log line, its count, its errors, its place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from osa_grpc.server.access_log import access_logged
from osa_grpc.server.answering_errors import answering_errors
from osa_grpc.server.call_limits import CallLimits
from osa_grpc.server.metrics import Metrics
from osa_grpc.server.rpc_wrapping import Rpc, RpcWrapping


def server_interceptors(limits: CallLimits, metrics: Metrics) -> list[RpcWrapping]:
    """Return the interceptors for `grpc.aio.server`."""

    @asynccontextmanager
    async def around(rpc: Rpc) -> AsyncIterator[None]:
        async with access_logged(rpc), metrics.measured(rpc), answering_errors(rpc), limits.place(rpc):
            yield

    return [RpcWrapping(around)]
