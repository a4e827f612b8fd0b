"""A session in a terminal as a document shows it, in blocks of `console`: `$ ` begins a command, what follows is what it prints.

What differs from one server to the next (ids, instants, tokens, the address, the machine) is compared by its form; an id that a
command takes from an output before it is given as this server's. Messages are compared by what they mean, so that one document
holds for tools that print them in other ways, and a live watch by its events, however many came at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN_ADDRESS = "127.0.0.1:50051"
WRITES = "OSA_WRITE_DOCUMENTS" in os.environ
"""Write what commands print into the document, instead of comparing."""

_BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
_TYPED = tuple(
    re.compile(pattern)
    for pattern in (
        r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",  # ids
        r"(?<=deliveries/)\d+",
        r"A[A-Za-z0-9_-]{39,}",  # tokens
    )
)
"""What a reader types as their own server showed it."""

_VARYING = re.compile(
    "|".join(
        (
            *(pattern.pattern for pattern in _TYPED),
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",  # instants
            r"(?<=\")\d+\.\d+s(?=\")",  # durations that were measured
            r"(?<=sha256:)[0-9a-f]{64}",  # images
            r"(?:docker|podman) [^\s\"]+ \w+/\w+",  # engines
            r"(?<=\"cpus\": )[\d.]+|(?<=\"memoryBytes\": )\"\d+\"",  # what they have
            r"(?<=\"maxRunningHooks\": )\d+|(?<=\"maxRetryMemoryBytes\": )\"\d+\"",  # what follows from it
        )
    )
)
_DETAIL = re.compile(r"^ *\d+\)\t", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A command and what it prints."""

    command: str
    shown: str


def steps_in(document: str) -> list[Step]:
    """Read a document's sessions."""
    return [step for block in _BLOCK.findall(document) for step in _steps_of(block)]


def _steps_of(session: str) -> list[Step]:
    steps = []
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        end = next(i for i, line in enumerate(lines) if not line.endswith("\\\n")) + 1
        steps.append(Step("".join(lines[:end]).rstrip("\n"), "".join(lines[end:]).rstrip("\n")))
    return steps


class Terminal:
    """Runs commands of a session at another server."""

    def __init__(self, *, address: str, environment: Mapping[str, str], folder: Path) -> None:
        self._address = address
        self._environment = dict(environment)
        self._folder = folder
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
            cwd=self._folder,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return output.decode().replace(self._address, SHOWN_ADDRESS).rstrip("\n")

    def learn(self, shown: str, printed: str) -> None:
        """Learn what this server has in place of what the document shows."""
        for typed in _TYPED:
            theirs, ours = (dict.fromkeys(typed.findall(text)) for text in (shown, printed))
            self._ours = dict(zip(theirs, ours, strict=False)) | self._ours


async def follow(
    document: Path,
    terminal: Terminal,
    *,
    leaves_out: Callable[[Step], bool] = lambda _: False,
    unless_line: str = "",
    writes: bool = WRITES,
) -> None:
    """Do what a document does, top to bottom. Every command prints what is shown, save lines that begin with `unless_line`."""
    text = await asyncio.to_thread(document.read_text)
    steps = steps_in(text)
    assert steps
    printed = []
    for step in steps:
        if leaves_out(step):
            printed.append(step)
            continue
        command = terminal.given(step.command)
        output = await terminal.run(command)
        if not writes:
            found, wanted = (form_of(_without(unless_line, said)) for said in (output, step.shown))
            assert f"{command}\n{found}" == f"{command}\n{wanted}"
        terminal.learn(step.shown, output)
        printed.append(Step(command, output))
    if writes:
        await asyncio.to_thread(document.write_text, _with_steps(text, printed))


def _with_steps(document: str, steps: Sequence[Step]) -> str:
    rest = iter(steps)

    def session(block: re.Match[str]) -> str:
        written = (next(rest) for _ in _steps_of(block[0]))
        return "".join(f"$ {step.command}\n" + (f"{step.shown}\n" if step.shown else "") for step in written)

    return _BLOCK.sub(session, document)


def _without(line_start: str, text: str) -> str:
    if not line_start:
        return text
    return "\n".join(line for line in text.splitlines() if not line.startswith(line_start))


def form_of(text: str) -> str:
    """Return what a text says, with everything that varies replaced by one sign."""
    answer, error, rest = text.partition("ERROR:\n")
    status, *details = _DETAIL.split(rest)
    parts = [_form_of_answer(answer), error, *status.split("\n"), *map(_form_of_answer, details)]
    return _VARYING.sub("~", "\n".join(part.strip() for part in parts if part.strip()))


def _form_of_answer(text: str) -> str:
    """Messages by their content, the parts of a watch as one; anything else without its spaces and line breaks."""
    messages = _messages_of(text)
    if messages is None:
        return "".join(text.split())
    if all("resumeToken" in message and "run" not in message for message in messages):
        messages = [_watched(messages)] if messages else []
    return "\n".join(json.dumps(message, indent=1, sort_keys=True) for message in messages)


def _messages_of(text: str) -> list[dict[str, Any]] | None:
    decoder = json.JSONDecoder()
    messages = []
    rest = text.strip()
    while rest:
        try:
            message, end = decoder.raw_decode(rest)
        except ValueError:
            return None
        if not isinstance(message, dict):
            return None
        messages.append(message)
        rest = rest[end:].lstrip()
    return messages


def _watched(messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a watch has sent, without when."""
    events = [event for message in messages for event in message.get("events", ())]
    return {"events": events, "caughtUp": sum("caughtUp" in message for message in messages)}
