"""From the facts about how a hook ended to its verdict, as a table."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest

from osa_grpc.application.ports import FeatureSource, HookEnd, HookOutputs
from osa_grpc.application.verdict import Judgement, judge
from osa_grpc.domain.errors import BadOutput, BadOutputError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.run import Provenance, Verdict

BAD = BadOutputError(BadOutput(file="features.jsonl", line=3, field="a", message="expected number"))
OOM = Failure(kind=FailureKind.OOM, message="too much")
REPORTED = Failure(kind=FailureKind.HOOK_EXIT, message="no atoms", retryable=True)


@dataclass
class Left:
    """What a hook left behind; an exception is raised when it is asked for."""

    rejected: str | BadOutputError | None = None
    reported: Failure | BadOutputError | None = None
    rows: int | BadOutputError = 0

    def rejection(self) -> str | None:
        if isinstance(self.rejected, BadOutputError):
            raise self.rejected
        return self.rejected

    def error(self) -> Failure | None:
        if isinstance(self.reported, BadOutputError):
            raise self.reported
        return self.reported

    def features(self) -> AbstractContextManager[FeatureSource | None]:
        return nullcontext(None)

    def sha256(self) -> str:
        return ""


def judged(left: Left | None, *, exit_code: int | None = 0, failure: Failure | None = None) -> Judgement:
    end = HookEnd(
        failure=failure,
        exit_code=exit_code,
        started_at=None,
        ended_at=None,
        provenance=Provenance(image="i", digest="d"),
        outputs=left,
    )

    def count_rows(_: HookOutputs) -> int:
        assert left is not None
        if isinstance(left.rows, BadOutputError):
            raise left.rows
        return left.rows

    return judge(end, count_rows)


def failed(kind: FailureKind, message: str, *, retryable: bool = False) -> Judgement:
    return Judgement(verdict=Verdict.FAILED, failure=Failure(kind=kind, message=message, retryable=retryable))


BAD_JUDGEMENT = failed(FailureKind.BAD_OUTPUT, "features.jsonl line 3, field a: expected number")
EXIT_3 = failed(FailureKind.HOOK_EXIT, "the hook exited with code 3")


@pytest.mark.parametrize(
    ("left", "exit_code", "judgement"),
    [
        (Left(), 0, Judgement(verdict=Verdict.PASSED)),
        (Left(rows=7), 0, Judgement(verdict=Verdict.PASSED, row_count=7)),
        (Left(rejected="short"), 0, Judgement(verdict=Verdict.REJECTED, rejection_reason="short")),
        (Left(rejected="short"), 3, Judgement(verdict=Verdict.REJECTED, rejection_reason="short")),
        (
            Left(rejected="short", reported=REPORTED, rows=BAD),
            0,
            Judgement(verdict=Verdict.REJECTED, rejection_reason="short"),
        ),
        (Left(), 3, EXIT_3),
        (Left(rows=BAD), 3, EXIT_3),
        (Left(rejected=BAD), 3, EXIT_3),
        (Left(reported=BAD), 3, EXIT_3),
        (Left(rows=BAD), 0, BAD_JUDGEMENT),
        (Left(rejected=BAD), 0, BAD_JUDGEMENT),
        (Left(reported=BAD), 0, BAD_JUDGEMENT),
        (Left(reported=REPORTED), 0, failed(FailureKind.HOOK_EXIT, "no atoms", retryable=True)),
        (Left(reported=REPORTED, rows=BAD), 0, failed(FailureKind.HOOK_EXIT, "no atoms", retryable=True)),
        (
            Left(reported=REPORTED),
            3,
            failed(FailureKind.HOOK_EXIT, "the hook exited with code 3; it says: no atoms", retryable=True),
        ),
        (
            Left(),
            137,
            failed(
                FailureKind.HOOK_EXIT,
                "the hook exited with code 137: it, or a program it ran, was ended by SIGKILL, perhaps for memory",
            ),
        ),
        (
            Left(),
            127,
            failed(FailureKind.HOOK_EXIT, "the hook exited with code 127: a program was not found"),
        ),
    ],
)
def test_the_verdict_follows_from_the_facts(left: Left, exit_code: int, judgement: Judgement) -> None:
    assert judged(left, exit_code=exit_code) == judgement


@pytest.mark.parametrize("left", [None, Left(rejected="short"), Left(rows=3), Left(rows=BAD)])
def test_what_the_engine_or_a_limit_did_comes_before_everything(left: Left | None) -> None:
    judgement = judged(left, exit_code=137, failure=OOM)
    assert judgement == Judgement(verdict=Verdict.FAILED, failure=OOM)


def test_an_end_without_failure_has_outputs() -> None:
    with pytest.raises(ValueError, match="has outputs"):
        judged(None)
