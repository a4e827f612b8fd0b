"""Where a container's log goes on, kept in a file beside its output for the server that adopts it.

What is kept of a log is one sequence of bytes; its length does not say how much of it came from stdout and how much from stderr.
The mark does. It is written before each chunk is handed on, and has the position before and behind that chunk: however a server
is killed, the number of bytes that were kept is one of the two.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from osa_grpc.runtimes.log_position import STDERR, STDOUT, LogPosition, StreamPosition

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from osa_grpc.runtimes.log_position import LogPiece

_FILE_BYTES: Final = 512
"""Always the whole file in one write: less than a page, so a process that is killed leaves the old one or the new one."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A number of bytes that were kept, and the position in the container's log that they lead to."""

    kept_bytes: int
    position: LogPosition


class LogMark:
    """The mark of one container's log, of which `cap_bytes` are kept at most: it goes as far as just behind that.

    Each holder of the container makes a new file; whoever held it before writes to none.
    """

    def __init__(self, *, path: Path, cap_bytes: int, kept_bytes: int, position: LogPosition) -> None:
        self._place = _Place(kept_bytes=kept_bytes, position=position)
        self._cap_bytes = cap_bytes
        scratch = path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        self._file = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._write(self._place)
            scratch.rename(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file, which stays."""
        os.close(self._file)

    def goes_to(self, pieces: Sequence[LogPiece]) -> None:
        """Say that these bytes are being handed on."""
        if self._place.kept_bytes > self._cap_bytes:
            return
        before = self._place.position
        streams = {STDOUT: before.stdout, STDERR: before.stderr}
        kept_bytes = self._place.kept_bytes
        for piece in pieces:
            streams[piece.stream] = streams[piece.stream].after(piece.data)
            kept_bytes += len(piece.data)
        after = replace(before, stdout=streams[STDOUT], stderr=streams[STDERR], at=datetime.now(UTC))
        self._move(_Place(kept_bytes=kept_bytes, position=after))

    def passes_gap(self) -> None:
        """Say that the log has a gap here: from now on its bytes cannot be counted."""
        self._move(replace(self._place, position=replace(self._place.position, is_exact=False)))

    def _move(self, after: _Place) -> None:
        self._write(after)
        self._place = after

    def _write(self, after: _Place) -> None:
        text = json.dumps([_to_json(self._place), _to_json(after)])
        with contextlib.suppress(OSError):  # without it there may be a gap, no more
            os.pwrite(self._file, text.ljust(_FILE_BYTES).encode(), 0)


def marked_position(path: Path, *, kept_bytes: int, cap_bytes: int) -> LogPosition:
    """Return where the log goes on of which so many bytes were kept; without a mark that fits, after a gap.

    A log of which no more is kept than `cap_bytes` goes on before the chunk that was too much: so it is seen again to be cut.
    """
    try:
        places = [_from_json(entry) for entry in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError):
        places = []
    if kept_bytes == 0 and not places:
        return LogPosition()
    for place in places:
        if place.kept_bytes == kept_bytes:
            return place.position
    places.sort(key=lambda place: place.kept_bytes)
    if places and kept_bytes >= cap_bytes:
        return places[0].position
    return LogPosition(at=places[-1].position.at if places else None, is_exact=False)


def _to_json(place: _Place) -> dict[str, object]:
    position = place.position
    return {
        "kept": place.kept_bytes,
        "stdout": [position.stdout.size_bytes, position.stdout.crc32],
        "stderr": [position.stderr.size_bytes, position.stderr.crc32],
        "at": position.at and position.at.isoformat(),
        "exact": position.is_exact,
    }


def _from_json(entry: dict[str, object]) -> _Place:
    kept, at = entry["kept"], entry["at"]
    if not isinstance(kept, int):
        raise TypeError(kept)
    return _Place(
        kept_bytes=kept,
        position=LogPosition(
            stdout=_stream(entry["stdout"]),
            stderr=_stream(entry["stderr"]),
            at=datetime.fromisoformat(at) if isinstance(at, str) else None,
            is_exact=entry["exact"] is True,
        ),
    )


def _stream(entry: object) -> StreamPosition:
    match entry:
        case [int(size_bytes), int(crc32)]:
            return StreamPosition(size_bytes=size_bytes, crc32=crc32)
        case _:
            raise TypeError(entry)
