"""Whether a call that changes something is sent again.

Reads are retried by the channel, as the service config says. A mutation carries a request id, and the server gives the
same answer to the same request however often it comes; so it is sent again, a few times, when the server was not
there to answer. Nothing else is ever repeated.
"""

from dataclasses import dataclass, field

import grpc

from osa_grpc.client.backoff import Backoff
from osa_grpc.wire.rpc_error import OsaRpcError

MAX_ATTEMPTS = 4


@dataclass(kw_only=True)
class Repeating:
    """The attempts of one call."""

    allowed: bool
    backoff: Backoff = field(default_factory=Backoff)
    _failures: int = 0

    def seconds_after(self, error: OsaRpcError) -> float:
        """Return how long to wait before the call is sent again. Raises the error when it is not to be."""
        self._failures += 1
        if (
            not self.allowed
            or error.code is not grpc.StatusCode.UNAVAILABLE
            or self._failures >= MAX_ATTEMPTS
        ):
            raise error
        asked = error.retry_delay.total_seconds() if error.retry_delay is not None else 0.0
        return self.backoff.seconds(self._failures, asked_seconds=asked)
