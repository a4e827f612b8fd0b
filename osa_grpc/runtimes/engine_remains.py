"""What a private engine consists of on the machine (processes, mounts, cgroups, a folder), and how to end it.

Nothing here believes a pid file: processes are recognised by their program and by our run folder among
their arguments, what ran inside containers by its cgroup. So it works as well for an engine that was killed.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def processes_of(run_dir: Path, *, program: str) -> list[int]:
    """The processes of `program` (a name, or a pattern of names) that were given a path in `run_dir`."""
    return [pid for pid in _all_pids() if _belongs(pid, run_dir, program)]


def end_processes(pids: Iterable[int], number: signal.Signals, *, within: float) -> bool:
    """Signal `pids` and wait until they are gone; whether all of them went `within` that many seconds."""
    until = time.monotonic() + within
    handles: list[int] = []
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                handles.append(os.pidfd_open(pid))
                signal.pidfd_send_signal(handles[-1], number)
        return all(_ended(handle, until) for handle in handles)
    finally:
        for handle in handles:
            os.close(handle)


def clear(run_dir: Path, data_dir: Path) -> None:
    """Remove every remainder of the engine in `run_dir`: processes, mounts, cgroups, the folder. Idempotent.

    Raises:
        RuntimeError: a process or a mount could not be removed, so a new engine would not be alone.
    """
    cgroup = cgroup_of(run_dir)
    # In this order: what would start the next one ends first.
    for program in ("dockerd", "containerd", "containerd-shim*"):
        end_processes(processes_of(run_dir, program=program), signal.SIGKILL, within=10)
    if not end_processes(_in_cgroup(cgroup), signal.SIGKILL, within=10):
        raise RuntimeError(f"Processes of containers in the cgroup {cgroup} cannot be ended.")
    for mount in mounts_below(run_dir, data_dir):
        subprocess.run(  # noqa: S603 - a path from the kernel's own list
            ["umount", "--lazy", mount],  # noqa: S607 - the system's own path is wanted
            capture_output=True,
            check=False,
        )
    if still := mounts_below(run_dir, data_dir):
        raise RuntimeError(f"{still[0]} cannot be unmounted.")
    _remove_cgroups(cgroup)
    shutil.rmtree(run_dir, ignore_errors=True)
    # These are made whatever the daemons are told, for the sockets of shims and plugins, and stay when empty.
    for folder in ("containerd/s", "containerd", "docker/plugins", "docker"):
        with contextlib.suppress(OSError):
            Path("/run", folder).rmdir()


def cgroup_of(run_dir: Path) -> str:
    """The cgroup under which the engine puts its containers, so that they can be told from anybody else's."""
    return f"/{run_dir.name}"


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _belongs(pid: int, run_dir: Path, program: str) -> bool:
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False  # it ended while we looked
    inside = os.fsencode(run_dir) + b"/"
    name = Path(os.fsdecode(arguments[0])).name
    return fnmatch.fnmatchcase(name, program) and any(
        argument.removeprefix(b"unix://").startswith(inside) for argument in arguments[1:]
    )


def _in_cgroup(cgroup: str) -> list[int]:
    found = []
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            lines = (_PROC / str(pid) / "cgroup").read_text().splitlines()
            if any(f"{cgroup}/" in line for line in lines):
                found.append(pid)
    return found


def _ended(handle: int, until: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(max(0.0, until - time.monotonic()) * 1000))


def mounts_below(*folders: Path) -> list[str]:
    """Mount points inside `folders`, the innermost first."""
    points = [
        line.split(" ")[4].encode().decode("unicode_escape")
        for line in (_PROC / "self" / "mountinfo").read_text().splitlines()
    ]
    inside = tuple(f"{folder}/" for folder in folders)
    return sorted((point for point in points if point.startswith(inside)), key=len, reverse=True)


def _remove_cgroups(cgroup: str) -> None:
    name = cgroup.removeprefix("/")
    for top in [_CGROUPS / name, *(hierarchy / name for hierarchy in _CGROUPS.glob("*"))]:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
