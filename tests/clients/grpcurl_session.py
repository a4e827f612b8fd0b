"""A session in a terminal as a document shows it: lines that begin with `$ ` are commands, what follows is what they print.

What differs from one server to the next (ids, instants, tokens, the address) is compared by its form; an id that a command takes
from an output before it is given as this server's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

SHOWN_ADDRESS = "127.0.0.1:50051"
_VARYING = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # ids
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"  # instants
    r"|A[A-Za-z0-9_-]{39,}"  # tokens
)


@dataclass(frozen=True)
class Step:
    """A command and what it prints."""

    command: str
    shown: str


def steps_of(session: str) -> Iterator[Step]:
    """Read a session."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        end = next(i for i, line in enumerate(lines) if not line.endswith("\\\n")) + 1
        yield Step("".join(lines[:end]).rstrip("\n"), "".join(lines[end:]).rstrip("\n"))


class Terminal:
    """Runs commands of a session at another server."""

    def __init__(self, *, address: str, path: str) -> None:
        self._address = address
        self._path = path
        self._ours: dict[str, str] = {}

    def given(self, command: str) -> str:
        """Return a command of the document with this server's ids."""
        for theirs, ours in self._ours.items():
            command = command.replace(theirs, ours)
        return command

    async def run(self, command: str) -> str:
        """Run a command; return what it prints, with the address as the document has it."""
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", command.replace(SHOWN_ADDRESS, self._address)),
            env={"PATH": self._path},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return output.decode().replace(self._address, SHOWN_ADDRESS).rstrip("\n")

    def learn(self, shown: str, printed: str) -> None:
        """Learn what this server has in place of what the document shows."""
        self._ours |= dict(zip(_VARYING.findall(shown), _VARYING.findall(printed), strict=False))


def form_of(text: str) -> str:
    """Return the text with everything that varies replaced by one sign."""
    return _VARYING.sub("~", text)
