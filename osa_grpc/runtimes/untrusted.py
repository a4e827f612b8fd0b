"""Reading what a container has written, which may be anything: links, pipes, devices, lines without end."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from osa_grpc.domain.errors import BadOutput, BadOutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader
    from pathlib import Path

_READ_BYTES: Final = 64 * 1024
_REFUSED: Final = {errno.ELOOP: "a link", errno.ENXIO: "a socket or a device", errno.ENODEV: "a device"}
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


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
        if error.errno in _REFUSED:
            raise bad_output(name, f"expected a regular file, found {_REFUSED[error.errno]}") from error
        raise bad_output(name, f"it cannot be read: {error.strerror}") from error
    finally:
        os.close(folder)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise bad_output(name, f"expected a regular file, found {kind}")
    if max_bytes is not None and status.st_size > max_bytes:
        os.close(fd)
        raise bad_output(name, f"it has {status.st_size} bytes, at most {max_bytes} are read")
    return os.fdopen(fd, "rb")


@dataclass(frozen=True, kw_only=True)
class LongLine:
    """A line that was too long to be kept. `has_word`: whether it had the word that was looked for, in whatever letters."""

    has_word: bool = False


class Lines:
    """Cuts a stream of bytes into lines; a `LongLine` stands for one longer than `max_bytes`, so that memory is bounded.

    `word`: in small letters, what to look for in lines that are too long.
    """

    def __init__(self, *, max_bytes: int, word: bytes = b"") -> None:
        self._max_bytes = max_bytes
        self._word = word
        self._rest = bytearray()
        self._long: LongLine | None = None

    def feed(self, data: bytes) -> Iterator[bytes | LongLine]:
        """Yield the lines that end within `data`, without their newlines."""
        *ended, rest = data.split(b"\n")
        for piece in ended:
            if not self._rest and self._long is None and len(piece) <= self._max_bytes:
                yield piece
                continue
            self._add(piece)
            yield self._take()
        self._add(rest)

    def end(self) -> Iterator[bytes | LongLine]:
        """Yield the last line, if it has no newline."""
        if self._rest or self._long is not None:
            yield self._take()

    def clear(self) -> None:
        """Forget the beginning of a line that was fed."""
        self._rest.clear()
        self._long = None

    def _add(self, piece: bytes) -> None:
        self._rest += piece
        if self._long is None and len(self._rest) <= self._max_bytes:
            return
        has_word = self._long is not None and self._long.has_word
        has_word = has_word or (bool(self._word) and self._word in self._rest.lower())
        self._long = LongLine(has_word=has_word)
        del self._rest[: max(0, len(self._rest) - len(self._word))]  # the word may be cut by the next piece

    def _take(self) -> bytes | LongLine:
        line = bytes(self._rest) if self._long is None else self._long
        self.clear()
        return line


def lines_of(
    stream: BufferedReader,
    *,
    max_bytes: int,
    word: bytes = b"",
    may_matter: Callable[[bytes], bool] = lambda _: True,
) -> Iterator[tuple[int, bytes | LongLine]]:
    """Yield the lines that are not blank with their numbers, from 1; as `Lines` has them.

    `may_matter` is asked about many lines at once, and may say that none of them is wanted: there may be millions.
    """
    lines = Lines(max_bytes=max_bytes, word=word)
    number = 0
    while data := stream.read(_READ_BYTES):
        wanted, passed_over = (data, 0) if may_matter(data) else _ends_of(data)
        for line in lines.feed(wanted):
            number += 1
            if isinstance(line, LongLine) or line.strip():
                yield number, line
            number, passed_over = number + passed_over, 0
    for line in lines.end():
        if isinstance(line, LongLine) or line.strip():
            yield number + 1, line


def _ends_of(data: bytes) -> tuple[bytes, int]:
    """Return data without its whole lines, and how many these were: its first may have begun before, its last may go on."""
    first, newline, rest = data.partition(b"\n")
    _, _, last = rest.rpartition(b"\n")
    return first + newline + last, rest.count(b"\n")


def json_object(line: bytes | LongLine) -> dict[str, object] | None:
    """Return the JSON object in a line, or None if it is anything else.

    What programs write for JSON is taken as well: NaN, halves of characters, tabs in texts, other encodings than UTF-8. A rejection
    must not be missed for that.
    """
    if isinstance(line, LongLine):
        return None
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        try:
            value = json.loads(line.decode("utf-8-sig", errors="replace"), strict=False)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def as_text(value: object, *, max_length: int) -> str:
    """Return a text of a hook's as Postgres and protobuf can hold it, cut; nothing for null, JSON for what is no text."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json_text(value)
    if text.isascii() and "\x00" not in text:
        return text[:max_length]
    text = text[:max_length]
    if text.isascii() and "\x00" not in text:
        return text
    text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # halves of characters


def _json_text(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except ValueError:  # the same
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def bad_output(
    file: str, message: str, *, line: int | None = None, field: str | None = None
) -> BadOutputError:
    """An error that says where a hook's output is wrong."""
    return BadOutputError(BadOutput(file=file, line=line, field=field, message=message))
