"""The watch's state machine, without any connection."""

from collections.abc import Callable
from datetime import timedelta

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.client import Backoff, Interruption, OsaRpcError, WatchGapError
from osa_grpc.client.resumption import Resumption
from osa_grpc.client.run_watch import RunWatch
from osa_grpc.wire import pb

RUN = "runs/1"


def watch(
    *,
    resume_token: str | None = None,
    from_now: bool = False,
    clock: Callable[[], float] = lambda: 0.0,
    seen: list[Interruption] | None = None,
) -> RunWatch:
    return RunWatch(
        name=RUN,
        resume_token=resume_token,
        from_now=from_now,
        until_now=False,
        bookmark_interval=None,
        resumption=Resumption(
            backoff=Backoff(first_seconds=1, factor=2, longest_seconds=20, draw=lambda: 1.0),
            patience_seconds=60,
            clock=clock,
            on_interruption=(seen if seen is not None else []).append,
        ),
    )


def batch(*sequences: int, token: str = "", last: bool = False) -> pb.WatchRunResponse:
    events = [pb.RunEvent(sequence=n, run_started=pb.RunStarted()) for n in sequences]
    if last:
        events[-1].run_finished.SetInParent()
    return pb.WatchRunResponse(events=events, resume_token=token)


def closing(*, after: float) -> pb.WatchRunResponse:
    response = pb.WatchRunResponse(closing=pb.Closing(reason=pb.CLOSING_REASON_SERVER_DRAINING))
    response.closing.retry_delay.FromTimedelta(timedelta(seconds=after))
    return response


def sequences(responses: object) -> list[int]:
    return [event.sequence for response in responses for event in response.events]  # type: ignore[attr-defined]


def error(code: grpc.StatusCode, reason: str = "") -> OsaRpcError:
    return OsaRpcError(code=code, message="", reason=reason)


LOST = error(grpc.StatusCode.UNAVAILABLE)


def test_a_watch_starts_with_the_first_event_and_resumes_with_the_last_token() -> None:
    one = watch()
    assert one.request() == pb.WatchRunRequest(name=RUN)
    one.take(batch(1, 2, token="after 2"))
    assert one.interrupted(LOST) == 1
    assert one.request() == pb.WatchRunRequest(name=RUN, resume_token="after 2")


def test_from_now_holds_until_there_is_a_token() -> None:
    one = watch(from_now=True)
    assert one.request().from_now
    one.take(pb.WatchRunResponse(resume_token="now", caught_up=pb.CaughtUp()))
    assert one.interrupted(LOST) is not None
    assert one.request().resume_token == "now"
    assert sequences(one.take(batch(7))) == [7]


def test_an_event_that_comes_again_is_left_out() -> None:
    one = watch()
    one.take(batch(1, 2, 3))
    assert sequences(one.take(batch(2, 3, 4))) == [4]


@pytest.mark.parametrize("received", [(2,), (1, 3)])
def test_a_missing_event_is_an_error(received: tuple[int, ...]) -> None:
    with pytest.raises(WatchGapError, match=RUN):
        watch().take(batch(*received))


def test_a_gap_after_a_resume_is_an_error_too() -> None:
    one = watch(resume_token="after 4")
    one.take(batch(5))
    one.interrupted(LOST)
    one.request()
    with pytest.raises(WatchGapError):
        one.take(batch(7))


def test_an_announced_end_is_resumed_after_the_delay_asked_for() -> None:
    seen: list[Interruption] = []
    one = watch(seen=seen)
    one.take(batch(1, token="t"))
    one.take(closing(after=5))
    assert one.wants_new_call
    assert one.ended() == 5 + 1
    assert one.request().resume_token == "t"
    assert not one.wants_new_call
    assert [interruption.error for interruption in seen] == [None]


def test_an_ok_that_was_not_announced_is_the_end() -> None:
    one = watch(resume_token="after the last")
    one.take(pb.WatchRunResponse(resume_token="after the last"))
    assert one.ended() is None


def test_after_run_finished_an_error_loses_nothing() -> None:
    one = watch()
    one.take(batch(1, 2, last=True))
    assert one.interrupted(LOST) is None


def test_before_anything_was_received_an_error_is_raised() -> None:
    with pytest.raises(OsaRpcError):
        watch().interrupted(LOST)


def test_errors_that_stay_are_raised() -> None:
    one = watch()
    one.take(batch(1))
    for code, reason in (
        (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
    ):
        with pytest.raises(OsaRpcError):
            one.interrupted(error(code, reason))


def test_a_reset_stream_is_resumed() -> None:
    one = watch()
    one.take(batch(1))
    assert one.interrupted(error(grpc.StatusCode.INTERNAL)) == 1


def test_one_that_was_let_go_for_its_slowness_is_resumed() -> None:
    one = watch()
    one.take(batch(1))
    assert one.interrupted(error(grpc.StatusCode.RESOURCE_EXHAUSTED, "SLOW_CONSUMER")) == 1


def test_waits_grow_until_something_is_received() -> None:
    one = watch()
    one.take(batch(1))
    assert [one.interrupted(LOST) for _ in range(3)] == [1, 2, 4]
    one.take(batch(2))
    assert one.interrupted(LOST) == 1


def test_patience_ends_when_nothing_was_received_for_too_long() -> None:
    now = 0.0
    one = watch(clock=lambda: now)
    one.take(batch(1))
    now = 59
    assert one.interrupted(LOST) is not None
    now = 61
    with pytest.raises(OsaRpcError):
        one.interrupted(LOST)


def test_a_token_and_from_now_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="not both"):
        watch(resume_token="t", from_now=True)


CUTS = st.lists(
    st.tuples(
        st.integers(1, 4),  # events in a batch
        st.sampled_from(["go on", "lost", "reset", "closing", "twice"]),
    ),
    max_size=40,
)


@given(total=st.integers(1, 30), start=st.integers(0, 5), cuts=CUTS)
def test_whatever_is_cut_every_event_comes_once_and_in_order(
    total: int, start: int, cuts: list[tuple[int, str]]
) -> None:
    start = min(start, total - 1)
    one = watch(resume_token=str(start) if start else None)
    plan = iter(cuts)
    received: list[int] = []
    seconds: float | None = 0.0
    while seconds is not None:
        position = int(one.request().resume_token or 0)
        one.take(pb.WatchRunResponse(resume_token=str(position)))
        failure = None
        while position < total:
            size, then = next(plan, (4, "go on"))
            first = position if then == "twice" and position > start else position + 1
            up_to = min(total, position + size)
            response = batch(*range(first, up_to + 1), token=str(up_to), last=up_to == total)
            received += sequences(one.take(response))
            position = up_to
            if then == "closing":
                one.take(closing(after=0))
                break
            if then in {"lost", "reset"}:
                failure = LOST if then == "lost" else error(grpc.StatusCode.INTERNAL)
                break
        seconds = one.ended() if failure is None else one.interrupted(failure)
    assert received == list(range(start + 1, total + 1))
