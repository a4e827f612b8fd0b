import re
from pathlib import Path

from osa_grpc.application.retry_policy import COURSES
from osa_grpc.domain.run import RUN_TRANSITIONS, HookExecutionState, WaitingReason

PAGE = (Path(__file__).parents[2] / "docs" / "run-states.md").read_text()


def test_the_page_has_the_transitions_of_the_domain() -> None:
    _, _, rest = PAGE.partition("<!-- run transitions")
    table, end, _ = rest.partition("<!-- end of run transitions -->")
    assert end
    rows = re.findall(r"^\| `([A-Z_]+)` \|(.*)\|$", table, re.MULTILINE)
    in_page = {state: set(re.findall(r"`([A-Z_]+)`", after)) for state, after in rows}
    assert len(rows) == len(in_page)
    assert in_page == {
        state.value: {after.value for after in follow} for state, follow in RUN_TRANSITIONS.items()
    }


def test_the_drawing_has_every_state_of_a_run() -> None:
    drawing = PAGE.split("```")[1]
    assert set(re.findall(r"\b[A-Z_]{6,}\b", drawing)) == {state.value for state in RUN_TRANSITIONS}


def test_the_page_has_every_state_of_a_hook_execution() -> None:
    _, _, section = PAGE.partition("## The states of a hook execution")
    assert {state.value for state in HookExecutionState} <= set(re.findall(r"`([A-Z]+)`", section))


def test_the_page_has_every_reason_to_wait() -> None:
    _, _, section = PAGE.partition("## The states of a hook execution")
    assert {reason.value for reason in WaitingReason} <= set(re.findall(r"`([A-Z]+)`", section))


def test_the_page_has_the_retry_policy_of_the_code() -> None:
    _, _, rest = PAGE.partition("<!-- retry policy")
    table, end, _ = rest.partition("<!-- end of retry policy -->")
    assert end
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", table, re.MULTILINE)
    assert rows == [(kind.value, course.value) for kind, course in COURSES.items()]
