"""Reading what a container has written, which may be anything: links, pipes, devices, lines without end."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

import msgspec

from osa_grpc.domain.errors import BadOutput, BadOutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from pathlib import Path

_READ_BYTES: Final = 64 * 1024


def open_regular(directory: Path, name: str, *, max_bytes: int | None) -> BufferedReader | None:
    """Open a regular file of a directory for reading, without ever following a link; None if there is none.

    Raises:
        BadOutputError: it is something else, larger than `max_bytes`, or cannot be read.
    """
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError as error:  # the container, running as ourselves, has closed it
        raise bad_output(name, f"its directory cannot be read: {error.strerror}") from error
    try:
        # O_NONBLOCK: opening a pipe waits for a writer otherwise.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.ENODEV}:
            raise bad_output(name, "expected a regular file, found a link or a device") from error
        raise bad_output(name, f"it cannot be read: {error.strerror}") from error
    finally:
        os.close(folder)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise bad_output(name, "expected a regular file, found something else")
    if max_bytes is not None and status.st_size > max_bytes:
        os.close(fd)
        raise bad_output(name, f"it has {status.st_size} bytes, at most {max_bytes} are read")
    return os.fdopen(fd, "rb")


class Lines:
    """Cuts a stream of bytes into lines. A line longer than `max_bytes` is given as None, with bounded memory."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._is_too_long = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Yield the lines that end within `data`, without their newlines."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._add(piece)
            yield self._take()
        self._add(rest)

    def end(self) -> Iterator[bytes | None]:
        """Yield the last line, if it has no newline."""
        if self._rest or self._is_too_long:
            yield self._take()

    def clear(self) -> None:
        """Forget the beginning of a line that was fed."""
        self._rest.clear()
        self._is_too_long = False

    def _add(self, piece: bytes) -> None:
        if self._is_too_long:
            return
        if len(self._rest) + len(piece) > self._max_bytes:
            self._is_too_long = True
            self._rest.clear()
        else:
            self._rest += piece

    def _take(self) -> bytes | None:
        line = None if self._is_too_long else bytes(self._rest)
        self.clear()
        return line


def lines_of(stream: BufferedReader, *, max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines that are not blank with their numbers, from 1; None for one that is too long."""
    lines = Lines(max_bytes=max_bytes)
    number = 0
    while data := stream.read(_READ_BYTES):
        for line in lines.feed(data):
            number += 1
            if line is None or line.strip():
                yield number, line
    for line in lines.end():
        if line is None or line.strip():
            yield number + 1, line


def json_object(line: bytes | None) -> dict[str, object] | None:
    """Return the JSON object in a line, or None if it is anything else."""
    if line is None:
        return None
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def as_text(value: object, *, max_length: int) -> str:
    """Return a text of a hook's as Postgres and protobuf can hold it, cut; nothing for null, JSON for what is no text."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:max_length].replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def bad_output(
    file: str, message: str, *, line: int | None = None, field: str | None = None
) -> BadOutputError:
    """An error that says where a hook's output is wrong."""
    return BadOutputError(BadOutput(file=file, line=line, field=field, message=message))
