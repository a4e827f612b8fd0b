"""Runs: one submission on its way, and the state machine it goes through.

PENDING → RUNNING → (AWAITING_REVIEW) → PUBLISHING → COMPLETED; REJECTED from RUNNING (by a hook) and AWAITING_REVIEW (by a person);
FAILED from RUNNING and PUBLISHING; CANCELLING → CANCELLED from every state before PUBLISHING. A terminal state never changes; the
database holds to that as well.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self, assert_never

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from osa_grpc.domain.column import ShortText
from osa_grpc.domain.failure import Failure
from osa_grpc.domain.hook import OciLimits
from osa_grpc.domain.names import ConventionRef, DepositionId, ExecutionId, RecordRef, RunId
from osa_grpc.domain.value import Value


class RunState(StrEnum):
    """Where a run stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    AWAITING_REVIEW = "AWAITING_REVIEW"
    PUBLISHING = "PUBLISHING"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether it never changes again."""
        return not RUN_TRANSITIONS[self]


RUN_TRANSITIONS: Final[dict[RunState, frozenset[RunState]]] = {
    RunState.PENDING: frozenset({RunState.RUNNING, RunState.CANCELLING}),
    RunState.RUNNING: frozenset(
        {
            RunState.AWAITING_REVIEW,
            RunState.PUBLISHING,
            RunState.REJECTED,
            RunState.FAILED,
            RunState.CANCELLING,
        }
    ),
    RunState.AWAITING_REVIEW: frozenset({RunState.PUBLISHING, RunState.REJECTED, RunState.CANCELLING}),
    RunState.PUBLISHING: frozenset({RunState.COMPLETED, RunState.FAILED}),
    RunState.CANCELLING: frozenset({RunState.CANCELLED}),
    RunState.COMPLETED: frozenset(),
    RunState.REJECTED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
}
"""From each state, the states that may follow."""


class IllegalTransitionError(Exception):
    """A state that may not follow."""


class HookExecutionState(StrEnum):
    """Where a hook execution stands."""

    PENDING = "PENDING"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


class Verdict(StrEnum):
    """How a hook execution ended."""

    PASSED = "PASSED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


class WaitingReason(StrEnum):
    """For what a hook execution waits."""

    PLACE = "PLACE"
    IMAGE = "IMAGE"
    RETRY = "RETRY"


class Waiting(Value):
    """What a hook execution waits for; `until` if it is known when it goes on."""

    reason: WaitingReason
    until: datetime | None = None


class ReviewDecision(StrEnum):
    """What a reviewer decides."""

    APPROVE = "APPROVE"
    REJECT = "REJECT"


class Ruling(Value):
    """What a person decides about a run whose hooks have all passed, and why. Who rejects gives a reason."""

    decision: ReviewDecision
    reason: Annotated[ShortText, Field(validate_default=True)] = ""

    @field_validator("reason")
    @classmethod
    def _rejection_has_a_reason(cls, reason: str, info: ValidationInfo) -> str:
        if info.data.get("decision") is ReviewDecision.REJECT and not reason.strip():
            raise ValueError("expected a reason, for the depositor")
        return reason


class Review(Ruling):
    """A ruling, written down."""

    reviewed_at: datetime


class HookProgress(Value):
    """A line of progress, as the hook wrote it."""

    step: str = ""
    status: str = ""
    message: str = ""


class Provenance(Value):
    """What exactly ran, and on what. The digests of config, input and output are SHA-256 in hexadecimal."""

    image: str
    digest: str
    image_id: str = ""
    config_sha256: str = ""
    input_sha256: str = ""
    output_sha256: str = ""
    limits: OciLimits | None = None
    engine: str = ""


class HookExecution(Value):
    """One hook's turn within a run.

    `memory_bytes`: what an attempt may use when that is more than the definition says. `progress_count`: the lines of progress of
    this attempt that are in the history. `failure_count`: the attempts that the retry policy has counted; an orderly stop is none.
    """

    id: ExecutionId
    hook: str
    attempt: int = 0
    state: HookExecutionState = HookExecutionState.PENDING
    waiting: Waiting | None = None
    memory_bytes: int | None = None
    failure_count: int = 0
    verdict: Verdict | None = None
    rejection_reason: str | None = None
    failure: Failure | None = None
    progress: HookProgress | None = None
    progress_count: int = 0
    log_bytes: int = 0
    row_count: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    provenance: Provenance | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens in it."""
        return self.state in _EXECUTION_ENDS


_EXECUTION_ENDS: Final = frozenset(
    {HookExecutionState.FINISHED, HookExecutionState.SKIPPED, HookExecutionState.CANCELLED}
)


class DepositionSource(Value):
    """A submitted deposition as what a run judges."""

    kind: Literal["deposition"] = "deposition"
    deposition: DepositionId


RunSource = Annotated[
    Annotated[DepositionSource, Tag("deposition")],
    Discriminator(lambda v: v.get("kind") if isinstance(v, dict) else getattr(v, "kind", None)),
]
"""What a run judges; discriminated on `kind`."""


class Run(Value):
    """One submission on its way. Methods give the run that follows; nothing is changed in place."""

    id: RunId
    source: RunSource
    convention: ConventionRef
    state: RunState = RunState.PENDING
    executions: tuple[HookExecution, ...] = ()
    failure: Failure | None = None
    rejection_reason: str | None = None
    record: RecordRef | None = None
    retry_of: RunId | None = None
    review: Review | None = None
    last_sequence: int = 0
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None

    def execution(self, hook: str) -> HookExecution:
        """Return the execution of that hook. Raises KeyError."""
        for execution in self.executions:
            if execution.hook == hook:
                return execution
        raise KeyError(hook)

    def with_execution(self, execution: HookExecution) -> Self:
        """Return the run with that execution in its place."""
        return self.model_copy(
            update={
                "executions": tuple(execution if e.hook == execution.hook else e for e in self.executions)
            }
        )

    def _to(self, state: RunState, **changes: object) -> Self:
        if state not in RUN_TRANSITIONS[self.state]:
            raise IllegalTransitionError(f"a run that is {self.state} cannot become {state}")
        return self.model_copy(update={"state": state, **changes})

    def started(self, *, at: datetime) -> Self:
        """PENDING → RUNNING."""
        return self._to(RunState.RUNNING, started_at=at)

    def awaiting_review(self) -> Self:
        """RUNNING → AWAITING_REVIEW: every hook has passed, and a person decides."""
        return self._to(RunState.AWAITING_REVIEW)

    def publishing(self) -> Self:
        """RUNNING → PUBLISHING: every hook has passed."""
        return self._to(RunState.PUBLISHING)

    def reviewed(self, review: Review) -> Self:
        """AWAITING_REVIEW → PUBLISHING or REJECTED, as a person has decided."""
        match review.decision:
            case ReviewDecision.APPROVE:
                return self._to(RunState.PUBLISHING, review=review)
            case ReviewDecision.REJECT:
                return self._over(
                    RunState.REJECTED, at=review.reviewed_at, review=review, rejection_reason=review.reason
                )
            case unhandled:
                assert_never(unhandled)

    def completed(self, *, record: RecordRef, at: datetime) -> Self:
        """PUBLISHING → COMPLETED."""
        return self._to(RunState.COMPLETED, record=record, ended_at=at)

    def rejected(self, *, reason: str, at: datetime) -> Self:
        """RUNNING → REJECTED: a hook did not accept the data."""
        return self._over(RunState.REJECTED, at=at, rejection_reason=reason)

    def failed(self, *, failure: Failure, at: datetime) -> Self:
        """RUNNING or PUBLISHING → FAILED."""
        return self._over(RunState.FAILED, at=at, failure=failure)

    def cancelling(self) -> Self:
        """PENDING, RUNNING or AWAITING_REVIEW → CANCELLING: somebody asked for it."""
        return self._to(RunState.CANCELLING)

    def cancelled(self, *, at: datetime) -> Self:
        """CANCELLING → CANCELLED: its container is gone."""
        return self._over(RunState.CANCELLED, at=at)

    def _over(self, state: RunState, *, at: datetime, **changes: object) -> Self:
        """End the run, and with it what has not ended: turns that never came, and one that was under way."""
        ended = tuple(
            e
            if e.is_over
            else e.model_copy(
                update={
                    "state": HookExecutionState.SKIPPED
                    if e.state is HookExecutionState.PENDING
                    else HookExecutionState.CANCELLED,
                    "waiting": None,
                    "ended_at": at,
                }
            )
            for e in self.executions
        )
        return self._to(state, executions=ended, ended_at=at, **changes)
