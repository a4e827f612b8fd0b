"""How far a container's log has been taken, so that whoever comes next can go on at the same byte.

Stdout and stderr each are a sequence of bytes that everybody sees alike; how the two are interleaved depends on who looks. So a
position counts each of them from its beginning, and has a checksum over what it counted.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

STDOUT: Final = 1
STDERR: Final = 2


class LogPiece(NamedTuple):
    """Bytes that a container wrote to one of its streams, STDOUT or STDERR; or `GAP`."""

    stream: int
    data: bytes


GAP: Final = LogPiece(0, b"")
"""Here bytes may be missing, or come twice."""


@dataclass(frozen=True, kw_only=True)
class StreamPosition:
    """A number of bytes from a stream's beginning, and the CRC-32 of them."""

    size_bytes: int = 0
    crc32: int = 0

    def after(self, data: bytes) -> StreamPosition:
        """Return the position when these bytes are taken as well."""
        return StreamPosition(
            size_bytes=self.size_bytes + len(data), crc32=zlib.crc32(data, self.crc32) if data else self.crc32
        )


@dataclass(frozen=True, kw_only=True)
class LogPosition:
    """How far a log has been taken. Not `is_exact` once there was a gap: then only `at` says where it goes on."""

    stdout: StreamPosition = field(default_factory=StreamPosition)
    stderr: StreamPosition = field(default_factory=StreamPosition)
    at: datetime | None = None
    """When the last of it came; None if nothing has."""
    is_exact: bool = True
