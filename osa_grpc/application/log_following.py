"""Reading and following what a hook's container wrote."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from osa_grpc.application.ports import Doorbell, run_bell
from osa_grpc.application.run_control import no_run
from osa_grpc.application.storage_ports import LogState, Storage
from osa_grpc.domain.errors import NotFoundError, OutOfRangeError, UnavailableError
from osa_grpc.domain.names import RunId, execution_name
from osa_grpc.domain.run import HookExecution

MessageT = TypeVar("MessageT")

_PIECE_BYTES = 64 * 2**10


@dataclass(frozen=True, kw_only=True)
class LogPiece:
    """Bytes of the log of one attempt (0: none has begun).

    `is_end`: nothing follows in this reading. `is_truncated`: the log was longer than what is kept. `is_after_gap`: just before,
    bytes may be missing, or be there twice. `is_sign_of_life`: no bytes, but the reading goes on.
    """

    attempt: int
    offset: int
    data: bytes
    is_end: bool = False
    is_truncated: bool = False
    is_after_gap: bool = False
    is_sign_of_life: bool = False


class LogFollowing:
    """Serves readers of logs. A slow reader slows nobody: each reads from its own offset."""

    def __init__(
        self,
        *,
        storage: Storage,
        doorbell: Doorbell,
        poll: timedelta = timedelta(seconds=5),
        longest_silence: timedelta = timedelta(seconds=15),
    ) -> None:
        self._storage = storage
        self._doorbell = doorbell
        self._poll = poll
        self._longest_silence_seconds = longest_silence.total_seconds()
        self._is_draining = False

    def drain(self) -> None:
        """End every following reader soon."""
        self._is_draining = True

    async def read(
        self, run: RunId, hook: str, *, attempt: int, offset: int, follow: bool
    ) -> AsyncGenerator[LogPiece, None]:
        """Yield pieces of at most 64 KiB from `offset` on; the last has `is_end`, and may be empty. No piece spans a gap.

        While nothing is written for long a sign of life is yielded, lest somebody in between takes the stream for dead.

        `attempt` 0 is the latest; if there is none yet, the log is empty, or waited for when it is followed.

        Raises:
            NotFoundError: there is no such run, execution or attempt.
            OutOfRangeError: the offset is beyond the end.
            UnavailableError: the server goes away while the log is followed (`SERVER_DRAINING`).
        """
        first = True
        clock = asyncio.get_running_loop().time
        yielded_at = clock()
        with self._doorbell.subscription(run_bell(run)) as bell:
            while True:
                bell.clear()
                execution, attempt, state = await self._look(run, hook, attempt)
                if first and offset > state.size_bytes:
                    raise OutOfRangeError(f"expected an offset from 0 to {state.size_bytes}, found {offset}")
                first = False
                async for piece in self._pieces(execution, attempt, offset, state):
                    offset = piece.offset + len(piece.data)
                    yield piece
                    yielded_at = clock()
                if not follow or state.is_closed:
                    yield LogPiece(
                        attempt=attempt,
                        offset=offset,
                        data=b"",
                        is_end=True,
                        is_truncated=state.is_truncated,
                        is_after_gap=offset in state.gap_offsets,
                    )
                    return
                if self._is_draining:
                    raise UnavailableError(
                        "the server stops; read on from the offset", reason="SERVER_DRAINING"
                    )
                if clock() - yielded_at >= self._longest_silence_seconds:
                    yield LogPiece(attempt=attempt, offset=offset, data=b"", is_sign_of_life=True)
                    yielded_at = clock()
                await bell.wait(at_most=self._poll)

    async def _look(self, run: RunId, hook: str, attempt: int) -> tuple[HookExecution, int, LogState]:
        async with self._storage.reading() as tx:
            found = await tx.runs.find(run)
            if found is None:
                raise no_run(run)
            name = execution_name(run, hook)
            resource = "opensciencearchive.org/HookExecution"
            try:
                execution = found.execution(hook)
            except KeyError:
                raise NotFoundError(resource_type=resource, name=name) from None
            if attempt > execution.attempt:
                raise NotFoundError(
                    resource_type=resource,
                    name=name,
                    message=f"{name} has no attempt {attempt}; its latest is {execution.attempt}",
                )
            attempt = attempt or execution.attempt
            state = await tx.run_logs.state(execution.id, attempt)
        is_past = attempt < execution.attempt or execution.is_over or found.state.is_terminal
        if state is None:
            return execution, attempt, LogState(size_bytes=0, is_closed=is_past, is_truncated=False)
        return execution, attempt, replace(state, is_closed=state.is_closed or is_past)

    async def _pieces(
        self, execution: HookExecution, attempt: int, offset: int, state: LogState
    ) -> AsyncGenerator[LogPiece, None]:
        while offset < state.size_bytes:
            end = min(
                gap for gap in (*state.gap_offsets, state.size_bytes, offset + _PIECE_BYTES) if gap > offset
            )
            async with self._storage.reading() as tx:
                data = await tx.run_logs.read(execution.id, attempt, offset, limit=end - offset)
            if not data:
                return
            yield LogPiece(
                attempt=attempt, offset=offset, data=data, is_after_gap=offset in state.gap_offsets
            )
            offset += len(data)


async def as_text(
    pieces: AsyncIterator[LogPiece], make: Callable[[LogPiece, str | None], MessageT]
) -> AsyncGenerator[MessageT, None]:
    """Hand each piece to `make`, with its text where it is UTF-8; a character that a cut divides goes into the next piece, but
    for one that a gap divides.
    """
    rest: LogPiece | None = None
    async for part in pieces:
        if part.is_sign_of_life:  # at the offset where the next bytes will be
            yield make(part if rest is None else replace(part, offset=rest.offset), None)
            continue
        piece = part
        if rest is not None and part.is_after_gap:
            yield make(rest, None)
        elif rest is not None:
            piece = replace(
                part, offset=rest.offset, data=rest.data + part.data, is_after_gap=rest.is_after_gap
            )
        cut = len(piece.data) if piece.is_end else _whole_characters(piece.data)
        whole = replace(piece, data=piece.data[:cut])
        if cut or (piece.is_end and (piece.is_truncated or piece.is_after_gap)):
            yield make(whole, _text(whole.data))
        rest = None
        if cut < len(piece.data):
            rest = LogPiece(
                attempt=piece.attempt,
                offset=piece.offset + cut,
                data=piece.data[cut:],
                is_after_gap=piece.is_after_gap and not cut,
            )


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _whole_characters(data: bytes) -> int:
    """Return how many bytes come before a character that is cut off at the end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:  # noqa: PLR2004 - 10xxxxxx continues a character
            continue
        wants = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 0b11110 else 1  # noqa: PLR2004 - UTF-8
        return len(data) - back if wants > back else len(data)
    return len(data)
