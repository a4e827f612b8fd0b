"""A user who is not root, made for rootless engines and for tests beside them, and gone without a trace afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_SUBORDINATE = (Path("/etc/subuid"), Path("/etc/subgid"))
_MANY = 65536
_KEPT = ("PATH", "LANG", "TERM")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


class OtherUser:
    """Runs programs as that user, in a view of the file system in which `open_paths` can be reached by everybody."""

    def __init__(self, *, name: str, folder: Path, open_paths: Sequence[Path]) -> None:
        self.name = name
        self.folder = folder
        self.home = folder / "home"
        self.runtime_dir = folder / "run"
        self._open_paths = open_paths
        self._entry = pwd.getpwnam(name)

    @property
    def uid(self) -> int:
        return self._entry.pw_uid

    def command(
        self, program: Sequence[str | Path], environment: Mapping[str, str], *, cwd: Path
    ) -> list[str]:
        """What root runs to have the user run a program."""
        kept = {name: os.environ[name] for name in (*_KEPT, *_CERTIFICATES) if name in os.environ}
        variables = kept | {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime_dir),
            "USER": self.name,
        }
        as_user = [
            *("setpriv", f"--reuid={self.name}", f"--regid={self._entry.pw_gid}", "--init-groups", "--"),
            *("env", "-i", *(f"{name}={value}" for name, value in (variables | environment).items())),
            *map(str, program),
        ]
        script = "\n".join(
            ["set -e", *self._view(), f"cd {shlex.quote(str(cwd))}", f"exec {shlex.join(as_user)}"]
        )
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]

    def _view(self) -> Iterator[str]:
        """Mounts, seen by nobody else: a way to the paths, and the device that rootless networks are made with."""
        closed = {
            path: ancestor for path in self._open_paths if (ancestor := _first_closed(path)) is not None
        }
        aside = self.folder / "aside"
        for number, path in enumerate(closed):
            place = shlex.quote(str(aside / str(number)))
            yield f"mkdir -p {place}; mount --bind {shlex.quote(str(path))} {place}"
        for ancestor in sorted(set(closed.values())):
            yield f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(ancestor))}"
        for number, path in enumerate(closed):
            place, there = shlex.quote(str(aside / str(number))), shlex.quote(str(path))
            yield f"mkdir -p {there}; mount --move {place} {there}"
        tun = Path("/dev/net/tun")
        if tun.exists() and not tun.stat().st_mode & stat.S_IWOTH:
            node = shlex.quote(str(self.folder / "tun"))
            yield f"[ -e {node} ] || mknod -m 666 {node} c 10 200; mount --bind {node} {tun}"

    def end_everything(self) -> None:
        """Kill all that runs under one of the user's ids; nobody else has them."""
        until = time.monotonic() + 10
        while (found := list(self._processes())) and time.monotonic() < until:
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _processes(self) -> Iterator[int]:
        ids = {self.uid} | set(_subordinate_ids(self.name))
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    status = (entry / "status").read_text()
                    own = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
                    if "State:\tZ" not in status and {int(uid) for uid in own} & ids:
                        yield int(entry.name)


@contextmanager
def other_user(folder: Path, *, open_paths: Sequence[Path]) -> Iterator[OtherUser]:
    """A new user with ids for containers, as `folder`'s owner, until the block ends."""
    name = f"osa-test-{secrets.token_hex(4)}"
    for path in _SUBORDINATE:
        path.touch()  # without the file no ids are given
    _run("useradd", "--no-create-home", "--home-dir", folder / "home", "--shell", "/usr/sbin/nologin", name)
    user = OtherUser(name=name, folder=folder, open_paths=open_paths)
    try:
        if not _subordinate_ids(name):
            _run("usermod", "--add-subuids", f"{2**30}-{2**30 + _MANY - 1}", name)
            _run("usermod", "--add-subgids", f"{2**30}-{2**30 + _MANY - 1}", name)
        for place in (folder, user.home, user.runtime_dir):
            place.mkdir(mode=0o700, exist_ok=True)
            os.chown(place, user.uid, user.uid)
        folder.chmod(0o755)
        yield user
    finally:
        user.end_everything()
        _run("userdel", name)


def _run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def _subordinate_ids(name: str) -> range:
    for line in _SUBORDINATE[0].read_text().splitlines():
        owner, first, count = line.split(":")
        if owner == name:
            return range(int(first), int(first) + int(count))
    return range(0)


def _first_closed(path: Path) -> Path | None:
    """The outermost of the directories around a path that others may not pass through."""
    ancestors = [*reversed(path.parents), path]
    return next((each for each in ancestors if not each.stat().st_mode & stat.S_IXOTH), None)
