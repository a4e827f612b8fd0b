"""Whether a hook that failed is tried again: one table, from the kind of failure to what is done about it.

docs/run-states.md has the same table, and a test compares the two. A rejection is no failure, and is never asked about here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from osa_grpc.application.patience import backoff
from osa_grpc.domain.failure import Failure, FailureKind


class Course(StrEnum):
    """What is done after a failed attempt, in the words of the documentation."""

    MORE_MEMORY = "at once, with twice the memory, up to `max_retry_memory`"
    ONCE_MORE = "at once, but only once"
    LATER = "after a pause, if the failure is `retryable`"
    NEVER = "never"


COURSES: Final[Mapping[FailureKind, Course]] = {
    FailureKind.OOM: Course.MORE_MEMORY,
    FailureKind.TIMEOUT: Course.ONCE_MORE,
    FailureKind.IMAGE_PULL: Course.LATER,
    FailureKind.ENGINE: Course.LATER,
    FailureKind.INTERNAL: Course.LATER,
    FailureKind.CONFIG: Course.NEVER,
    FailureKind.HOOK_EXIT: Course.NEVER,  # also if it calls itself retryable: that is said to people, and to RetryRun
    FailureKind.BAD_OUTPUT: Course.NEVER,
}


@dataclass(frozen=True, kw_only=True)
class RetryRules:
    """The ceilings: of attempts (the first included), of the pause between two, of the memory that one may get."""

    max_attempts: int = 10
    delay: timedelta = timedelta(seconds=5)
    max_delay: timedelta = timedelta(minutes=5)
    max_memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Again:
    """Try it again after `delay`. `memory_bytes`: with so much memory; None: with as much as before."""

    delay: timedelta = timedelta()
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """Fail, with this failure: the one there was, saying so if it had been tried again before."""

    failure: Failure


def decide(failure: Failure, *, failure_count: int, memory_bytes: int, rules: RetryRules) -> Again | GiveUp:
    """Return what is done about a failed attempt.

    `failure_count`: the attempts of this hook that failed, this one included; `memory_bytes`: what this one was allowed. The pause
    doubles with each failure and varies by a quarter, so that runs which failed together do not come back together.
    """
    course = COURSES[failure.kind]
    if course is Course.NEVER or (course is Course.LATER and not failure.retryable):
        return GiveUp(failure=failure)
    if failure_count < rules.max_attempts:
        if course is Course.MORE_MEMORY and memory_bytes < rules.max_memory_bytes:
            return Again(memory_bytes=min(2 * memory_bytes, rules.max_memory_bytes))
        if course is Course.ONCE_MORE and failure_count == 1:
            return Again()
        if course is Course.LATER:
            return Again(delay=backoff(failure_count, first=rules.delay, most=rules.max_delay))
    if failure_count == 1:
        return GiveUp(failure=failure)
    message = f"{failure.message}; given up after {failure_count} attempts"
    return GiveUp(failure=failure.model_copy(update={"message": message}))
