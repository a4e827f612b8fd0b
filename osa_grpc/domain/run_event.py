"""Run events: the entries of a run's append-only, gapless history. What watchers receive."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from osa_grpc.domain.failure import Failure
from osa_grpc.domain.names import RecordRef
from osa_grpc.domain.run import HookProgress, ReviewDecision, RunState, Verdict
from osa_grpc.domain.value import Value


class RunStarted(Value):
    """A worker has taken up the run."""

    kind: Literal["run_started"] = "run_started"


class HookStarted(Value):
    """A hook's container has started."""

    kind: Literal["hook_started"] = "hook_started"
    hook: str
    attempt: int
    image_id: str


class HookProgressed(Value):
    """A hook reports progress. `dropped_count`: lines of this attempt that were counted but not kept."""

    kind: Literal["hook_progress"] = "hook_progress"
    hook: str
    attempt: int
    progress: HookProgress
    dropped_count: int = 0


class HookRetrying(Value):
    """A hook is run again; `attempt` is the one that begins, `memory` what it may use if that is more than the definition says."""

    kind: Literal["hook_retrying"] = "hook_retrying"
    hook: str
    attempt: int
    cause: Failure
    retry_delay: timedelta = timedelta()
    memory: str | None = None


class HookFinished(Value):
    """A hook has its verdict."""

    kind: Literal["hook_finished"] = "hook_finished"
    hook: str
    attempt: int
    verdict: Verdict
    rejection_reason: str | None = None
    failure: Failure | None = None
    row_count: int = 0
    duration: timedelta = timedelta()


class ReviewRequested(Value):
    """Every hook has passed; a person has to decide."""

    kind: Literal["review_requested"] = "review_requested"


class Reviewed(Value):
    """A person has decided."""

    kind: Literal["reviewed"] = "reviewed"
    decision: ReviewDecision
    reason: str = ""


class CancelRequested(Value):
    """Somebody asked to cancel the run."""

    kind: Literal["cancel_requested"] = "cancel_requested"


class RecordPublished(Value):
    """The record is published, visible together with `run_finished`."""

    kind: Literal["record_published"] = "record_published"
    record: RecordRef


class RunFinished(Value):
    """The run has its terminal state. Always the last event, exactly once."""

    kind: Literal["run_finished"] = "run_finished"
    state: RunState
    record: RecordRef | None = None
    rejection_reason: str | None = None
    failure: Failure | None = None


RunEventKind = Annotated[
    RunStarted
    | HookStarted
    | HookProgressed
    | HookRetrying
    | HookFinished
    | ReviewRequested
    | Reviewed
    | CancelRequested
    | RecordPublished
    | RunFinished,
    Field(discriminator="kind"),
]
"""What happened; discriminated on `kind`."""


class RunEvent(Value):
    """One entry: `sequence` is 1 for a run's first event and rises by one."""

    sequence: int
    occurred_at: datetime
    body: RunEventKind
