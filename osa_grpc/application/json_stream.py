"""Reads untrusted JSON from a file value by value, in bounded memory, whatever the file's size and the length of its lines.

Only the ends of values are found here, without recursion; whoever asked for a value decodes it, and so checks its inside.
"""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO, Final, NoReturn

from osa_grpc.domain.errors import BadOutput, BadOutputError

_CHUNK_BYTES: Final = 2**18
_IN_LINE = re.compile(rb"[ \t\r]*")
_ACROSS_LINES = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"[^ \t\r\n,:\[\]{}\"]+")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_HALVES_OF_UTF_16: Final = frozenset({b"[\0", b"{\0", b"\0[", b"\0{"})
_FLAT_LEVELS: Final = 4


def _structure(opening: bytes, *, levels: int) -> bytes:
    """Return the pattern of an object or array that is nested so many levels deep at most."""
    inner = rb"|" + _structure(rb"[\[{]", levels=levels - 1) if levels > 1 else b""
    return opening + rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+"' + inner + rb")*+[\]}]"


_FLAT = _structure(rb"\{", levels=_FLAT_LEVELS)
_FLAT_OBJECT = re.compile(_FLAT, re.DOTALL)
_FLAT_ELEMENT = re.compile(rb"[ \t\r\n]*+(" + _FLAT + rb")[ \t\r\n]*+([,\]])", re.DOTALL)
_FLAT_ELEMENT_IN_LINE = re.compile(_FLAT_ELEMENT.pattern.replace(rb"\n", b""), re.DOTALL)
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[\[\]{}]', re.DOTALL)


class JsonCursor:
    """A position in a file of JSON.

    Args:
        stream: the file; it stays the caller's to close.
        file_name: what errors call it.
        lines: a newline ends a document (JSON Lines), instead of being white space.
        max_value_bytes: the longest value that is given; nothing longer is ever held in memory.

    Raises, from every method:
        BadOutputError: the file is not JSON, or a value is too long.
    """

    def __init__(self, stream: BinaryIO, *, file_name: str, lines: bool, max_value_bytes: int) -> None:
        self._stream = stream
        self._file_name = file_name
        self._lines = lines
        self._space = _IN_LINE if lines else _ACROSS_LINES
        self._max_value_bytes = max_value_bytes
        self._buffer = b""
        self._at = 0
        self._has_begun = False
        self._is_at_end = False
        self.line = 1
        """The line of what comes next, from 1."""

    def fail(self, message: str, *, line: int | None = None, field: str | None = None) -> NoReturn:
        """Raise BadOutputError about this file, at the current line unless told."""
        raise BadOutputError(
            BadOutput(file=self._file_name, line=line or self.line, field=field, message=message)
        )

    def peek(self, *, across_lines: bool = False) -> bytes:
        """Return the next byte that is not white space, without taking it; empty at the end of the file."""
        space = _ACROSS_LINES if across_lines else self._space
        while True:
            match = space.match(self._buffer, self._at)
            assert match is not None
            self._skip_to(match.end())
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if not self._fill():
                return b""

    def take(self, expected: bytes) -> bool:
        """Take the next byte if it is this one; whether it was."""
        if self.peek() != expected:
            return False
        self._at += 1
        return True

    def expect(self, expected: bytes) -> None:
        """Take the next byte, which has to be this one."""
        if not self.take(expected):
            self.fail(f"expected {expected.decode()!r}, found {self.found()}")

    def found(self) -> str:
        """Say what comes next, for a message."""
        if not self.peek():
            return "the end of the file"
        if self._buffer[self._at : self._at + 1] == b"\n":
            return "the end of the line"
        return preview(self._buffer[self._at : self._at + 80].partition(b"\n")[0])

    def elements(self) -> Iterator[tuple[int, bytes]]:
        """Take an array; yield each element with its line."""
        self.expect(b"[")
        if self.take(b"]"):
            return
        flat = _FLAT_ELEMENT_IN_LINE if self._lines else _FLAT_ELEMENT
        while True:
            if match := flat.match(self._buffer, self._at):  # most rows, in one step
                self._skip_to(match.start(1))
                line, text = self.line, match[1]
                self._checked(match.end(1))
                if not (self._lines and b"\n" in text):
                    self._skip_to(match.end())
                    yield line, text
                    if match[2] == b"]":
                        return
                    continue
            self.peek()
            line = self.line
            yield line, self.value()
            if not self.take(b","):
                break
        if not self.take(b"]"):
            self.fail(f"expected ',' or ']', found {self.found()}")

    def value(self) -> bytes:
        """Take the next value, whole, and return its text."""
        first = self.peek()
        if not first or first in b",:]}\n":
            self.fail(f"expected a value, found {self.found()}")
        end = self._end_of_value(first)
        text = self._buffer[self._at : end]
        if self._lines and b"\n" in text:
            self.fail("expected one document on each line, found the end of the line inside of a value")
        self._skip_to(end)
        return text

    def _end_of_value(self, first: bytes) -> int:
        if first == b"{":
            flat = _FLAT_OBJECT.match(self._buffer, self._at)
            if flat is not None:
                return self._checked(flat.end())
        if first in b"{[":
            return self._end_of_structure()
        if first == b'"':
            while (string := _STRING.match(self._buffer, self._at)) is None:
                self._need_more()
            return self._checked(string.end())
        while True:
            scalar = _SCALAR.match(self._buffer, self._at)
            assert scalar is not None
            if scalar.end() < len(self._buffer) or not self._fill():
                return self._checked(scalar.end())
            self._checked(len(self._buffer))

    def _end_of_structure(self) -> int:
        scanned = 0  # relative to the value's start, which `_fill` moves
        depth = 0
        while True:
            for match in _STRUCTURE.finditer(self._buffer, self._at + scanned):
                if match[0][:1] == b'"':
                    if not match[1]:  # a string that goes on beyond the buffer
                        break
                else:
                    depth += 1 if match[0] in b"[{" else -1
                    if depth == 0:
                        return self._checked(match.end())
                scanned = match.end() - self._at
            self._need_more()

    def _checked(self, end: int) -> int:
        if end - self._at > self._max_value_bytes:
            self.fail(f"expected a value of at most {self._max_value_bytes} bytes, found a longer one")
        return end

    def _need_more(self) -> None:
        self._checked(len(self._buffer))
        if not self._fill():
            self.fail("the file ends inside of a value")

    def _skip_to(self, end: int) -> None:
        self.line += self._buffer.count(b"\n", self._at, end)
        self._at = end

    def _fill(self) -> bool:
        """Read on, at least doubling what is held, so that long values cost no more than their length; False at the end."""
        if self._is_at_end:
            return False
        rest = self._buffer[self._at :]
        more = self._stream.read(max(_CHUNK_BYTES, len(rest)))
        if not self._has_begun:
            self._has_begun = True
            if encoding := _strange_encoding(more):
                self.fail(f"expected UTF-8 without a byte order mark, found {encoding}")
        self._is_at_end = not more
        self._buffer, self._at = rest + more, 0
        return bool(more)


def _strange_encoding(beginning: bytes) -> str | None:
    """Return what a file is in that some programs write without being asked, if it is."""
    if beginning.startswith(codecs.BOM_UTF8):
        return "one"
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or beginning[:2] in _HALVES_OF_UTF_16:
        return "UTF-16"
    return None


def preview(text: bytes) -> str:
    """Return the beginning of a value, as a message may show it."""
    shown = text[:60].decode("utf-8", "replace")
    printable = "".join(c if c.isprintable() else "�" for c in shown)
    return f"{printable}…" if len(text) > 60 else printable  # noqa: PLR2004 - the length above
