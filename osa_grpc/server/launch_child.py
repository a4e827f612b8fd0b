"""Becomes another program that does not outlive the server, under another account if asked.

Run as a script: `launch_child.py PARENT_PID UID GID LOCK_FD PROGRAM [ARGUMENT...]`, UID and GID -1 to stay
who one is. A small program of its own because between fork and exec of a process with threads nothing but
exec is safe; it replaces itself, so the process id stays the one the server knows. It writes that id into the
lock file whose descriptor it passes on, so that a later server can tell who holds the lock.
"""

import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Drop privileges, tie the process's life to its parent's, and exec."""
    parent, uid, gid, lock = (int(argument) for argument in arguments[:4])
    program = arguments[4:]
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    os.umask(0o077)
    os.chdir("/")
    tie_to_parent = _parent_death_signal()  # loaded while we may still read Python's files
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    tie_to_parent()  # after setuid, which undoes it
    if os.getppid() != parent:  # it died before we asked to be told
        sys.exit(1)
    os.set_inheritable(lock, True)  # noqa: FBT003 - the function's only argument
    os.execv(program[0], program)  # noqa: S606 - the program is ours, and no shell is wanted


def _parent_death_signal() -> Callable[[], object]:
    """What asks the kernel for SIGINT (Postgres's fast shutdown; initdb cleans up) when the parent dies."""
    if sys.platform != "linux":
        return lambda: None
    import ctypes  # noqa: PLC0415 - only Linux needs it, and it is half of this script's start-up time

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
