"""The quota on what a container writes to its output directory, enforced while it runs."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_INTERVAL_SECONDS: Final = 0.5
_LEISURE: Final = 10  # looking takes at most about a tenth of the time
_BLOCK_BYTES: Final = 512
_MAX_DEPTH: Final = 64
"""Of directories; whoever looks at them or removes them goes down into each, with an open file for each level."""


class OutputQuota:
    """Looks at what an output directory takes of the disk, in bytes and in files, and how deep it nests."""

    def __init__(self, *, directory: Path, max_bytes: int, max_files: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_files = max_files

    async def exceeded(self) -> str:
        """Wait until the directory takes too much; a sentence about it."""
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            if (excess := await self.check()) is not None:
                return excess
            await asyncio.sleep(max(_INTERVAL_SECONDS, _LEISURE * (loop.time() - began_at)))

    async def check(self) -> str | None:
        """Return a sentence if the directory takes too much now."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> str | None:
        taken_bytes = files = 0
        top = str(self._directory).count(os.sep)
        # By descriptors, so that no link that appears meanwhile leads elsewhere; what has vanished takes nothing.
        for path, folders, names, folder in os.fwalk(self._directory, onerror=lambda _: None):
            if path.count(os.sep) - top > _MAX_DEPTH:
                return f"the hook's output is nested deeper than the {_MAX_DEPTH} directories it may be"
            for name in (*folders, *names):
                try:
                    taken_bytes += (
                        os.stat(name, dir_fd=folder, follow_symlinks=False).st_blocks * _BLOCK_BYTES
                    )
                except OSError:
                    continue
                files += 1
            if taken_bytes > self._max_bytes:
                return f"the hook's output takes more than the {self._max_bytes} bytes it may take"
            if files > self._max_files:
                return f"the hook's output is more than the {self._max_files} files it may be"
        return None
