"""How long to wait before trying again."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Waits that grow with every failure in a row, each shortened at random so that clients spread out."""

    first_seconds: float = 0.2
    factor: float = 1.6
    longest_seconds: float = 20.0
    draw: Callable[[], float] = random.random
    """A number from 0 to 1."""

    def seconds(self, failures: int, *, asked_seconds: float = 0.0) -> float:
        """Return the wait after so many failures in a row, from 1; never less than the server asked for."""
        full = min(self.longest_seconds, self.first_seconds * self.factor ** (failures - 1))
        return asked_seconds + full * (0.5 + 0.5 * self.draw())
