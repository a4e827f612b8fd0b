"""How long to wait before trying again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from osa_grpc.domain.errors import ResourceExhaustedError, UnavailableError

T = TypeVar("T")

OUTAGES: Final = (UnavailableError, ResourceExhaustedError)
"""What passes: the database is away, takes no writes, or its disk is full."""

_LOG = structlog.get_logger(__name__)


def backoff(
    attempt: int, *, first: timedelta = timedelta(milliseconds=200), most: timedelta = timedelta(minutes=5)
) -> timedelta:
    """Return the wait after the `attempt`-th failure, from 1: doubling, bounded, with jitter of ±25 %."""
    plain = min(first.total_seconds() * 2 ** min(attempt - 1, 30), most.total_seconds())
    return timedelta(seconds=plain * random.uniform(0.75, 1.25))  # noqa: S311 - no secret


async def through_outages(act: Callable[[], Awaitable[T]]) -> T:
    """Do it; while the database is away or full, wait and do it again. A pause is not an end.

    `act` must be a whole transaction: one that was cut off at its commit may have happened, so it has to find that out itself.
    """
    attempt = 0
    while True:
        try:
            return await act()
        except OUTAGES as error:
            attempt += 1
            if attempt == 1:
                _LOG.warning("waiting", reason=error.reason, error=str(error))
            await asyncio.sleep(backoff(attempt, most=timedelta(seconds=2)).total_seconds())
