"""Runs, their hook executions, failures and provenance. Resume tokens travel beside a run, see `tokens`."""

import uuid
from typing import Any, assert_never

from osa_grpc.domain.errors import InvalidRequestError, UnsupportedError, Violation
from osa_grpc.domain.failure import Failure
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import RunId, deposition_name, execution_name, run_name
from osa_grpc.domain.run import (
    DepositionSource,
    HookExecution,
    HookProgress,
    Provenance,
    Review,
    Ruling,
    Run,
    RunSource,
    Verdict,
    Waiting,
)
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.wire import pb
from osa_grpc.wire.enums import (
    FAILURE_KIND,
    HOOK_EXECUTION_STATE,
    REVIEW_DECISION,
    RUN_STATE,
    VERDICT,
    WAITING_REASON,
)
from osa_grpc.wire.hook_codec import limits_from_proto, limits_to_proto
from osa_grpc.wire.resource_names import convention_ref, deposition_id, execution, record_ref, run_id
from osa_grpc.wire.times import timestamp_from_proto, timestamp_to_proto
from osa_grpc.wire.violations import Violations


def run_to_proto(run: Run, authority: SrnAuthority) -> pb.Run:
    """Return a run as a message."""
    msg = pb.Run(
        name=run_name(run.id),
        srn=authority.run(run.id),
        convention=run.convention.name,
        state=RUN_STATE.to_proto(run.state),
        executions=[execution_to_proto(execution, run=run.id) for execution in run.executions],
        failure=None if run.failure is None else failure_to_proto(run.failure),
        record="" if run.record is None else run.record.name,
        rejection_reason=run.rejection_reason or "",
        retry_of="" if run.retry_of is None else run_name(run.retry_of),
        create_time=timestamp_to_proto(run.created_at),
        start_time=timestamp_to_proto(run.started_at),
        end_time=timestamp_to_proto(run.ended_at),
        review=None if run.review is None else review_to_proto(run.review),
    )
    match run.source:
        case DepositionSource(deposition=deposition):
            msg.deposition.deposition = deposition_name(deposition)
        case unhandled:
            assert_never(unhandled)
    return msg


def run_from_proto(msg: pb.Run, *, at: FieldPath) -> Run:
    """Read a run that a server sent; its `last_sequence` is 0, because the resume token has it.

    Raises:
        InvalidRequestError: the message is not a run.
        UnsupportedError: the server's contract is newer.
    """
    found = Violations()
    values: dict[str, Any] = {
        "failure": failure_from_proto(msg.failure, at=at / "failure") if msg.HasField("failure") else None,
        "rejection_reason": msg.rejection_reason or None,
        "created_at": timestamp_from_proto(msg.create_time),
        "started_at": timestamp_from_proto(msg.start_time) if msg.HasField("start_time") else None,
        "ended_at": timestamp_from_proto(msg.end_time) if msg.HasField("end_time") else None,
        "executions": tuple(
            execution_from_proto(part, at=(at / "executions")[index])
            for index, part in enumerate(msg.executions)
        ),
    }
    with found.collecting():
        values["id"] = run_id(msg.name, at=at / "name")
    with found.collecting():
        values["source"] = _source_from_proto(msg, at=at)
    with found.collecting():
        values["convention"] = convention_ref(msg.convention, at=at / "convention")
    with found.collecting():
        values["state"] = RUN_STATE.from_proto(msg.state, at=at / "state")
    with found.collecting():
        values["record"] = record_ref(msg.record, at=at / "record") if msg.record else None
    with found.collecting():
        values["retry_of"] = run_id(msg.retry_of, at=at / "retry_of") if msg.retry_of else None
    with found.collecting():
        values["review"] = review_from_proto(msg.review, at=at / "review") if msg.HasField("review") else None
    return found.build(Run, values, at=at)


def ruling_from_proto(msg: pb.ReviewRunRequest) -> Ruling:
    """Read what a reviewer decides. Raises InvalidRequestError, UnsupportedError."""
    at = FieldPath()
    found = Violations()
    values: dict[str, Any] = {"reason": msg.reason}
    with found.collecting():
        values["decision"] = REVIEW_DECISION.from_proto(msg.decision, at=at / "decision")
    return found.build(Ruling, values, at=at)


def review_to_proto(review: Review) -> pb.Review:
    """Return a review as a message."""
    return pb.Review(
        decision=REVIEW_DECISION.to_proto(review.decision),
        reason=review.reason,
        review_time=timestamp_to_proto(review.reviewed_at),
    )


def review_from_proto(msg: pb.Review, *, at: FieldPath) -> Review:
    """Read a review that a server sent. Raises InvalidRequestError, UnsupportedError."""
    found = Violations()
    values: dict[str, Any] = {"reason": msg.reason, "reviewed_at": timestamp_from_proto(msg.review_time)}
    with found.collecting():
        values["decision"] = REVIEW_DECISION.from_proto(msg.decision, at=at / "decision")
    return found.build(Review, values, at=at, paths={"reviewed_at": at / "review_time"})


def execution_to_proto(execution: HookExecution, *, run: RunId) -> pb.HookExecution:
    """Return a hook execution as a message."""
    return pb.HookExecution(
        name=execution_name(run, execution.hook),
        execution_id=str(execution.id),
        hook=execution.hook,
        attempt=execution.attempt,
        state=HOOK_EXECUTION_STATE.to_proto(execution.state),
        verdict=pb.VERDICT_UNSPECIFIED if execution.verdict is None else VERDICT.to_proto(execution.verdict),
        rejection_reason=execution.rejection_reason or "",
        failure=None if execution.failure is None else failure_to_proto(execution.failure),
        progress=None if execution.progress is None else progress_to_proto(execution.progress),
        log_bytes=execution.log_bytes,
        row_count=execution.row_count if execution.verdict is Verdict.PASSED else None,
        create_time=timestamp_to_proto(execution.created_at),
        start_time=timestamp_to_proto(execution.started_at),
        end_time=timestamp_to_proto(execution.ended_at),
        provenance=None if execution.provenance is None else provenance_to_proto(execution.provenance),
        waiting=None if execution.waiting is None else waiting_to_proto(execution.waiting),
    )


def execution_from_proto(msg: pb.HookExecution, *, at: FieldPath) -> HookExecution:
    """Read a hook execution that a server sent. Raises InvalidRequestError, UnsupportedError."""
    found = Violations()
    values: dict[str, Any] = {
        "attempt": msg.attempt,
        "rejection_reason": msg.rejection_reason or None,
        "failure": failure_from_proto(msg.failure, at=at / "failure") if msg.HasField("failure") else None,
        "progress": progress_from_proto(msg.progress) if msg.HasField("progress") else None,
        "log_bytes": msg.log_bytes,
        "row_count": msg.row_count,
        "created_at": timestamp_from_proto(msg.create_time) if msg.HasField("create_time") else None,
        "started_at": timestamp_from_proto(msg.start_time) if msg.HasField("start_time") else None,
        "ended_at": timestamp_from_proto(msg.end_time) if msg.HasField("end_time") else None,
    }
    with found.collecting():
        values["id"] = _uuid(msg.execution_id, at=at / "execution_id")
    with found.collecting():
        _, values["hook"] = execution(msg.name, at=at / "name")
    with found.collecting():
        values["state"] = HOOK_EXECUTION_STATE.from_proto(msg.state, at=at / "state")
    if msg.verdict:
        values["verdict"] = VERDICT.from_proto(msg.verdict, at=at / "verdict")
    if msg.HasField("provenance"):
        with found.collecting():
            values["provenance"] = provenance_from_proto(msg.provenance, at=at / "provenance")
    if msg.HasField("waiting"):
        with found.collecting():
            values["waiting"] = waiting_from_proto(msg.waiting, at=at / "waiting")
    return found.build(HookExecution, values, at=at)


def waiting_to_proto(waiting: Waiting) -> pb.Waiting:
    """Return what a hook execution waits for as a message."""
    return pb.Waiting(
        reason=WAITING_REASON.to_proto(waiting.reason), until_time=timestamp_to_proto(waiting.until)
    )


def waiting_from_proto(msg: pb.Waiting, *, at: FieldPath) -> Waiting:
    """Read what a hook execution waits for. Raises InvalidRequestError, UnsupportedError."""
    return Waiting(
        reason=WAITING_REASON.from_proto(msg.reason, at=at / "reason"),
        until=timestamp_from_proto(msg.until_time) if msg.HasField("until_time") else None,
    )


def failure_to_proto(failure: Failure) -> pb.Failure:
    """Return a failure as a message."""
    return pb.Failure(
        kind=FAILURE_KIND.to_proto(failure.kind), message=failure.message, retryable=failure.retryable
    )


def failure_from_proto(msg: pb.Failure, *, at: FieldPath) -> Failure:
    """Read a failure. Raises InvalidRequestError, UnsupportedError."""
    return Failure(
        kind=FAILURE_KIND.from_proto(msg.kind, at=at / "kind"), message=msg.message, retryable=msg.retryable
    )


def progress_to_proto(progress: HookProgress) -> pb.HookProgress:
    """Return a line of progress as a message."""
    return pb.HookProgress(step=progress.step, status=progress.status, message=progress.message)


def progress_from_proto(msg: pb.HookProgress) -> HookProgress:
    """Read a line of progress."""
    return HookProgress(step=msg.step, status=msg.status, message=msg.message)


def provenance_to_proto(provenance: Provenance) -> pb.Provenance:
    """Return a provenance as a message."""
    return pb.Provenance(
        oci=pb.OciProvenance(
            image=provenance.image,
            digest=provenance.digest,
            image_id=provenance.image_id,
            limits=None if provenance.limits is None else limits_to_proto(provenance.limits),
            engine=provenance.engine,
        ),
        config_sha256=provenance.config_sha256,
        input_sha256=provenance.input_sha256,
        output_sha256=provenance.output_sha256,
    )


def provenance_from_proto(msg: pb.Provenance, *, at: FieldPath) -> Provenance:
    """Read a provenance. Raises InvalidRequestError, UnsupportedError."""
    match msg.WhichOneof("runtime"):
        case "oci":
            oci, inside = msg.oci, at / "oci"
            return Provenance(
                image=oci.image,
                digest=oci.digest,
                image_id=oci.image_id,
                config_sha256=msg.config_sha256,
                input_sha256=msg.input_sha256,
                output_sha256=msg.output_sha256,
                limits=limits_from_proto(oci.limits, at=inside / "limits")
                if oci.HasField("limits")
                else None,
                engine=oci.engine,
            )
        case None:
            raise UnsupportedError(
                f"{at / 'runtime'}: expected what ran, found nothing or something of a newer contract",
                reason="UNSUPPORTED_VARIANT",
                at=at / "runtime",
            )
        case unhandled:
            assert_never(unhandled)


def _source_from_proto(msg: pb.Run, *, at: FieldPath) -> RunSource:
    match msg.WhichOneof("source"):
        case "deposition":
            inside = at / "deposition"
            return DepositionSource(
                deposition=deposition_id(msg.deposition.deposition, at=inside / "deposition")
            )
        case None:
            raise UnsupportedError(
                f"{at / 'source'}: expected what is judged, found nothing or something of a newer contract",
                reason="UNSUPPORTED_VARIANT",
                at=at / "source",
            )
        case unhandled:
            assert_never(unhandled)


def _uuid(text: str, *, at: FieldPath) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        violation = Violation(at=at, message=f"expected a UUID, found {text[:80]!r}", reason="INVALID_FORMAT")
        raise InvalidRequestError([violation]) from error
