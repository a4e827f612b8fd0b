"""The directory whose parts are mounted into containers: where it is for us, where it is for the engine, and proof that it is one.

A server that runs in a container has its data at a path that its engine's host does not know. A wrong idea of where they are would
only show in hooks that find no input, or whose rows nobody finds. So it is proved before a hook runs: the engine copies a file.
"""

from __future__ import annotations

import asyncio
import shutil
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from osa_grpc.runtimes.container_labels import PROOF_LABEL, SERVER_LABEL
from osa_grpc.runtimes.engine import DirectoryNotSeenError, EngineError
from osa_grpc.runtimes.finishing import finish

if TYPE_CHECKING:
    from pathlib import Path

    from osa_grpc.runtimes.engine import ContainerEngine

_log = structlog.get_logger(__name__)

_AGAIN_SECONDS: Final = 30.0
_PROOF: Final = "engine-proof"


class SharedDirectory:
    """A directory of ours, which the engine's host has at `host_directory`, or at the same path. Containers see `part` of it."""

    def __init__(
        self,
        *,
        engine: ContainerEngine,
        directory: Path,
        part: str,
        host_directory: Path | None,
        server_id: str,
    ) -> None:
        self.directory = directory.absolute()  # the engine looks from elsewhere
        self.host_directory = host_directory or self.directory
        self._part = self.directory / part
        self._engine = engine
        self._labels = {SERVER_LABEL: server_id, PROOF_LABEL: ""}
        self._proving = asyncio.Lock()
        self._is_proved = False
        self._trouble: str | None = None
        self._again_at = 0.0

    def as_the_engine_sees(self, path: Path) -> Path:
        """Return a path within the directory as the engine's host has it."""
        return self.host_directory / path.relative_to(self.directory)

    async def trouble(self) -> str | None:
        """Return why containers would not see the directory, or None once it is proved that they do. Raises EngineError.

        Trouble is looked at again, but not at every call.
        """
        async with self._proving:
            now = asyncio.get_running_loop().time()
            if not self._is_proved and now >= self._again_at:
                # To its end, so that whoever is cancelled leaves no container of it.
                self._trouble = await finish(self._prove(), name="prove the data directory")
                self._is_proved = self._trouble is None
                self._again_at = now + _AGAIN_SECONDS
                if self._trouble is not None:
                    _log.error("hooks cannot run", reason=self._trouble)
        return self._trouble

    async def trouble_now(self) -> str | None:
        """Return why hooks cannot run now, or None: also what the engine says when it cannot be asked."""
        try:
            return await self.trouble()
        except EngineError as error:
            return str(error)

    async def _prove(self) -> str | None:
        folder = self._part / _PROOF
        written = uuid.uuid4().hex
        for left in await self._engine.find(self._labels):  # by a server that was killed while it looked
            await self._engine.remove(left.id, grace=timedelta())
        await asyncio.to_thread(_write, folder, written)
        try:
            await self._engine.copy_within(
                self.as_the_engine_sees(folder), source=written, target="copy", labels=self._labels
            )
            detail = await asyncio.to_thread(_compare, folder, written)
        except DirectoryNotSeenError as error:
            detail = str(error)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return None if detail is None else self._told(detail)

    def _told(self, detail: str) -> str:
        if self.host_directory == self.directory:
            return (
                f"the container engine does not see {self.directory} as this server does: {detail} "
                "(a server that runs in a container itself needs the setting host_data_directory)"
            )
        return f"the container engine does not have at {self.host_directory} what this server has at {self.directory}: {detail}"


def _write(folder: Path, name: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / name).write_text(name)


def _compare(folder: Path, name: str) -> str | None:
    try:
        copied = (folder / "copy").read_text()
    except OSError as error:
        return f"what it wrote there is not here ({error.strerror})"
    return None if copied == name else "what it wrote there is not what is here"
