"""Installing a few of Debian's packages, without asking, and without starting the services they bring."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from osa_grpc.runtimes.interrupts import interrupts_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian asks this script before a package starts a service; exit code 101 means no."""

_OURS = "# osa-grpc: packages are being installed; this file goes away again\n"


class PackagesUnavailableError(Exception):
    """The packages cannot be had; `str()` says in one sentence why, and what mends it."""


def is_debian() -> bool:
    """Whether this system takes Debian's packages (Debian itself and what derives from it)."""
    return Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def install(packages: Sequence[str], *, say: Callable[[str], None], purpose: str) -> None:
    """Install `packages` by apt, without what they merely recommend; their services are not started.

    Raises:
        PackagesUnavailableError: not root, not Debian, or apt could not do it.
    """
    names = " ".join(packages)
    if os.geteuid() != 0:
        raise PackagesUnavailableError(f"{purpose} needs {names}: run `sudo apt-get install {names}`.")
    if not is_debian():
        raise PackagesUnavailableError(
            f"{purpose} needs {names}, and this is not a Debian system: install what your system calls them."
        )
    say(f"Installing Debian's {names}: {purpose} needs them.")
    with _no_service_started():
        if not _known(packages):
            _apt("update")
        if (failure := _apt("install", *packages)) is None:
            return
        _apt("update")  # the lists may be older than what the mirror still has
        if (failure := _apt("install", *packages)) is None:
            return
    raise PackagesUnavailableError(
        f"apt could not install {names} ({failure}): "
        f"run `apt-get update && apt-get install {names}` and mend what it says."
    )


def _known(packages: Sequence[str]) -> bool:
    shown = subprocess.run(  # noqa: S603 - fixed program, package names of our own
        ["apt-cache", "show", "--no-all-versions", *packages],  # noqa: S607 - Debian's own path is wanted
        capture_output=True,
        check=False,
    )
    return shown.returncode == 0


def _apt(command: str, *packages: str) -> str | None:
    """Run apt-get; None when it succeeded, else its most telling line."""
    options = ["-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    if command == "install":
        options += ["--yes", "--no-install-recommends"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C"}
    with interrupts_held(), tempfile.TemporaryFile("w+", errors="replace") as output:
        # A session of its own, and Ctrl-C held back: a package half unpacked is for somebody to mend.
        done = subprocess.run(  # noqa: S603 - fixed program, package names of our own
            ["apt-get", command, *options, *packages],  # noqa: S607 - Debian's own path is wanted
            env=os.environ | quiet,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        )
        output.seek(0)
        lines = [line.strip() for line in output if line.strip()]
    if done.returncode == 0:
        return None
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    return (errors or lines or [f"exit code {done.returncode}"])[0]


@contextmanager
def _no_service_started() -> Iterator[None]:
    """Refuse the start of services by packages; a policy that is there already is left alone."""
    if POLICY.exists() and _OURS not in POLICY.read_text(errors="replace"):
        yield
        return
    POLICY.write_text(f"#!/bin/sh\n{_OURS}exit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
