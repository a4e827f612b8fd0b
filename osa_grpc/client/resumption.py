"""When a stream that was cut is opened again, and when it is given up.

A stream is opened again after a loss of connection and whenever the server says `closing`. The first call is not: when
nothing was ever received, the caller learns at once that the server is not there.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from osa_grpc.client.backoff import Backoff
from osa_grpc.wire.rpc_error import OsaRpcError

ResponseT_contra = TypeVar("ResponseT_contra", contravariant=True)
ItemT_co = TypeVar("ItemT_co", covariant=True)

_CUT_BY_TRANSPORT = frozenset(
    {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED}
)  # what a reset stream is turned into; from our server such a code comes with a reason


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """A stream was cut and will be resumed."""

    error: OsaRpcError | None
    """Why; None when the server announced it."""
    seconds: float
    """How long is waited first."""


def ignore(_: Interruption) -> None:
    """Do nothing."""


@dataclass(kw_only=True)
class Resumption:
    """Decides how long to wait before a stream is opened again. One per stream, shared by all its calls."""

    backoff: Backoff = field(default_factory=Backoff)
    patience_seconds: float = 300.0
    """How long in a row nothing may be received before the error is raised."""
    on_interruption: Callable[[Interruption], None] = ignore
    clock: Callable[[], float] = time.monotonic
    _failures: int = 0
    _received_at: float | None = None

    def received(self) -> None:
        """Something was received."""
        self._failures = 0
        self._received_at = self.clock()

    def seconds_after_error(self, error: OsaRpcError) -> float:
        """Return how long to wait before the stream is opened again. Raises the error when it is not to be."""
        if self._received_at is None or not _may_pass(error):
            raise error
        if self.clock() - self._received_at > self.patience_seconds:
            raise error
        asked = error.retry_delay.total_seconds() if error.retry_delay is not None else 0.0
        return self._wait(error, asked)

    def seconds_after_closing(self, asked_seconds: float) -> float:
        """Return how long to wait after the server announced that it closes the stream."""
        return self._wait(None, asked_seconds)

    def _wait(self, error: OsaRpcError | None, asked_seconds: float) -> float:
        self._failures += 1
        seconds = self.backoff.seconds(self._failures, asked_seconds=asked_seconds)
        self.on_interruption(Interruption(error=error, seconds=seconds))
        return seconds


def _may_pass(error: OsaRpcError) -> bool:
    if error.code is grpc.StatusCode.UNAVAILABLE or error.reason == "SLOW_CONSUMER":
        return True
    return error.code in _CUT_BY_TRANSPORT and not error.reason


class ResumableStream(Protocol[ResponseT_contra, ItemT_co]):
    """A stream over as many calls as it takes. Pure: whoever drives it makes the calls and waits."""

    def request(self) -> Message:
        """Return the request of the next call: what was received so far is not asked for again."""

    def take(self, response: ResponseT_contra) -> Sequence[ItemT_co]:
        """Take a response; return what the consumer gets."""

    @property
    def wants_new_call(self) -> bool:
        """Whether the call is to be ended and another one made."""

    def ended(self) -> float | None:
        """The call has ended with OK, or was ended: None when the stream is over, else seconds until the next call."""

    def interrupted(self, error: OsaRpcError) -> float | None:
        """The call has failed: None when the stream is over all the same, else seconds until the next call.

        Raises:
            OsaRpcError: the error, when another call would not help.
        """
