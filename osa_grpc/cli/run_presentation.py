"""What people are shown of a run: its failure, its review, a line for each hook."""

from osa_grpc.cli.wording import Pairs, enum_word, instant, rows, seconds
from osa_grpc.wire import pb


def run_details(run: pb.Run) -> Pairs:
    """Return what is shown of a run, as (label, text)."""
    return [
        ("name", run.name),
        ("srn", run.srn),
        ("deposition", run.deposition.deposition),
        ("convention", run.convention),
        ("retry of", run.retry_of),
        ("state", enum_word(pb.RunState, run.state)),
        ("review", _review_line(run)),
        ("rejected", run.rejection_reason),
        ("failure", failure_text(run.failure) if run.HasField("failure") else ""),
        ("record", run.record),
        ("hooks", "\n".join(_execution_line(execution) for execution in run.executions)),
        ("submitted", instant(run.create_time)),
        ("ended", instant(run.end_time)),
    ]


def _review_line(run: pb.Run) -> str:
    if run.state == pb.RUN_STATE_AWAITING_REVIEW:
        return f"osa-grpc run approve {run.name}, or osa-grpc run reject {run.name} --reason ..."
    return review_text(run.review.decision, run.review.reason) if run.HasField("review") else ""


def _execution_line(execution: pb.HookExecution) -> str:
    match execution.state:
        case pb.HOOK_EXECUTION_STATE_FINISHED:
            return _finished_line(execution)
        case pb.HOOK_EXECUTION_STATE_WAITING:
            return f"{execution.hook}  WAITING{_waiting_text(execution)}"
        case pb.HOOK_EXECUTION_STATE_RUNNING if execution.attempt > 1:
            return f"{execution.hook}  RUNNING  attempt {execution.attempt}"
        case state:
            return f"{execution.hook}  {enum_word(pb.HookExecutionState, state)}"


def _waiting_text(execution: pb.HookExecution) -> str:
    waiting = execution.waiting
    match waiting.reason:
        case pb.WAITING_REASON_PLACE:
            return "  for a place"
        case pb.WAITING_REASON_IMAGE:
            return "  for its image"
        case pb.WAITING_REASON_RETRY:
            return f"  for attempt {execution.attempt}, at {instant(waiting.until_time)}"
        case _:
            return ""


def _finished_line(execution: pb.HookExecution) -> str:
    line = f"{execution.hook}  {enum_word(pb.Verdict, execution.verdict)}"
    if execution.HasField("start_time") and execution.HasField("end_time"):
        started, ended = execution.start_time.ToDatetime(), execution.end_time.ToDatetime()
        line += f"  {seconds(ended - started)}"
    match execution.verdict:
        case pb.VERDICT_PASSED:
            return f"{line}  {rows(execution.row_count)}"
        case pb.VERDICT_REJECTED:
            return f"{line}  {execution.rejection_reason}"
        case _:
            return f"{line}  {failure_text(execution.failure)}"


def failure_text(failure: pb.Failure) -> str:
    """Return a failure in one line."""
    return cause_text(failure) + (" (another try may succeed)" if failure.retryable else "")


def cause_text(failure: pb.Failure) -> str:
    """Return a failure in one line, where another try is made anyway."""
    return f"{enum_word(pb.FailureKind, failure.kind)}: {failure.message}"


def review_text(decision: int, reason: str) -> str:
    """Return what a person decided, in one line."""
    match decision:
        case pb.REVIEW_DECISION_APPROVE:
            word = "approved"
        case pb.REVIEW_DECISION_REJECT:
            word = "rejected"
        case _:
            word = enum_word(pb.ReviewDecision, decision)
    return f"{word} by a person" + (f": {reason}" if reason else "")
