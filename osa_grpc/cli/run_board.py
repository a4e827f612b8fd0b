"""Where runs are followed: a live view on a terminal, lines elsewhere, JSON lines for programs."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import click

from osa_grpc.cli.output import as_json, compact_json
from osa_grpc.cli.run_story import RunStory
from osa_grpc.cli.wording import printable, size
from osa_grpc.wire import pb


class RunBoard(Protocol):
    """Shows uploads and runs while they happen. Runs are told apart by a label; an only one may have an empty label."""

    def upload(self, label: str, file_name: str, sent: int, total: int | None) -> None:
        """An upload has come so far; `sent == total` at its end."""

    def run(self, label: str, run: pb.Run) -> None:
        """A run is followed from now on."""

    def event(self, label: str, event: pb.RunEvent) -> None:
        """Something happened."""

    def log(self, label: str, hook: str, line: str) -> None:
        """A hook wrote a line to its log."""

    def say(self, text: str) -> None:
        """Something else is to be said."""


class LineBoard:
    """A line for each thing that happens."""

    def __init__(self) -> None:
        self._stories: dict[str, RunStory] = {}

    def upload(self, label: str, file_name: str, sent: int, total: int | None) -> None:
        """Say when it is done."""
        if sent == total:
            click.echo(_with(label, f"uploaded {file_name} ({size(sent)})"))

    def run(self, label: str, run: pb.Run) -> None:
        """Say its name."""
        self._stories[label] = RunStory.of(label, [execution.hook for execution in run.executions])
        click.echo(_with(label, f"follows {run.name}" if label else f"run {run.name}"))

    def event(self, label: str, event: pb.RunEvent) -> None:
        """Say it."""
        story = self._stories.setdefault(label, RunStory.of(label, []))
        if (sentence := story.take(event)) is not None:
            click.echo(_with(label, sentence))

    def log(self, label: str, hook: str, line: str) -> None:
        """Say it."""
        click.echo(_with(label, f"{hook} | {printable(line)}"))

    def say(self, text: str) -> None:
        """Say it."""
        click.echo(text)


class JsonBoard:
    """One JSON object per line: `upload`, `run`, `event` or `log`, with the label where there are several runs."""

    def upload(self, label: str, file_name: str, sent: int, total: int | None) -> None:
        """Say when it is done."""
        if sent == total:
            self._put(label, {"upload": {"fileName": file_name, "sizeBytes": str(sent)}})

    def run(self, label: str, run: pb.Run) -> None:
        """Put the run."""
        self._put(label, {"run": as_json(run)})

    def event(self, label: str, event: pb.RunEvent) -> None:
        """Put the event."""
        self._put(label, {"event": as_json(event)})

    def log(self, label: str, hook: str, line: str) -> None:
        """Put the line."""
        self._put(label, {"log": {"hook": hook, "text": line}})

    def say(self, text: str) -> None:
        """Say nothing: programs read this."""

    @staticmethod
    def _put(label: str, fields: dict[str, Any]) -> None:
        click.echo(compact_json({"label": label, **fields} if label else fields))


@contextmanager
def run_board(*, for_programs: bool, hooks: Sequence[str] = ()) -> Iterator[RunBoard]:
    """Show what happens in the block, in the way that fits where it is shown; `hooks`: what runs will have, if known."""
    if for_programs:
        yield JsonBoard()
    elif sys.stdout.isatty():
        from osa_grpc.cli.live_output import live_board  # noqa: PLC0415 - rich is slow to import, and seldom needed

        with live_board(hooks=hooks) as board:
            yield board
    else:
        yield LineBoard()


def _with(label: str, text: str) -> str:
    return f"{label}: {text}" if label else text
