"""Room on a disk: how much is left, and how much of it is kept for the database.

Where files, hooks' outputs and the embedded Postgres share a disk, a full one ends Postgres and with it the server. So what can be
refused or can wait, uploads and hooks, stops while there is still some room.
"""

import errno
import os
import shutil
from pathlib import Path
from typing import Final

from osa_grpc.domain.errors import ResourceExhaustedError

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class DiskRoom:
    """The room on the disk that a directory is on. The last `reserve_bytes` of it are kept for others."""

    def __init__(self, *, directory: Path, reserve_bytes: int = 0) -> None:
        self._directory = directory
        self._reserve_bytes = reserve_bytes

    @property
    def directory(self) -> Path:
        """What it is asked about."""
        return self._directory

    @property
    def free_bytes(self) -> int:
        """How much is left, for those who are not root. A directory that is not there yet will be on its parent's disk."""
        existing = next(path for path in (self._directory, *self._directory.parents) if path.exists())
        return shutil.disk_usage(existing).free

    @property
    def shortage(self) -> str | None:
        """A sentence when no more than the reserve is left; None while there is room."""
        return self._shortage(0)

    @property
    def is_nearly_gone(self) -> bool:
        """Whether half of the reserve has been used as well."""
        return 2 * self.free_bytes < self._reserve_bytes

    def demand(self, size_bytes: int = 0) -> None:
        """Make sure that so many bytes can be written, and the reserve is left.

        Raises:
            ResourceExhaustedError: they cannot (`DISK_FULL`).
        """
        if (shortage := self._shortage(size_bytes)) is not None:
            raise self._error(shortage)

    def full(self) -> ResourceExhaustedError:
        """Return the error of whoever found no room at all (`DISK_FULL`)."""
        return self._error(f"No room is left on the disk of {self._directory}.")

    def _shortage(self, size_bytes: int) -> str | None:
        free_bytes = self.free_bytes
        if free_bytes >= size_bytes + self._reserve_bytes:
            return None
        wanted = f"{size_bytes} bytes are wanted" if size_bytes else "more is wanted"
        kept = (
            f", and the last {self._reserve_bytes} are kept for the database" if self._reserve_bytes else ""
        )
        return f"The disk of {self._directory} has {free_bytes} bytes left: {wanted}{kept}."

    def _error(self, message: str) -> ResourceExhaustedError:
        return ResourceExhaustedError(
            message, reason="DISK_FULL", metadata={"directory": str(self._directory)}
        )


def is_out_of_room(error: BaseException) -> bool:
    """Whether an error says that the disk, or the user's share of it, is full."""
    return getattr(error, "errno", None) in _FULL or says_out_of_room(str(error))


def says_out_of_room(text: str) -> bool:
    """Whether a text says so: of a program, or of an error that has its code in its text alone, as obstore's."""
    return any(os.strerror(code) in text or f"(os error {code})" in text for code in _FULL)
