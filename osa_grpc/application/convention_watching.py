"""Watching a convention until it is READY or FAILED: level-triggered, the state as it is."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

from osa_grpc.application.depositing import convention_of
from osa_grpc.application.ports import Doorbell, convention_bell
from osa_grpc.application.storage_ports import Storage
from osa_grpc.domain.convention import Convention, ConventionState
from osa_grpc.domain.errors import UnavailableError
from osa_grpc.domain.names import ConventionRef


class ConventionWatching:
    """Serves the watchers of conventions."""

    def __init__(
        self,
        *,
        storage: Storage,
        doorbell: Doorbell,
        poll: timedelta = timedelta(seconds=2),
        longest_silence: timedelta = timedelta(seconds=15),
    ) -> None:
        self._storage = storage
        self._doorbell = doorbell
        self._poll = poll
        self._longest_silence_seconds = longest_silence.total_seconds()
        self._is_draining = False

    def drain(self) -> None:
        """End every watch soon."""
        self._is_draining = True

    async def watch(self, ref: ConventionRef) -> AsyncGenerator[Convention, None]:
        """Yield the convention, again after each change and after a long silence, until it is READY or FAILED.

        Raises:
            NotFoundError: there is none.
            UnavailableError: the server goes away (`SERVER_DRAINING`).
        """
        last: Convention | None = None
        clock = asyncio.get_running_loop().time
        yielded_at = clock()
        with self._doorbell.subscription(convention_bell(ref.name)) as bell:
            while True:
                bell.clear()
                async with self._storage.reading() as tx:
                    found = await convention_of(tx, ref)
                if found != last or clock() - yielded_at >= self._longest_silence_seconds:
                    last = found
                    yield found
                    yielded_at = clock()
                if found.state is not ConventionState.PENDING:
                    return
                if self._is_draining:
                    raise UnavailableError("the server stops; watch again", reason="SERVER_DRAINING")
                await bell.wait(at_most=self._poll)
