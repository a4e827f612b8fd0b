"""What hooks and depositors write is shown, and cannot do anything to the terminal of whoever reads it."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from osa_grpc.cli.live_output import LiveBoard
from osa_grpc.cli.output import cell_text
from osa_grpc.cli.presentation import details_of, list_row_of
from osa_grpc.cli.run_board import LineBoard
from osa_grpc.cli.run_story import RunStory
from osa_grpc.wire import pb

HOSTILE = "fine\x1b[2J\x1b]0;title\x07\r\x9b31mevil\x7f\ttab"
SHOWN = "fine�[2J�]0;title���31mevil�\ttab"
FAILURE = pb.Failure(kind=pb.FAILURE_KIND_HOOK_EXIT, message=HOSTILE)
EVENTS = [
    pb.RunEvent(hook_progress=pb.HookProgressed(hook="check", progress=pb.HookProgress(message=HOSTILE))),
    pb.RunEvent(hook_retrying=pb.HookRetrying(hook="check", attempt=2, cause=FAILURE)),
    pb.RunEvent(
        hook_finished=pb.HookFinished(hook="check", verdict=pb.VERDICT_REJECTED, rejection_reason=HOSTILE)
    ),
    pb.RunEvent(hook_finished=pb.HookFinished(hook="check", verdict=pb.VERDICT_FAILED, failure=FAILURE)),
    pb.RunEvent(reviewed=pb.Reviewed(decision=pb.REVIEW_DECISION_REJECT, reason=HOSTILE)),
    pb.RunEvent(run_finished=pb.RunFinished(state=pb.RUN_STATE_REJECTED, rejection_reason=HOSTILE)),
    pb.RunEvent(run_finished=pb.RunFinished(state=pb.RUN_STATE_FAILED, failure=FAILURE)),
]


def is_harmless(text: str) -> bool:
    return all(letter.isprintable() or letter in "\t\n" for letter in text)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.WhichOneof("kind")))
def test_an_event_is_told_without_control_characters(event: pb.RunEvent) -> None:
    story = RunStory.of("", ["check"])
    sentence = story.take(event)
    assert sentence is not None
    assert "evil" in sentence
    assert is_harmless(sentence)
    assert is_harmless(story.hooks["check"].progress + story.hooks["check"].outcome)


def test_a_resource_is_shown_without_control_characters() -> None:
    run = pb.Run(name="runs/1", rejection_reason=HOSTILE, failure=FAILURE)
    run.executions.add(hook="check", state=pb.HOOK_EXECUTION_STATE_FINISHED, failure=FAILURE)
    texts = [text for _, text in details_of(run)]
    assert SHOWN in texts
    assert all(map(is_harmless, texts))
    deposition = pb.Deposition(name="depositions/1", rejection_reason=HOSTILE)
    assert all(map(is_harmless, [*list_row_of(deposition), *(text for _, text in details_of(deposition))]))


@pytest.mark.parametrize("value", [HOSTILE, [HOSTILE], {HOSTILE: 1}])
def test_a_value_of_a_row_is_shown_without_control_characters(value: object) -> None:
    assert is_harmless(cell_text(value))  # type: ignore[arg-type]


def test_other_values_are_shown_as_they_are() -> None:
    key = uuid4()
    assert [cell_text(value) for value in ("a\nb", True, 1.5, key, datetime(2026, 1, 2, tzinfo=UTC))] == [
        "a⏎b",
        "true",
        "1.5",
        str(key),
        "2026-01-02 00:00:00",
    ]


@pytest.mark.parametrize("board", ["lines", "live"])
def test_a_line_of_a_log_that_is_followed_is_shown_without_control_characters(
    board: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console  # noqa: PLC0415 - as the program does it

    shown = LineBoard() if board == "lines" else LiveBoard(console=Console(), hooks=["check"])
    shown.log("", "check", HOSTILE)
    said = capsys.readouterr().out
    assert "evil" in said
    assert is_harmless(said)
