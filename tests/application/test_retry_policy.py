"""When a hook is tried again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.application.retry_policy import COURSES, Again, Course, GiveUp, RetryRules, decide
from osa_grpc.domain.failure import Failure, FailureKind

MIB = 2**20
RULES = RetryRules(
    max_attempts=4, delay=timedelta(seconds=8), max_delay=timedelta(seconds=20), max_memory_bytes=100 * MIB
)


def failure(kind: FailureKind, *, retryable: bool = True) -> Failure:
    return Failure(kind=kind, message="it went wrong", retryable=retryable)


def decided(
    kind: FailureKind,
    *,
    retryable: bool = True,
    failure_count: int = 1,
    memory_bytes: int = 64 * MIB,
    rules: RetryRules = RULES,
) -> Again | GiveUp:
    return decide(
        failure(kind, retryable=retryable),
        failure_count=failure_count,
        memory_bytes=memory_bytes,
        rules=rules,
    )


def test_every_kind_of_failure_has_its_course() -> None:
    assert set(COURSES) == set(FailureKind)


@pytest.mark.parametrize("kind", [FailureKind.CONFIG, FailureKind.HOOK_EXIT, FailureKind.BAD_OUTPUT])
@pytest.mark.parametrize("retryable", [True, False])
def test_what_is_the_hooks_own_doing_is_final_whatever_it_says(kind: FailureKind, *, retryable: bool) -> None:
    assert decided(kind, retryable=retryable) == GiveUp(failure=failure(kind, retryable=retryable))


@pytest.mark.parametrize("kind", [FailureKind.IMAGE_PULL, FailureKind.ENGINE, FailureKind.INTERNAL])
def test_trouble_of_the_surroundings_is_waited_out_if_it_may_pass(kind: FailureKind) -> None:
    match decided(kind):
        case Again(delay=delay, memory_bytes=memory_bytes):
            assert timedelta(seconds=6) <= delay <= timedelta(seconds=10)
            assert memory_bytes is None
        case GiveUp():
            pytest.fail("given up")
    assert decided(kind, retryable=False) == GiveUp(failure=failure(kind, retryable=False))


def test_pauses_double_up_to_the_longest() -> None:
    pauses = []
    for count in (1, 2, 3):
        decision = decided(FailureKind.ENGINE, failure_count=count)
        assert isinstance(decision, Again)
        pauses.append(decision.delay.total_seconds())
    assert 6 <= pauses[0] <= 10
    assert 12 <= pauses[1] <= 20
    assert 15 <= pauses[2] <= 25


def test_a_time_out_is_tried_once_more_at_once() -> None:
    assert decided(FailureKind.TIMEOUT) == Again()
    assert isinstance(decided(FailureKind.TIMEOUT, failure_count=2), GiveUp)


def test_a_hook_that_needs_more_memory_gets_twice_as_much_up_to_the_ceiling() -> None:
    assert decided(FailureKind.OOM, memory_bytes=25 * MIB) == Again(memory_bytes=50 * MIB)
    assert decided(FailureKind.OOM, memory_bytes=64 * MIB, failure_count=2) == Again(memory_bytes=100 * MIB)
    assert isinstance(decided(FailureKind.OOM, memory_bytes=100 * MIB, failure_count=3), GiveUp)


def test_a_hook_that_was_allowed_more_than_the_ceiling_gets_no_less() -> None:
    assert decided(FailureKind.OOM, memory_bytes=200 * MIB) == GiveUp(failure=failure(FailureKind.OOM))


def test_whoever_gives_up_after_several_attempts_says_so() -> None:
    match decided(FailureKind.ENGINE, failure_count=4):
        case GiveUp(failure=told):
            assert told.message == "it went wrong; given up after 4 attempts"
            assert (told.kind, told.retryable) == (FailureKind.ENGINE, True)
        case Again():
            pytest.fail("tried again")


def test_a_failure_that_is_final_by_its_kind_is_told_as_it_is() -> None:
    assert decided(FailureKind.HOOK_EXIT, failure_count=3) == GiveUp(failure=failure(FailureKind.HOOK_EXIT))
    assert decided(FailureKind.IMAGE_PULL, retryable=False, failure_count=3) == GiveUp(
        failure=failure(FailureKind.IMAGE_PULL, retryable=False)
    )


@given(
    kinds=st.lists(st.sampled_from(FailureKind), min_size=30, max_size=30),
    rules=st.builds(
        RetryRules,
        max_attempts=st.integers(1, 20),
        delay=st.timedeltas(timedelta(milliseconds=1), timedelta(hours=1)),
        max_delay=st.timedeltas(timedelta(milliseconds=1), timedelta(hours=1)),
        max_memory_bytes=st.integers(6 * MIB, 2**40),
    ),
    memory_bytes=st.integers(6 * MIB, 2**40),
)
def test_whatever_goes_wrong_a_hook_comes_to_an_end_within_the_ceilings(
    kinds: list[FailureKind], rules: RetryRules, memory_bytes: int
) -> None:
    defined = memory_bytes
    for count, kind in enumerate(kinds, 1):
        decision = decided(kind, failure_count=count, memory_bytes=memory_bytes, rules=rules)
        if isinstance(decision, GiveUp):
            break
        assert count < rules.max_attempts
        assert timedelta() <= decision.delay <= 1.25 * rules.max_delay
        assert (decision.delay > timedelta()) is (COURSES[kind] is Course.LATER)
        if decision.memory_bytes is not None:
            assert memory_bytes < decision.memory_bytes <= max(defined, rules.max_memory_bytes)
            memory_bytes = decision.memory_bytes
    else:
        pytest.fail("it never ends")
