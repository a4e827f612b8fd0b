import asyncio
import contextlib
from collections import deque
from pathlib import Path

import structlog

from osa_grpc.application.disk_room import says_out_of_room

_log = structlog.get_logger(__name__)

_LAST_LINES = 20
_LAST_WORDS_SECONDS = 5


class PostgresLog:
    """What the embedded Postgres says: handed on to our log, and its last lines kept to tell why it ended.

    `is_quiet`: what it says now is no cause for a warning, because it was asked to stop.
    """

    def __init__(self, *, directory: Path) -> None:
        self.is_quiet = False
        self._directory = directory
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._reading: asyncio.Task[None] | None = None

    def read(self, stream: asyncio.StreamReader) -> None:
        """Begin to read what a new process says."""
        self.is_quiet = False
        self._last_lines.clear()
        self._reading = asyncio.create_task(self._read(stream), name="embedded-postgres-log")

    async def to_its_end(self) -> None:
        """Wait until all was read that the process said, which is over; not for ever."""
        if self._reading is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reading, _LAST_WORDS_SECONDS)
            self._reading = None

    def why(self) -> str:
        """Why it ended, or did not start: a sentence if it is one of the known reasons, else the last lines."""
        text = "\n".join(self._last_lines)
        return reason_in(text, directory=self._directory) or text or "it said nothing"

    async def _read(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                self._last_lines.append(text)
                severe = text.startswith(("WARNING", "FATAL", "PANIC"))
                (_log.warning if severe and not self.is_quiet else _log.debug)("postgres", line=text)


def reason_in(text: str, *, directory: Path) -> str | None:
    """A sentence for a reason that is known: the disk is full. Postgres's own words then are many, and hint at corruption."""
    if says_out_of_room(text) or "Check free disk space" in text:  # its hint where it could write only a part
        return (
            f"no room is left on the disk of {directory}. Make room there (df -h {directory}) and start the server "
            "again; nothing that was stored is lost."
        )
    return None
