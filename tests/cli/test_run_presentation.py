"""What a person reads of runs that wait, are tried again, or are reviewed."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from osa_grpc.cli.main import cli
from osa_grpc.cli.output import JsonOutput, PlainOutput
from osa_grpc.cli.presentation import details_of
from osa_grpc.cli.run_story import RunStory
from osa_grpc.client import LogPiece
from osa_grpc.wire import pb

RUN = "runs/6756bf18-f4e5-4f0b-a8d3-c62fa894898a"
OOM = pb.Failure(kind=pb.FAILURE_KIND_OOM, message="it used more than 64m")
ENGINE = pb.Failure(kind=pb.FAILURE_KIND_ENGINE, message="the engine went away", retryable=True)


def shown(**fields: object) -> dict[str, str]:
    return dict(details_of(pb.Run(name=RUN, **fields)))  # type: ignore[arg-type]


def hook_line(**fields: object) -> str:
    return shown(executions=[pb.HookExecution(hook="check", **fields)])["hooks"]  # type: ignore[arg-type]


def waits(reason: pb.WaitingReason.ValueType, **fields: object) -> str:
    waiting = pb.Waiting(reason=reason, **fields)  # type: ignore[arg-type]
    return hook_line(state=pb.HOOK_EXECUTION_STATE_WAITING, attempt=3, waiting=waiting)


def test_a_hook_that_waits_says_for_what() -> None:
    assert waits(pb.WAITING_REASON_UNSPECIFIED) == "check  WAITING"
    assert waits(pb.WAITING_REASON_PLACE) == "check  WAITING  for a place"
    assert waits(pb.WAITING_REASON_IMAGE) == "check  WAITING  for its image"
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    local = at.astimezone().isoformat(sep=" ", timespec="seconds")
    assert waits(pb.WAITING_REASON_RETRY, until_time=at) == f"check  WAITING  for attempt 3, at {local}"


def test_a_hook_that_runs_again_says_which_attempt_it_is() -> None:
    assert hook_line(state=pb.HOOK_EXECUTION_STATE_RUNNING, attempt=1) == "check  RUNNING"
    assert hook_line(state=pb.HOOK_EXECUTION_STATE_RUNNING, attempt=2) == "check  RUNNING  attempt 2"


def test_a_run_that_is_a_retry_names_the_run_that_it_repeats() -> None:
    assert shown(retry_of="runs/1")["retry of"] == "runs/1"
    assert "retry of" not in shown()


def test_a_run_that_waits_for_a_review_says_how_to_review_it() -> None:
    line = shown(state=pb.RUN_STATE_AWAITING_REVIEW)["review"]
    assert line == f"osa-grpc run approve {RUN}, or osa-grpc run reject {RUN} --reason ..."


@pytest.mark.parametrize(
    ("decision", "reason", "text"),
    [
        (pb.REVIEW_DECISION_APPROVE, "", "approved by a person"),
        (pb.REVIEW_DECISION_APPROVE, "nice", "approved by a person: nice"),
        (pb.REVIEW_DECISION_REJECT, "the scale is wrong", "rejected by a person: the scale is wrong"),
    ],
)
def test_what_was_decided_is_shown_in_the_run_and_its_story(
    decision: pb.ReviewDecision.ValueType, reason: str, text: str
) -> None:
    assert shown(review=pb.Review(decision=decision, reason=reason))["review"] == text
    story = RunStory.of("", ["check"])
    asked = story.take(pb.RunEvent(review_requested=pb.ReviewRequested()))
    assert asked == "waits for a person to approve or reject it"
    assert story.in_review
    assert story.take(pb.RunEvent(reviewed=pb.Reviewed(decision=decision, reason=reason))) == text
    assert not story.in_review


@pytest.mark.parametrize(
    ("retrying", "sentence"),
    [
        (
            pb.HookRetrying(attempt=2, cause=OOM, memory="128m"),
            "check: attempt 2 at once with 128m of memory, after OOM: it used more than 64m",
        ),
        (
            pb.HookRetrying(attempt=4, cause=ENGINE, retry_delay=timedelta(seconds=40)),
            "check: attempt 4 in 40.0 s, after ENGINE: the engine went away",
        ),
    ],
)
def test_an_attempt_that_follows_another_says_when_with_what_and_why(
    retrying: pb.HookRetrying, sentence: str
) -> None:
    retrying.hook = "check"
    assert RunStory.of("", ["check"]).take(pb.RunEvent(hook_retrying=retrying)) == sentence


def test_a_gap_in_a_log_is_said_beside_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    gap = LogPiece(offset=4, data=b"two\n", gap=True)
    PlainOutput().log(gap)
    out, err = capfdbinary.readouterr()
    assert (out, err) == (b"two\n", b"(here bytes may be missing, or be there twice)\n")
    JsonOutput().log(gap)
    assert (
        capfdbinary.readouterr().out == b'{"offset": 4, "text": "two\\n", "truncated": false, "gap": true}\n'
    )


def test_who_rejects_gives_a_reason() -> None:
    result = CliRunner().invoke(cli, ["run", "reject", RUN])
    assert (result.exit_code, "--reason" in result.stderr) == (2, True)
