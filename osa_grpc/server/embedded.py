"""The laptop's database: a Postgres of our own, started and stopped with the server.

Decisions:

- `postgres` itself is our child, not a daemon started by `pg_ctl`, so that its end is noticed; it gets SIGINT
  from the kernel when the server is killed (Linux), so that it does not outlive it for good.
- It listens on a Unix socket in a directory that only its account (and root) can enter; hence no password and
  no port.
- Two locks: `lock` is held by the server; `postgres.lock` is inherited by Postgres and all its processes, so
  it tells beyond doubt whether an orphan of a killed server is still there. A pid file alone cannot: pids are
  reused.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import platformdirs
import structlog

from osa_grpc.server import launch_child
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.directory_lock import DirectoryLock
from osa_grpc.server.postgres_directory import PostgresDirectory
from osa_grpc.server.postgres_log import PostgresLog, reason_in
from osa_grpc.server.postgres_program import Account, PostgresProgram, choose_account, find_program

_log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.01

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # In the data directory: what a killed Postgres leaves is found and cleared by the next one there.
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "",
    "log_min_error_statement": "panic",  # statements in the log could carry depositors' data
}


class EmbeddedPostgresError(Exception):
    """The embedded Postgres ended although nobody asked it to."""


def default_data_directory() -> Path:
    """Where the server keeps its data if nobody says: for root the system's place, else the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/osa-grpc")
    return platformdirs.user_data_path("osa-grpc", appauthor=False)


class EmbeddedPostgres:
    """A Postgres in a directory of its own, for one server: an async context manager, and a role.

    As root it runs as the owner of the existing data, else as the system account `postgres` if there is one,
    else `daemon`; never as root and never as 65534, the user of hook containers.

    Started from a thread that ends, it would end too: the kernel ties it to the thread that started it.

    Args:
        data_directory: holds the cluster, the locks and the socket; made if it is not there.
        settings: Postgres settings beyond the defaults, by name.
        start_timeout_seconds: how long recovery after a crash may take.
    """

    name = "embedded-postgres"

    def __init__(
        self,
        *,
        data_directory: Path,
        settings: Mapping[str, str] | None = None,
        start_timeout_seconds: float = 60,
    ) -> None:
        self._directory = PostgresDirectory(path=data_directory.absolute())
        self._settings = {**_SETTINGS, **(settings or {})}
        self._start_timeout_seconds = start_timeout_seconds
        self._lock = DirectoryLock(directory=self._directory.path)
        self._account: Account | None = None
        self._socket_directory = self._directory.path / "socket"
        self._process: asyncio.subprocess.Process | None = None
        self._said = PostgresLog(directory=self._directory.path)
        self._stopping = False
        self.ready = asyncio.Event()

    @property
    def socket_directory(self) -> Path:
        """The directory to give as host to any Postgres client."""
        return self._socket_directory

    @property
    def dsn(self) -> str:
        """The address of the cluster's own database `postgres`, as its superuser."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        """The address of a database of this cluster."""
        host = quote(str(self._socket_directory), safe="")
        return f"postgresql://postgres@/{quote(database)}?host={host}&port=5432"

    @property
    def pid(self) -> int | None:
        """The process id of the running postmaster."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start, making the cluster if there is none and clearing away what a crash left.

        Connections are taken when it returns.

        Raises:
            CannotStartError: it cannot, with the reason and the remedy; nothing is left running.
        """
        self._lock.acquire()
        self._stopping = False
        try:
            await self._start()
        except OSError as error:
            await self.stop()
            why = reason_in(str(error), directory=self._directory.path) or error
            raise CannotStartError(f"The embedded Postgres does not start: {why}") from error
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self._account = choose_account(self._directory.cluster)
        await self._directory.check_reachable(self._account)
        program = await find_program(account=self._account, copy_to=self._directory.path / "program")
        descriptor = os.open(self._directory.postgres_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._stop_orphan(descriptor)
            if self._directory.cluster.exists():
                self._directory.check_version(program.major_version)
                self._directory.clear_pid_file()
            else:
                await self._initialise(program, descriptor)
            self._socket_directory = self._directory.make_socket_directory(self._account)
            await self._spawn(program, descriptor)
        finally:
            os.close(descriptor)  # ours; the processes of Postgres hold theirs
        await self._wait_until_ready()
        self.ready.set()

    async def run(self) -> None:
        """Wait until Postgres ends, which it should not before `stop`.

        Raises:
            EmbeddedPostgresError: it ended by itself.
        """
        assert self._process is not None
        code = await self._process.wait()
        if self._stopping:
            return
        self.ready.clear()
        await self._said.to_its_end()
        raise EmbeddedPostgresError(f"The embedded Postgres ended {_how(code)}: {self._said.why()}")

    async def stop(self) -> None:
        """Shut down and give the directory back; open transactions are rolled back.

        Harmless when it is not running.
        """
        self._stopping = self._said.is_quiet = True
        self.ready.clear()
        try:
            if self._process is not None:
                await self._end(self._process)
                self._process = None
                self._directory.remove_shared_memory()
            await self._said.to_its_end()
        finally:
            if self._process is not None and self._process.returncode is None:  # cancelled while waiting
                self._process.send_signal(signal.SIGQUIT)
            if self._socket_directory.parent != self._directory.path:
                with contextlib.suppress(OSError):
                    self._socket_directory.rmdir()
            self._lock.release()

    @staticmethod
    async def _end(process: asyncio.subprocess.Process) -> None:
        # Fast, immediate (recovery at the next start), and what cannot be refused.
        for sign, patience_seconds in ((signal.SIGINT, 15), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(sign)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), patience_seconds)
                return

    async def _initialise(self, program: PostgresProgram, lock: int) -> None:
        _log.info("making a database, which takes some seconds", directory=str(self._directory.path))
        scratch = await asyncio.to_thread(self._directory.make_scratch, self._account)
        command = [
            str(program.bin_directory / "initdb"),
            f"--pgdata={scratch}",
            "--username=postgres",
            "--auth=trust",  # whoever can reach the socket may come in; its directory lets nobody else
            "--encoding=UTF8",
            "--locale-provider=builtin",  # sorts alike on every system and in every version of it
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
        ]
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        process = await self._launch(command, lock)
        try:
            output, _ = await process.communicate()
        finally:
            await self._end(process)  # at once, unless we were cancelled
        if process.returncode != 0:
            said = output.decode(errors="replace").strip()
            why = reason_in(said, directory=self._directory.path) or said
            raise CannotStartError(f"The database in {scratch} cannot be made: {why}")
        self._directory.keep_scratch()

    async def _spawn(self, program: PostgresProgram, lock: int) -> None:
        command = [str(program.bin_directory / "postgres"), "-D", str(self._directory.cluster)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        command += ["-c", f'unix_socket_directories="{self._socket_directory}"']  # quoted: it is a list
        self._process = await self._launch(command, lock)
        assert self._process.stdout is not None
        self._said.read(self._process.stdout)

    async def _launch(self, command: list[str], lock: int) -> asyncio.subprocess.Process:
        account = self._account
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            launch_child.__file__,
            str(os.getpid()),
            str(account.uid if account else -1),
            str(account.gid if account else -1),
            str(lock),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Postgres reads PGPORT, PGDATA and their like from the environment.
            env={**{k: v for k, v in os.environ.items() if not k.startswith("PG")}, "LC_ALL": "C"},
            pass_fds=[lock],
            start_new_session=True,  # Ctrl-C is for the server, which still needs its database then
        )

    async def _wait_until_ready(self) -> None:
        """Wait for the word "ready" in the pid file, as `pg_ctl` does."""
        assert self._process is not None
        deadline = time.monotonic() + self._start_timeout_seconds
        while not self._directory.says_ready(self._process.pid):
            if self._process.returncode is not None:
                await self._said.to_its_end()
                raise CannotStartError(f"The embedded Postgres does not start: {self._said.why()}")
            if time.monotonic() > deadline:
                raise CannotStartError(
                    f"The embedded Postgres is not ready after {self._start_timeout_seconds:g} s: "
                    f"{self._said.why()}"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _stop_orphan(self, lock: int) -> None:
        """Stop the Postgres that a killed server left, and wait until its last process is gone."""
        for sign, patience_seconds in ((signal.SIGINT, 30), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            if _try_lock(lock):
                return
            # Read anew each time: whoever holds the lock wrote it, so the number cannot be anybody else's.
            with contextlib.suppress(ValueError, ProcessLookupError):
                pid = int(os.pread(lock, 20, 0))
                _log.warning("stopping the Postgres that an earlier server left", pid=pid, signal=sign.name)
                os.kill(pid, sign)
            deadline = time.monotonic() + patience_seconds
            while time.monotonic() < deadline:
                if _try_lock(lock):
                    return
                await asyncio.sleep(_POLL_SECONDS)
        raise CannotStartError(
            f"A Postgres that an earlier server left in {self._directory.path} does not end. "
            f"`fuser {self._directory.postgres_lock}` names its processes."
        )


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _how(code: int) -> str:
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
