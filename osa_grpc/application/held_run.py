"""A run in the hands of a worker, and whether it still is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from osa_grpc.application.patience import through_outages
from osa_grpc.application.storage_ports import RunLease
from osa_grpc.domain.errors import LeaseLostError

T = TypeVar("T")


@dataclass(kw_only=True, eq=False)
class HeldRun:
    """A run that is held, shared by all who work on it here.

    `lease`: the latest; a worker that claims what it holds itself goes on under the new one. `leaves_container`: whatever ends here
    now, the run's container stays as it is, for whoever has the run or will have it.
    """

    lease: RunLease
    leaves_container: bool = False

    async def write(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do a whole transaction under the lease, through outages.

        Raises:
            LeaseLostError: another worker has the run. Nobody who hears of it touches the container any more.
        """
        while True:
            epoch = self.lease.epoch
            try:
                return await through_outages(act)
            except LeaseLostError:
                if self.lease.epoch == epoch:
                    self.leaves_container = True
                    raise
                # This worker itself has claimed the run meanwhile.
