"""The live view of runs on a terminal. The only module that knows rich.

One run: a line for each hook, with its latest progress. Several runs: a line for each run, with a cell for each hook. What is worth
keeping (reasons, failures, log lines) is printed above and stays.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from osa_grpc.cli.run_story import HookStory, RunStory
from osa_grpc.cli.wording import enum_word, printable, seconds
from osa_grpc.wire import pb

_FRAME_SECONDS = 0.125
_MARKS: dict[int, tuple[str, str]] = {
    pb.VERDICT_PASSED: ("✓", "green"),
    pb.VERDICT_REJECTED: ("✗", "yellow"),
    pb.VERDICT_FAILED: ("!", "red"),
}
_ENDS: dict[int, str] = {
    pb.RUN_STATE_COMPLETED: "green",
    pb.RUN_STATE_REJECTED: "yellow",
    pb.RUN_STATE_FAILED: "red",
}

_KEPT = {"review_requested", "reviewed", "run_finished"}
"""Events of a run as a whole: their sentences stay."""


class LiveBoard:
    """A `RunBoard` that is drawn anew while it lives."""

    def __init__(self, *, console: Console, hooks: Sequence[str]) -> None:
        self._console = console
        self._hooks = list(hooks)
        self._stories: dict[str, RunStory] = {}
        self._spinner = Spinner("dots")
        self._uploads = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=console
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def upload(self, label: str, file_name: str, sent: int, total: int | None) -> None:
        """Move the bar; a file that is uploaded needs none."""
        key = (label, file_name)
        if sent == total:
            if (task := self._tasks.pop(key, None)) is not None:
                self._uploads.remove_task(task)
            if not label:
                self._print(f"[green]✓[/] uploaded {escape(file_name)}")
            return
        if key not in self._tasks:
            text = escape(f"{label} {file_name}".strip())
            self._tasks[key] = self._uploads.add_task(text, total=total)
        self._uploads.update(self._tasks[key], completed=sent)

    def run(self, label: str, run: pb.Run) -> None:
        """Add a run."""
        hooks = [execution.hook for execution in run.executions]
        self._hooks += [hook for hook in hooks if hook not in self._hooks]
        self._stories[label] = RunStory.of(label, hooks)
        if not label:
            self._print(escape(run.name))

    def event(self, label: str, event: pb.RunEvent) -> None:
        """Take it into the picture; say what must not be overwritten."""
        story = self._stories.setdefault(label, RunStory.of(label, self._hooks))
        sentence = story.take(event)
        if sentence is not None and event.WhichOneof("kind") in _KEPT:
            style = _ENDS.get(event.run_finished.state, "default")
            self._print(f"[{style}]{escape(f'{label}: {sentence}' if label else sentence)}[/]")

    def log(self, label: str, hook: str, line: str) -> None:
        """Print it."""
        self._print(f"[dim]{escape(f'{label} {hook}'.strip())} |[/] {escape(printable(line))}")

    def say(self, text: str) -> None:
        """Print it."""
        self._print(escape(text))

    def _print(self, markup: str) -> None:
        self._console.print(markup, highlight=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console, options
        parts: list[RenderableType] = [self._uploads] if self._tasks else []
        match list(self._stories.values()):
            case []:
                pass
            case [story] if not story.label:
                parts.append(self._one(story))
            case stories:
                parts.append(self._many(stories))
        yield Group(*parts)

    def _one(self, story: RunStory) -> Table:
        table = _grid(gap=2)
        for hook in story.hooks.values():
            said = hook.outcome or hook.progress
            table.add_row(
                self._mark(hook, over=story.finished is not None), hook.name, _time(hook), Text(said)
            )
        return table

    def _many(self, stories: Sequence[RunStory]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for heading in ("", *self._hooks, ""):
            table.add_column(heading, no_wrap=True)
        for story in stories:
            over = story.finished is not None
            cells = [self._cell(story.hooks.get(name), over=over) for name in self._hooks]
            table.add_row(story.label, *cells, self._state(story))
        return table

    def _cell(self, hook: HookStory | None, *, over: bool) -> RenderableType:
        if hook is None:
            return ""
        grid = _grid(gap=1)
        passed = hook.verdict == pb.VERDICT_PASSED
        grid.add_row(self._mark(hook, over=over), _time(hook), Text(hook.outcome if passed else "", "dim"))
        return grid

    def _mark(self, hook: HookStory, *, over: bool) -> RenderableType:
        if (mark := _MARKS.get(hook.verdict)) is not None:
            return Text(*mark)
        if over or hook.started_at is None:
            return Text("-" if over else "·", "dim")
        return self._spinner

    def _state(self, story: RunStory) -> Text:
        if story.finished is not None:
            word = enum_word(pb.RunState, story.finished.state).lower()
            return Text(word, _ENDS.get(story.finished.state, "default"))
        if story.cancelling:
            return Text("being cancelled", "yellow")
        if story.in_review:
            return Text("waits for a review", "yellow")
        at_work = next(
            (h for h in story.hooks.values() if (h.started_at or h.progress) and not h.verdict), None
        )
        text = at_work.progress if at_work is not None else ("" if story.begun else "waits")
        return Text(text, "dim", overflow="ellipsis")


def _grid(*, gap: int) -> Table:
    """A grid whose rows are one line each, whatever is in them."""
    grid = Table.grid(padding=(0, gap))
    for _ in range(4 if gap > 1 else 3):
        grid.add_column(no_wrap=True, overflow="ellipsis")
    return grid


def _time(hook: HookStory) -> Text:
    if hook.duration or hook.started_at is None:
        return Text(hook.duration, "dim")
    return Text(seconds(datetime.now(UTC) - hook.started_at), "dim")


@contextmanager
def live_board(*, hooks: Sequence[str]) -> Iterator[LiveBoard]:
    """Draw a board while the block runs, inside an event loop; its last picture stays.

    It is drawn by the loop's own thread: rich's loses lines when what it draws changes in height meanwhile.
    """
    console = Console()
    board = LiveBoard(console=console, hooks=hooks)
    with Live(board, console=console, auto_refresh=False, vertical_overflow="visible") as live:
        drawing = asyncio.get_running_loop().create_task(_draw(live), name="live view")
        try:
            yield board
        finally:
            drawing.cancel()


async def _draw(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(_FRAME_SECONDS)
