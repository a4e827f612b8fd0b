"""The gRPC server: what it listens on, what is mounted, and how it goes away."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final

import grpc
import grpc.aio
import structlog

from osa_grpc.server.call_limits import CallLimits
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.channel_options import server_channel_options
from osa_grpc.server.health import SERVICE as HEALTH
from osa_grpc.server.health import Health
from osa_grpc.server.interceptors import server_interceptors
from osa_grpc.server.metrics import Metrics
from osa_grpc.server.reflection import add_reflection
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb

_log: Final = structlog.get_logger(__name__)

_MOUNT: Final[dict[type, Callable[[Any, grpc.aio.Server], None]]] = {
    pb.ConventionServiceServicer: pb.add_ConventionServiceServicer_to_server,
    pb.DepositionServiceServicer: pb.add_DepositionServiceServicer_to_server,
    pb.RunServiceServicer: pb.add_RunServiceServicer_to_server,
    pb.RecordServiceServicer: pb.add_RecordServiceServicer_to_server,
    pb.FeatureServiceServicer: pb.add_FeatureServiceServicer_to_server,
    pb.HookServiceServicer: pb.add_HookServiceServicer_to_server,
    pb.AdminServiceServicer: pb.add_AdminServiceServicer_to_server,
    pb.ServerServiceServicer: pb.add_ServerServiceServicer_to_server,
}

_CLEAN_UP_SECONDS: Final = 5
_RESTART_SECONDS: Final = 1.0
_AGE_MARGIN: Final = timedelta(minutes=1)


def refuse_taken_address(listen: str) -> None:
    """See whether an address can be listened on, before anything is made for a server that could not.

    Raises:
        CannotStartError: it cannot.
    """
    host, _, port = listen.rpartition(":")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise _not_to_be_had(listen, error.strerror or str(error)) from error


def _not_to_be_had(listen: str, why: str) -> CannotStartError:
    return CannotStartError(
        f"The address {listen} cannot be listened on ({why}). "
        "Stop what listens there, or choose another with --listen."
    )


class Listener:
    """Listens, and drains: health first, then watchers are told, then calls have their grace."""

    def __init__(
        self,
        *,
        settings: Settings,
        servicers: Sequence[object],
        health: Health,
        metrics: Metrics,
        drains: Sequence[Callable[[], None]],
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """Set up; `credentials`: to serve TLS with."""
        self._settings = settings
        self._servicers = servicers
        self._health = health
        self._metrics = metrics
        self._drains = drains
        self._credentials = credentials  # kept: grpc.aio holds no reference of its own

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen while the block runs; gives the port.

        Raises:
            CannotStartError: the address cannot be listened on.
        """
        limits = CallLimits(
            max_unary_calls=self._settings.max_concurrent_calls,
            max_streams=self._settings.max_concurrent_watches,
            max_uploads=self._settings.max_concurrent_uploads,
        )
        self._metrics.gauge("calls", "Calls under way that answer once.", lambda: limits.unary_calls)
        self._metrics.gauge("uploads", "Uploads under way.", lambda: limits.uploads)
        self._metrics.gauge("streams", "Calls under way that answer with a stream.", lambda: limits.streams)
        server, port = await self._started(limits, self._settings.listen)
        address = f"{self._settings.listen.rpartition(':')[0]}:{port}"
        keeping = asyncio.create_task(self._kept_up(server, limits, address), name="listener")
        try:
            yield port
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self._health.drain()
            for drain in self._drains:
                drain()
            await self._current.stop(self._settings.drain_seconds)
            # gRPC cancels calls and does not wait for what they clean up.
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLEAN_UP_SECONDS):
                    await limits.until_idle()

    async def _kept_up(self, server: grpc.aio.Server, limits: CallLimits, address: str) -> None:
        """Replace a server that ends by itself.

        grpc.aio's loop does so, and closes the port, when a call's path is not UTF-8: it decodes it before anybody can look at it.
        Calls under way are cut off, and their clients try again.
        """
        while True:
            try:
                # shielded: gRPC's own future would be cancelled, and stopping waits for it
                await asyncio.shield(server.wait_for_termination())
            except Exception as error:  # noqa: BLE001 - whatever ended it
                _log.warning("the gRPC server ended; another takes its place", error=repr(error))
            server = await self._restarted(limits, address)

    async def _restarted(self, limits: CallLimits, address: str) -> grpc.aio.Server:
        while True:
            try:
                server, _ = await self._started(limits, address)
            except CannotStartError as error:
                _log.error("cannot listen again yet", error=str(error))
                await asyncio.sleep(_RESTART_SECONDS)
            else:
                return server

    async def _started(self, limits: CallLimits, listen: str) -> tuple[grpc.aio.Server, int]:
        """Start a server; return it and its port.

        Raises:
            CannotStartError: the address cannot be listened on.
        """
        # Watches end by themselves at their maximum age; the grace lets those that have just begun reach it, and say so.
        age = timedelta(seconds=self._settings.watch_max_age_seconds)
        server = grpc.aio.server(
            interceptors=server_interceptors(
                limits,
                self._metrics,
                default_deadline=timedelta(seconds=self._settings.default_deadline_seconds),
                trusted_proxies=self._settings.trusted_proxies,
            ),
            options=server_channel_options(max_connection_age=age, connection_age_grace=age + _AGE_MARGIN),
        )
        for servicer in self._servicers:
            for base, mount in _MOUNT.items():
                if isinstance(servicer, base):
                    mount(servicer, server)
        await self._health.mount(server)
        add_reflection(server, [*pb.SERVICES, HEALTH])
        try:
            if self._credentials is None:
                port = server.add_insecure_port(listen)
            else:
                port = server.add_secure_port(listen, self._credentials)
        except RuntimeError as error:
            raise _not_to_be_had(listen, str(error)) from error
        await server.start()
        self._current = server
        return server, port
