"""The server's places for running hooks: at most so many containers at once, and each convention its share.

A place that becomes free goes to the convention that holds the fewest; among equals, to the one that was given its last place the
longest ago, and within a convention to whoever has waited longest. So one convention's thousand runs do not keep another's single
run waiting behind them all, and nobody waits for ever.
"""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from osa_grpc.domain.names import ConventionRef


class Places:
    """`count` places. All of one event loop."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError("there must be a place")
        self._count = count
        self._held: Counter[ConventionRef] = Counter()
        self._waiting: dict[ConventionRef, deque[_Waiter]] = {}
        self._tickets = itertools.count(1)
        self._served: dict[ConventionRef, int] = {}
        """When each was given its last place, as a ticket; one that never was comes first."""

    @property
    def are_all_taken(self) -> bool:
        """Whether one who comes now has to wait."""
        return self._held.total() >= self._count

    @asynccontextmanager
    async def place(self, convention: ConventionRef, *, at_once: bool = False) -> AsyncIterator[None]:
        """Hold a place while the block runs; wait for one before.

        `at_once`: take one without waiting, beyond the count if need be, for a container that runs already. Others then wait until
        fewer than `count` are held again.
        """
        if at_once or not self.are_all_taken:
            self._held[convention] += 1
        else:
            await self._wait(convention)
        self._served[convention] = next(self._tickets)
        try:
            yield
        finally:
            self._give_back(convention)

    async def _wait(self, convention: ConventionRef) -> None:
        """Wait until `_hand_out` has counted a place as this one's."""
        waiter = _Waiter(ticket=next(self._tickets), given=asyncio.get_running_loop().create_future())
        self._waiting.setdefault(convention, deque()).append(waiter)
        try:
            await waiter.given
        except asyncio.CancelledError:
            if waiter.given.cancelled():
                self._forget(convention, waiter)
            else:  # given in the very moment of the cancellation
                self._give_back(convention)
            raise

    def _give_back(self, convention: ConventionRef) -> None:
        self._held[convention] -= 1
        if not self._held[convention]:
            del self._held[convention]
        while not self.are_all_taken and self._hand_out():
            pass

    def _hand_out(self) -> bool:
        """Give one place to whose turn it is; False when nobody waits."""
        for waiters in self._waiting.values():
            while waiters and waiters[0].given.done():  # cancelled, and not yet come to say so
                waiters.popleft()
        turns = [
            (self._held[c], self._served.get(c, 0), waiters[0].ticket, c)
            for c, waiters in self._waiting.items()
            if waiters
        ]
        if not turns:
            return False
        *_, convention = min(turns, key=lambda turn: turn[:3])
        waiter = self._waiting[convention].popleft()
        if not self._waiting[convention]:
            del self._waiting[convention]
        self._held[convention] += 1
        waiter.given.set_result(None)
        return True

    def _forget(self, convention: ConventionRef, waiter: "_Waiter") -> None:
        waiters = self._waiting.get(convention)
        if waiters is None:
            return
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            del self._waiting[convention]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiter:
    """One who waits; `ticket` rises with each."""

    ticket: int
    given: asyncio.Future[None]
