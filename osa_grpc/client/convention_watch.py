"""Watching a convention until it can be used, or cannot."""

from collections.abc import Sequence

from osa_grpc.client.resumption import Resumption
from osa_grpc.wire import pb
from osa_grpc.wire.rpc_error import OsaRpcError

_FINAL = frozenset({pb.CONVENTION_STATE_READY, pb.CONVENTION_STATE_FAILED})


class ConventionWatch:
    """A `ResumableStream` of a convention's states, up to READY or FAILED. A state may come again after a resume."""

    def __init__(self, *, name: str, resumption: Resumption) -> None:
        self._name = name
        self._resumption = resumption
        self._last: pb.Convention | None = None

    def request(self) -> pb.WatchConventionRequest:
        """Return the request; every call starts with the convention as it is."""
        return pb.WatchConventionRequest(name=self._name)

    def take(self, response: pb.WatchConventionResponse) -> Sequence[pb.Convention]:
        """Take a response; nothing comes of one that says what is known."""
        self._resumption.received()
        if response.convention == self._last:
            return []
        self._last = response.convention
        return [response.convention]

    @property
    def wants_new_call(self) -> bool:
        """Never: the server ends its calls itself."""
        return False

    def ended(self) -> float | None:
        """It is over, also after a state of a newer contract, unless the last that was seen cannot be the last."""
        if self._last is None or self._last.state == pb.CONVENTION_STATE_PENDING:
            return self._resumption.seconds_after_closing(0.0)
        return None

    def interrupted(self, error: OsaRpcError) -> float | None:
        """After READY or FAILED nothing is missing; before, the watch goes on if it can."""
        return None if self._is_final() else self._resumption.seconds_after_error(error)

    def _is_final(self) -> bool:
        return self._last is not None and self._last.state in _FINAL
