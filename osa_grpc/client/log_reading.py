"""Reading a hook's log: every byte once and in order, whatever happens to the connections."""

from collections.abc import Sequence
from dataclasses import dataclass

from osa_grpc.client.resumption import Resumption
from osa_grpc.wire import pb
from osa_grpc.wire.rpc_error import OsaRpcError


@dataclass(frozen=True, kw_only=True)
class LogPiece:
    """Some bytes of a log."""

    offset: int
    data: bytes
    truncated: bool = False
    """The log was longer than the server keeps; this (without data) is the end of what was kept."""
    gap: bool = False
    """Just before this piece, bytes may be missing, or be there twice."""

    @property
    def text(self) -> str:
        """The bytes as text, with U+FFFD where they are not UTF-8."""
        return self.data.decode("utf-8", errors="replace")


class LogReading:
    """A `ResumableStream` of pieces of the log of one attempt."""

    def __init__(self, *, name: str, attempt: int, offset: int, follow: bool, resumption: Resumption) -> None:
        self._name = name
        self._attempt = attempt
        self._offset = offset
        self._follow = follow
        self._resumption = resumption

    def request(self) -> pb.ReadRunLogRequest:
        """Return the request that continues at the next byte."""
        return pb.ReadRunLogRequest(
            name=self._name, attempt=self._attempt, offset=self._offset, follow=self._follow
        )

    def take(self, response: pb.ReadRunLogResponse) -> Sequence[LogPiece]:
        """Take a response; bytes that were received already are cut off."""
        self._resumption.received()
        data = response.data if response.WhichOneof("content") == "data" else response.text.encode()
        data = data[max(0, self._offset - response.offset) :]
        gap = response.gap and response.offset >= self._offset
        if not (data or response.truncated or gap):
            return []
        piece = LogPiece(
            offset=max(self._offset, response.offset), data=data, truncated=response.truncated, gap=gap
        )
        self._offset = piece.offset + len(data)
        return [piece]

    @property
    def wants_new_call(self) -> bool:
        """Never: the server ends its calls itself."""
        return False

    def ended(self) -> float | None:
        """OK comes at the end of the log only."""
        return None

    def interrupted(self, error: OsaRpcError) -> float | None:
        """The log goes on where it was cut."""
        return self._resumption.seconds_after_error(error)


def latest_attempt(run: pb.Run, execution: str) -> int:
    """Return the number of the execution's latest attempt, 0 when there was none.

    A reading names its attempt, because "the latest" may be another one when it is resumed.
    """
    return next((e.attempt for e in run.executions if e.name == execution), 0)


def run_of(execution: str) -> str:
    """Return `runs/{run}` of `runs/{run}/executions/{hook}`."""
    return execution.partition("/executions/")[0]
