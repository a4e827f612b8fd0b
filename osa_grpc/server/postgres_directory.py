"""The directory of the embedded Postgres: what lies where, and who may pass.

- `cluster`: Postgres's own data directory. `initdb` works in `cluster.new`, which is renamed when it is
  complete, so a `cluster` is always a whole one.
- `socket`: the Unix socket, unless its path would be too long for one.
- `lock`, held by the server, and `postgres.lock`, held by the processes of Postgres.
- `program`: a copy of the programs, where the originals are out of their account's reach.
"""

import contextlib
import ctypes
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.directory_lock import make_passable
from osa_grpc.server.postgres_program import Account, run_as

_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 107  # bytes of sun_path on Linux, without the closing NUL


_SHARED_MEMORY_LINE = 6  # of the pid file, from 0: key and id of the segment (pidfile.h)
_IPC_RMID = 0


class PostgresDirectory:
    """The directory of one embedded Postgres. Everything here needs the server's lock on it."""

    def __init__(self, *, path: Path) -> None:
        self.path = path
        self.cluster = path / "cluster"
        self.postgres_lock = path / "postgres.lock"
        self._scratch = path / "cluster.new"

    async def check_reachable(self, account: Account | None) -> None:
        """See with the account's own eyes whether it can reach the directory.

        Raises:
            CannotStartError: it cannot; names the first directory that is in the way.
        """
        if account is None:
            return
        script = 'for d in "$@"; do [ -x "$d" ] || { echo "$d"; exit 1; }; done'
        way = [str(directory) for directory in (*reversed(self.path.parents), self.path)]
        code, closed = await run_as(account, ["/bin/sh", "-c", script, "sh", *way])
        if code != 0:
            raise CannotStartError(
                f"The embedded Postgres runs as the user {account.name}, who cannot pass through "
                f"{closed}. Let others pass (chmod o+x {closed}), or choose another data directory."
            )

    def check_version(self, major_version: int) -> None:
        """Make sure that the cluster was made by this major version of Postgres.

        Raises:
            CannotStartError: it was not, or it is no cluster.
        """
        try:
            made_by = (self.cluster / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise CannotStartError(
                f"{self.cluster} holds no readable Postgres data ({error}). Restore it, or move it away."
            ) from error
        if made_by != str(major_version):
            raise CannotStartError(
                f"The data in {self.cluster} was made by PostgreSQL {made_by}; this installation has "
                f"{major_version}. Dump it with PostgreSQL {made_by} and load it into a new data directory "
                "(see docs/operating.md)."
            )

    def make_scratch(self, account: Account | None) -> Path:
        """Make an empty directory for `initdb`, without what an earlier one left."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        _make_private(self._scratch, account)
        return self._scratch

    def keep_scratch(self) -> None:
        """Make the complete scratch directory the cluster."""
        self._scratch.rename(self.cluster)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def says_ready(self, pid: int) -> bool:
        """Whether the postmaster of that process id takes connections."""
        lines = self._read_pid_file()
        # As `pg_ctl` has it: the first line is the process id, the eighth the state.
        return lines[:1] == [str(pid)] and "".join(lines[7:8]).strip() == "ready"

    def clear_pid_file(self) -> None:
        """Remove a pid file whose number has become another program's: Postgres would believe it.

        One of a dead process Postgres clears by itself; one of a Postgres that somebody started by hand on
        this data stays, and Postgres refuses to start.
        """
        lines = self._read_pid_file()
        if not lines:
            return
        with contextlib.suppress(OSError):  # no such process, or a system without /proc
            if Path(f"/proc/{int(lines[0])}/cwd").readlink() != self.cluster.resolve():
                (self.cluster / "postmaster.pid").unlink()

    def remove_shared_memory(self) -> None:
        """Remove the System V segment of a postmaster that was killed; an orderly one took it, and its pid file, along.

        What still uses it keeps it until its own end; the lock on `postgres_lock` lets no other start before that.
        """
        lines = self._read_pid_file()
        if len(lines) > _SHARED_MEMORY_LINE:
            _, _, segment = lines[_SHARED_MEMORY_LINE].strip().rpartition(" ")
            if segment.isdecimal():
                ctypes.CDLL(None).shmctl(int(segment), _IPC_RMID, None)

    def _read_pid_file(self) -> list[str]:
        try:
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def make_socket_directory(self, account: Account | None) -> Path:
        """Make the directory of the socket, for the account alone: here, or, if that path is too long, in /tmp."""
        directory = self.path / "socket"
        if len(os.fsencode(directory / _SOCKET_NAME)) > _LONGEST_SOCKET_PATH:
            digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
            # The same name each time, so that what a killed server left is used again.
            directory = Path(tempfile.gettempdir()) / f"osa-grpc-{digest}"
        _make_private(directory, account)
        return directory


def _make_private(directory: Path, account: Account | None) -> None:
    """Make a directory for the account alone, or take the one that is there."""
    make_passable(directory.parent)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    owner = os.geteuid() if account is None else account.uid
    status = directory.lstat()
    # Ours still, if we were killed between mkdir and chown.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (owner, os.geteuid()):
        raise CannotStartError(f"{directory} should be a directory of the server's own. Remove it.")
    directory.chmod(0o700)
    if account is not None:
        os.chown(directory, account.uid, account.gid)
