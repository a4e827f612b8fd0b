"""A run told by its events: where each hook stands, and a sentence for each event."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import assert_never

from osa_grpc.cli.run_presentation import cause_text, failure_text, review_text
from osa_grpc.cli.wording import enum_word, printable, rows, seconds
from osa_grpc.wire import pb


@dataclass(kw_only=True)
class HookStory:
    """Where a hook stands."""

    name: str
    attempt: int = 0
    started_at: datetime | None = None
    verdict: int = pb.VERDICT_UNSPECIFIED
    progress: str = ""
    outcome: str = ""
    """Rows, the reason or the failure; empty before it has a verdict."""
    duration: str = ""


@dataclass(kw_only=True)
class RunStory:
    """Where a run stands."""

    label: str
    hooks: dict[str, HookStory] = field(default_factory=dict)
    finished: pb.RunFinished | None = None
    cancelling: bool = False
    in_review: bool = False
    begun: bool = False

    @classmethod
    def of(cls, label: str, hooks: Sequence[str]) -> "RunStory":
        """Return the story of a run that has not begun."""
        return cls(label=label, hooks={name: HookStory(name=name) for name in hooks})

    def take(self, event: pb.RunEvent) -> str | None:  # noqa: C901 - one case for each kind
        """Take an event; return a sentence about it, None for a kind that is not known."""
        match event.WhichOneof("kind"):
            case "run_started":
                self.begun = True
                return "started"
            case "hook_started":
                return self._hook_started(event)
            case "hook_progress":
                return self._hook_progress(event.hook_progress)
            case "hook_retrying":
                return self._hook_retrying(event.hook_retrying)
            case "hook_finished":
                return self._hook_finished(event.hook_finished)
            case "review_requested":
                self.in_review = True
                return "waits for a person to approve or reject it"
            case "reviewed":
                self.in_review = False
                return printable(review_text(event.reviewed.decision, event.reviewed.reason))
            case "cancel_requested":
                self.cancelling = True
                return "is to be cancelled"
            case "record_published":
                return f"{event.record_published.record} is being published"
            case "run_finished":
                self.finished = event.run_finished
                return outcome_text(event.run_finished)
            case None:
                return None
            case unhandled:
                assert_never(unhandled)

    def _hook(self, name: str) -> HookStory:
        return self.hooks.setdefault(name, HookStory(name=name))

    def _hook_started(self, event: pb.RunEvent) -> str:
        hook = self._hook(event.hook_started.hook)
        hook.attempt = event.hook_started.attempt
        hook.started_at = event.event_time.ToDatetime(tzinfo=UTC)
        hook.progress = ""
        return f"{hook.name}: started" + (f", attempt {hook.attempt}" if hook.attempt > 1 else "")

    def _hook_progress(self, event: pb.HookProgressed) -> str:
        hook = self._hook(event.hook)
        progress = event.progress
        said = ": ".join(filter(None, (progress.step, progress.message or progress.status)))
        hook.progress = printable(" ".join(said.split()))
        dropped = f" ({event.dropped_count} lines of progress were not kept)" if event.dropped_count else ""
        return f"{hook.name}: {hook.progress}{dropped}"

    def _hook_retrying(self, event: pb.HookRetrying) -> str:
        hook = self._hook(event.hook)
        hook.attempt, hook.started_at = event.attempt, None
        delay = event.retry_delay.ToTimedelta()
        when = f"in {seconds(delay)}" if delay else "at once"
        memory = f" with {event.memory} of memory" if event.memory else ""
        hook.progress = printable(f"attempt {event.attempt} {when}{memory}, after {cause_text(event.cause)}")
        return f"{hook.name}: {hook.progress}"

    def _hook_finished(self, event: pb.HookFinished) -> str:
        hook = self._hook(event.hook)
        hook.verdict = event.verdict
        hook.duration = seconds(event.duration.ToTimedelta())
        word = enum_word(pb.Verdict, event.verdict).lower()
        match event.verdict:
            case pb.VERDICT_PASSED:
                hook.outcome = rows(event.row_count)
            case pb.VERDICT_REJECTED:
                hook.outcome = printable(event.rejection_reason)
            case _:
                hook.outcome = printable(failure_text(event.failure))
        separator = ", " if event.verdict == pb.VERDICT_PASSED else ": "
        return f"{hook.name}: {word} after {hook.duration}{separator}{hook.outcome}"


def outcome_text(finished: pb.RunFinished) -> str:
    """Return how a run ended, in one line."""
    match finished.state:
        case pb.RUN_STATE_COMPLETED:
            return f"published as {finished.record}"
        case pb.RUN_STATE_REJECTED:
            return printable(f"rejected: {finished.rejection_reason}")
        case pb.RUN_STATE_FAILED:
            return printable(f"failed: {failure_text(finished.failure)}")
        case pb.RUN_STATE_CANCELLED:
            return "cancelled"
        case _:
            return f"ended as {enum_word(pb.RunState, finished.state)}"
