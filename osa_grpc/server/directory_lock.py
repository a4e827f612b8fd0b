import contextlib
import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from osa_grpc.application.disk_room import is_out_of_room
from osa_grpc.server.cannot_start import CannotStartError

# Others may pass through to what is inside, by its name, but cannot list it: the account that runs the
# embedded Postgres has to reach its own subdirectory and nothing else.
PASSABLE = 0o711


class DirectoryLock:
    """Holds a directory for one server at a time.

    The lock is the kernel's (`flock` on the file `lock`): it goes with the process, however that ends, so a
    file left behind locks nothing. The file names its holder, for the message to the second comer.
    """

    def __init__(self, *, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, making the directory if it is not there.

        Raises:
            CannotStartError: another server holds it, or the directory cannot be made or written.
        """
        path = self._directory / "lock"
        try:
            make_passable(self._directory)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            remedy = "Make room" if is_out_of_room(error) else "Make it writable for the server's user"
            raise CannotStartError(
                f"The directory {self._directory} cannot be used: {error.strerror}. "
                f"{remedy}, or choose another data directory."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 500, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise CannotStartError(
                f"The directory {self._directory} is in use by {holder}. "
                "Stop that server, or choose another data directory."
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise CannotStartError(
                f"The directory {self._directory} cannot be locked: {error.strerror}. "
                "Choose a data directory on a local disk."
            ) from error
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = f"process {os.getpid()} on {socket.gethostname()} since {now}"
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk: then the message to the second comer names nobody
            os.pwrite(descriptor, f"{holder}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            # Emptied, not removed: a file removed here could be one that somebody is just waiting for.
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def make_passable(directory: Path) -> None:
    """Make a directory with the parents that are missing; what exists already keeps its permissions."""
    missing = []
    path = directory
    while not path.exists():
        missing.append(path)
        path = path.parent
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            path.chmod(PASSABLE)  # not mkdir's mode, which the umask would narrow
