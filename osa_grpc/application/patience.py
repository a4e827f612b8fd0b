"""How long to wait before trying again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from osa_grpc.domain.errors import UnavailableError

T = TypeVar("T")


def backoff(
    attempt: int, *, first: timedelta = timedelta(milliseconds=200), most: timedelta = timedelta(minutes=5)
) -> timedelta:
    """Return the wait after the `attempt`-th failure, from 1: doubling, bounded, with jitter of ±25 %."""
    plain = min(first.total_seconds() * 2 ** min(attempt - 1, 30), most.total_seconds())
    return timedelta(seconds=plain * random.uniform(0.75, 1.25))  # noqa: S311 - no secret


async def through_outages(act: Callable[[], Awaitable[T]]) -> T:
    """Do it; while the database is away, wait and do it again. A pause is not an end.

    `act` must be a whole transaction: one that was cut off at its commit may have happened, so it has to find that out itself.
    """
    attempt = 0
    while True:
        try:
            return await act()
        except UnavailableError:
            attempt += 1
            await asyncio.sleep(backoff(attempt, most=timedelta(seconds=2)).total_seconds())
