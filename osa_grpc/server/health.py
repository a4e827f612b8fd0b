"""Health, per service and (`""`) overall, as `grpc.health.v1` has it."""

from collections.abc import Sequence
from typing import Any, Final

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE: Final = "grpc.health.v1.Health"
_OVERALL: Final = ""


class _Servicer(health.aio.HealthServicer):  # type: ignore[misc] # untyped upstream
    """Upstream's, which has no `List`."""

    async def List(self, _request: Any, _context: Any) -> Any:  # noqa: ANN401, N802 - untyped upstream; the contract's name
        """Say what is said of every service at once."""
        statuses = {
            service: health_pb2.HealthCheckResponse(status=status)
            for service, status in self._server_status.items()
        }
        return health_pb2.HealthListResponse(statuses=statuses)


class Health:
    """What the server says of itself. Everything is NOT_SERVING until it is said to serve; after `drain` it stays so."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services: Final = tuple(services)
        self._servicer: Final = _Servicer()
        self._said: Final[set[str]] = set()

    async def mount(self, server: grpc.aio.Server) -> None:
        """Add the service to a server. What was said before stays said."""
        if silent := {_OVERALL, *self._services} - self._said:
            await self.not_serving(*silent)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def serving(self, *services: str) -> None:
        """Say that services can be used; without any: all of them, and the server overall."""
        await self._set(services, health_pb2.HealthCheckResponse.SERVING)

    async def not_serving(self, *services: str) -> None:
        """Say that services cannot be used; without any: all of them, and the server overall."""
        await self._set(services, health_pb2.HealthCheckResponse.NOT_SERVING)

    async def drain(self) -> None:
        """Say that the server is going away; nothing is SERVING any more."""
        await self._servicer.enter_graceful_shutdown()

    async def _set(self, services: Sequence[str], status: int) -> None:
        for service in services or (_OVERALL, *self._services):
            self._said.add(service)
            await self._servicer.set(service, status)
