"""Work that is seen to its end."""

from __future__ import annotations

import asyncio

import pytest

from osa_grpc.runtimes.finishing import finish


async def test_a_cancellation_waits_for_the_work_and_is_then_raised() -> None:
    may_end, has_ended = asyncio.Event(), False

    async def work() -> None:
        nonlocal has_ended
        await may_end.wait()
        has_ended = True

    waiting = asyncio.create_task(finish(work(), name="work"))
    for _ in range(3):  # again and again
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert has_ended


async def test_what_the_work_gives_or_raises_comes_out() -> None:
    async def give() -> int:
        return 7

    async def fail() -> None:
        raise LookupError

    assert await finish(give(), name="give") == 7
    with pytest.raises(LookupError):
        await finish(fail(), name="fail")
