"""What is counted for operators, as Prometheus reads it; off unless an address is given.

This is the one place that knows how metrics are kept. The application counts through the port `Telemetry`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.run import Verdict
from osa_grpc.server.access_log import code_of
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.rpc_wrapping import Rpc

_RPC_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 300)
_HOOK_SECONDS: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)


class Metrics:
    """The server's metrics. Fills the port `Telemetry`."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self._rpcs = Counter("osa_grpc_rpcs", "Calls ended.", ["method", "code"], registry=self.registry)
        self._rpc_seconds = Histogram(
            "osa_grpc_rpc_seconds",
            "How long calls took that answer once.",
            ["method"],
            buckets=_RPC_SECONDS,
            registry=self.registry,
        )
        self._hooks = Counter(
            "osa_grpc_hooks", "Hook executions ended.", ["hook", "verdict"], registry=self.registry
        )
        self._retries = Counter(
            "osa_grpc_hook_retries",
            "Attempts that are made again, by what went wrong.",
            ["hook", "cause"],
            registry=self.registry,
        )
        self._hook_seconds = Histogram(
            "osa_grpc_hook_seconds",
            "How long hooks took, from having a place to the verdict.",
            ["hook"],
            buckets=_HOOK_SECONDS,
            registry=self.registry,
        )
        self._running = Gauge(
            "osa_grpc_hooks_running", "Hooks that have a place now.", registry=self.registry
        )

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read when somebody asks."""
        Gauge(f"osa_grpc_{name}", text, registry=self.registry).set_function(read)

    @contextmanager
    def running_hook(self, hook: str) -> Iterator[None]:
        """Count a hook as running while the block runs."""
        started = time.monotonic()
        with self._running.track_inprogress():
            yield
        self._hook_seconds.labels(hook).observe(time.monotonic() - started)

    def hook_ended(self, hook: str, verdict: Verdict) -> None:
        """Count a verdict."""
        self._hooks.labels(hook, verdict.value).inc()

    def hook_retried(self, hook: str, kind: FailureKind) -> None:
        """Count an attempt that is made again, by its cause."""
        self._retries.labels(hook, kind.value).inc()

    @asynccontextmanager
    async def measured(self, rpc: Rpc) -> AsyncIterator[None]:
        """Count a call, and how long it took if it answers once."""
        started = time.monotonic()
        cancelled = False
        try:
            yield
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            self._rpcs.labels(rpc.method, code_of(rpc, cancelled=cancelled)).inc()
            if not rpc.is_streaming:
                self._rpc_seconds.labels(rpc.method).observe(time.monotonic() - started)

    @contextmanager
    def exposed(self, address: str | None) -> Iterator[None]:
        """Serve `/metrics` over HTTP while the block runs; None: do not.

        Raises:
            CannotStartError: the address cannot be listened on.
        """
        if address is None:
            yield
            return
        host, _, port = address.rpartition(":")
        try:
            server, thread = start_http_server(int(port), addr=host, registry=self.registry)
        except (OSError, ValueError) as error:
            raise CannotStartError(
                f"Metrics cannot be served at {address}: {error}. Choose another --metrics-listen."
            ) from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
