"""Run events. A new kind is a new `case` in each `match` here."""

from typing import assert_never

from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.run import Verdict
from osa_grpc.domain.run_event import (
    CancelRequested,
    HookFinished,
    HookProgressed,
    HookRetrying,
    HookStarted,
    RecordPublished,
    Reviewed,
    ReviewRequested,
    RunEvent,
    RunEventKind,
    RunFinished,
    RunStarted,
)
from osa_grpc.wire import pb
from osa_grpc.wire.enums import REVIEW_DECISION, RUN_STATE, VERDICT
from osa_grpc.wire.resource_names import record_ref
from osa_grpc.wire.run_codec import (
    failure_from_proto,
    failure_to_proto,
    progress_from_proto,
    progress_to_proto,
)
from osa_grpc.wire.times import (
    duration_from_proto,
    duration_to_proto,
    timestamp_from_proto,
    timestamp_to_proto,
)


def run_event_to_proto(event: RunEvent) -> pb.RunEvent:  # noqa: C901 - one case for each kind
    """Return a run event as a message."""
    msg = pb.RunEvent(sequence=event.sequence, event_time=timestamp_to_proto(event.occurred_at))
    body = event.body
    match body:
        case RunStarted():
            msg.run_started.SetInParent()
        case HookStarted():
            msg.hook_started.CopyFrom(
                pb.HookStarted(hook=body.hook, attempt=body.attempt, image_id=body.image_id)
            )
        case HookProgressed():
            msg.hook_progress.CopyFrom(_progressed_to_proto(body))
        case HookRetrying():
            msg.hook_retrying.CopyFrom(_retrying_to_proto(body))
        case HookFinished():
            msg.hook_finished.CopyFrom(_finished_to_proto(body))
        case ReviewRequested():
            msg.review_requested.SetInParent()
        case Reviewed():
            msg.reviewed.CopyFrom(
                pb.Reviewed(decision=REVIEW_DECISION.to_proto(body.decision), reason=body.reason)
            )
        case CancelRequested():
            msg.cancel_requested.SetInParent()
        case RecordPublished():
            msg.record_published.record = body.record.name
        case RunFinished():
            msg.run_finished.CopyFrom(_run_finished_to_proto(body))
        case unhandled:
            assert_never(unhandled)
    return msg


def run_event_from_proto(msg: pb.RunEvent, *, at: FieldPath) -> RunEvent | None:
    """Read a run event that a server sent; None when it is of a kind of a newer contract: go on with the next.

    Raises:
        InvalidRequestError: the message is not a run event.
        UnsupportedError: it has an enum's value of a newer contract.
    """
    body = _body_from_proto(msg, at=at)
    if body is None:
        return None
    return RunEvent(sequence=msg.sequence, occurred_at=timestamp_from_proto(msg.event_time), body=body)


def _body_from_proto(  # noqa: C901 - one case for each kind
    msg: pb.RunEvent, *, at: FieldPath
) -> RunEventKind | None:
    match msg.WhichOneof("kind"):
        case "run_started":
            return RunStarted()
        case "hook_started":
            part = msg.hook_started
            return HookStarted(hook=part.hook, attempt=part.attempt, image_id=part.image_id)
        case "hook_progress":
            return _progressed_from_proto(msg.hook_progress)
        case "hook_retrying":
            return _retrying_from_proto(msg.hook_retrying, at=at / "hook_retrying")
        case "hook_finished":
            return _finished_from_proto(msg.hook_finished, at=at / "hook_finished")
        case "review_requested":
            return ReviewRequested()
        case "reviewed":
            return _reviewed_from_proto(msg.reviewed, at=at / "reviewed")
        case "cancel_requested":
            return CancelRequested()
        case "record_published":
            return RecordPublished(
                record=record_ref(msg.record_published.record, at=at / "record_published" / "record")
            )
        case "run_finished":
            return _run_finished_from_proto(msg.run_finished, at=at / "run_finished")
        case None:
            return None
        case unhandled:
            assert_never(unhandled)


def _progressed_to_proto(body: HookProgressed) -> pb.HookProgressed:
    return pb.HookProgressed(
        hook=body.hook,
        attempt=body.attempt,
        progress=progress_to_proto(body.progress),
        dropped_count=body.dropped_count or None,
    )


def _progressed_from_proto(msg: pb.HookProgressed) -> HookProgressed:
    return HookProgressed(
        hook=msg.hook,
        attempt=msg.attempt,
        progress=progress_from_proto(msg.progress),
        dropped_count=msg.dropped_count,
    )


def _retrying_to_proto(body: HookRetrying) -> pb.HookRetrying:
    return pb.HookRetrying(
        hook=body.hook,
        attempt=body.attempt,
        cause=failure_to_proto(body.cause),
        retry_delay=duration_to_proto(body.retry_delay),
        memory=body.memory or "",
    )


def _retrying_from_proto(msg: pb.HookRetrying, *, at: FieldPath) -> HookRetrying:
    return HookRetrying(
        hook=msg.hook,
        attempt=msg.attempt,
        cause=failure_from_proto(msg.cause, at=at / "cause"),
        retry_delay=duration_from_proto(msg.retry_delay),
        memory=msg.memory or None,
    )


def _finished_to_proto(body: HookFinished) -> pb.HookFinished:
    return pb.HookFinished(
        hook=body.hook,
        attempt=body.attempt,
        verdict=VERDICT.to_proto(body.verdict),
        rejection_reason=body.rejection_reason or "",
        failure=None if body.failure is None else failure_to_proto(body.failure),
        row_count=body.row_count if body.verdict is Verdict.PASSED else None,
        duration=duration_to_proto(body.duration),
    )


def _finished_from_proto(msg: pb.HookFinished, *, at: FieldPath) -> HookFinished:
    return HookFinished(
        hook=msg.hook,
        attempt=msg.attempt,
        verdict=VERDICT.from_proto(msg.verdict, at=at / "verdict"),
        rejection_reason=msg.rejection_reason or None,
        failure=failure_from_proto(msg.failure, at=at / "failure") if msg.HasField("failure") else None,
        row_count=msg.row_count,
        duration=duration_from_proto(msg.duration),
    )


def _reviewed_from_proto(msg: pb.Reviewed, *, at: FieldPath) -> Reviewed:
    return Reviewed(decision=REVIEW_DECISION.from_proto(msg.decision, at=at / "decision"), reason=msg.reason)


def _run_finished_to_proto(body: RunFinished) -> pb.RunFinished:
    return pb.RunFinished(
        state=RUN_STATE.to_proto(body.state),
        record="" if body.record is None else body.record.name,
        rejection_reason=body.rejection_reason or "",
        failure=None if body.failure is None else failure_to_proto(body.failure),
    )


def _run_finished_from_proto(msg: pb.RunFinished, *, at: FieldPath) -> RunFinished:
    return RunFinished(
        state=RUN_STATE.from_proto(msg.state, at=at / "state"),
        record=record_ref(msg.record, at=at / "record") if msg.record else None,
        rejection_reason=msg.rejection_reason or None,
        failure=failure_from_proto(msg.failure, at=at / "failure") if msg.HasField("failure") else None,
    )
