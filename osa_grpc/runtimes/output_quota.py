"""What a container may write to its output directory, enforced while it runs: its quota, and no more than there is room for."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from osa_grpc.domain.failure import Failure, FailureKind

if TYPE_CHECKING:
    from pathlib import Path

    from osa_grpc.application.disk_room import DiskRoom

_INTERVAL_SECONDS: Final = 0.5
_LEISURE: Final = 10  # looking takes at most about a tenth of the time
_BLOCK_BYTES: Final = 512
_MAX_DEPTH: Final = 64
"""Of directories; whoever looks at them or removes them goes down into each, with an open file for each level."""


_LITTLE_BYTES: Final = 2**20
"""Whoever has written no more than this is probably not why a disk is full."""


class OutputQuota:
    """Looks at what an output directory takes, in bytes and files, how deep it nests, and at what is left of the disk."""

    def __init__(self, *, directory: Path, room: DiskRoom, max_bytes: int, max_files: int) -> None:
        self._directory = directory
        self._room = room
        self._max_bytes = max_bytes
        self._max_files = max_files

    async def exceeded(self) -> Failure:
        """Wait until the directory takes too much; the failure that this is."""
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            if (excess := await self.check()) is not None:
                return excess
            await asyncio.sleep(max(_INTERVAL_SECONDS, _LEISURE * (loop.time() - began_at)))

    async def check(self) -> Failure | None:
        """Return the failure that it is if the directory takes too much now."""
        return await asyncio.to_thread(self._look)

    async def room_lost(self, exit_code: int) -> Failure | None:
        """Return the failure of a hook that has ended where no room is left, if it failed, probably for that, or is why."""
        if (shortage := self._room.shortage) is None:
            return None
        if exit_code:
            return _no_room(shortage)
        excess = await self.check()
        return excess if excess is not None and excess.kind is FailureKind.ENGINE else None

    def _look(self) -> Failure | None:
        taken_bytes = files = 0
        top = str(self._directory).count(os.sep)
        # By descriptors, so that no link that appears meanwhile leads elsewhere; what has vanished takes nothing.
        for path, folders, names, folder in os.fwalk(self._directory, onerror=lambda _: None):
            if path.count(os.sep) - top > _MAX_DEPTH:
                return _bad(f"is nested deeper than the {_MAX_DEPTH} directories it may be")
            for name in (*folders, *names):
                try:
                    taken_bytes += (
                        os.stat(name, dir_fd=folder, follow_symlinks=False).st_blocks * _BLOCK_BYTES
                    )
                except OSError:
                    continue
                files += 1
            if taken_bytes > self._max_bytes:
                return _bad(f"takes more than the {self._max_bytes} bytes it may take")
            if files > self._max_files:
                return _bad(f"is more than the {self._max_files} files it may be")
        shortage = self._room.shortage
        # A file that was removed and is still written to is seen by nobody: in need, every hook has to go.
        if shortage is None or (taken_bytes <= _LITTLE_BYTES and not self._room.is_nearly_gone):
            return None
        return _no_room(f"{shortage} The hook's output takes {taken_bytes}.")


def _bad(what: str) -> Failure:
    return Failure(kind=FailureKind.BAD_OUTPUT, message=f"the hook's output {what}")


def _no_room(message: str) -> Failure:
    return Failure(kind=FailureKind.ENGINE, message=message, retryable=True)
