"""A container engine of our own, where none answers and we are root.

It has its own socket, data and run folder, its own containerd and its own cgroup, no bridge and no firewall
rules, so that it is never in the way of an engine that is there or comes later.

Who uses it holds a shared lock on a file, and the last one out, finding nobody else's lock, stops it. The
kernel drops the lock of whoever is killed, so an engine that was left running is found, used and stopped by
the next. Starting and stopping happen under a second, exclusive lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from osa_grpc.runtimes import debian_packages
from osa_grpc.runtimes.engine_remains import cgroup_of, clear, end_processes, processes_of
from osa_grpc.runtimes.engine_search import (
    PRIVATE_RUN_DIR,
    EngineConnection,
    EngineUnavailableError,
    private_docker_host,
    usual_places,
    why_silent,
)
from osa_grpc.runtimes.interrupts import interrupts_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PRIVATE_DATA_DIR = Path("/var/lib/osa-grpc-engine")
"""Where images stay between two lives of the engine, unless told otherwise."""

_START_SECONDS = 90.0
_STOP_SECONDS = 20.0


class PrivateEngine:
    """Debian's dockerd on a private socket, shared by everybody on this machine who runs as root.

    `ensure` and `leave` belong together; one object serves one user at a time.
    """

    def __init__(self, *, run_dir: Path = PRIVATE_RUN_DIR, data_dir: Path = PRIVATE_DATA_DIR) -> None:
        self.run_dir = run_dir
        self.data_dir = data_dir
        self.docker_host = private_docker_host(run_dir)
        self._share: IO[str] | None = None

    def ensure(self, say: Callable[[str], None]) -> str:
        """Be a user of the engine, started (and installed) if it does not run; its DOCKER_HOST address.

        Raises:
            EngineUnavailableError: not root, not Debian, or it cannot be installed or started.
        """
        if os.geteuid() != 0:
            raise EngineUnavailableError(
                "No container engine answers, and only root can start one: install Docker and start it "
                "(on Debian `sudo apt-get install docker.io`), or run this as root."
            )
        self.data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        with self._only_one_at_a_time():
            share = (self.data_dir / "users.lock").open("w")
            try:
                fcntl.flock(share, fcntl.LOCK_SH)
                if not self._runs():
                    self._start(say)
            except BaseException:
                share.close()
                raise
            self._share = share
        return self.docker_host

    def leave(self) -> None:
        """Stop being a user; the last one stops the engine. Ctrl-C waits until that is done."""
        if self._share is None:
            return
        with interrupts_held(), self._only_one_at_a_time():
            share, self._share = self._share, None
            with share:
                try:
                    fcntl.flock(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return  # others use it
                self._stop()

    def stop(self) -> None:
        """Stop the engine orderly, whoever uses it; only its images are left. Idempotent."""
        with interrupts_held(), self._only_one_at_a_time():
            self._stop()

    @contextmanager
    def _only_one_at_a_time(self) -> Iterator[None]:
        with (self.data_dir / "engine.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _runs(self) -> bool:
        return why_silent(self.docker_host) is None and bool(
            processes_of(self.run_dir, program="dockerd")
            and processes_of(
                self.run_dir, program="containerd"
            )  # without it dockerd answers, and can do nothing
        )

    def _start(self, say: Callable[[str], None]) -> None:
        self._install(say)
        clear(self.run_dir, self.data_dir)  # what an engine that was killed has left
        say(
            f"No container engine answers: starting a private one ({self.docker_host}, "
            f"images in {self.data_dir})."
        )
        try:
            self._spawn()
        except BaseException:
            with interrupts_held():
                self._stop()
            raise

    def _install(self, say: Callable[[str], None]) -> None:
        missing = [] if shutil.which("dockerd") else ["docker.io"]
        if _kernel_wants_apparmor() and not shutil.which("apparmor_parser"):
            missing.append("apparmor")
        if not missing:
            return
        try:
            debian_packages.install(
                missing, say=say, purpose="running hooks where no container engine answers"
            )
        except debian_packages.PackagesUnavailableError as error:
            raise EngineUnavailableError(str(error)) from error

    def _spawn(self) -> None:
        until = time.monotonic() + _START_SECONDS
        self.run_dir.mkdir(mode=0o700, parents=True)
        containerd_socket = self.run_dir / "containerd.sock"
        containerd_config = self.run_dir / "containerd.toml"
        containerd_config.write_text(_CONTAINERD_TOML.format(run=self.run_dir, data=self.data_dir))
        containerd = self._spawn_daemon("containerd", "--config", str(containerd_config))
        self._wait_for("containerd", containerd, until, containerd_socket.exists)
        (self.run_dir / "daemon.json").write_text(json.dumps({}))  # the system's own settings are not for us
        dockerd = self._spawn_daemon(
            "dockerd",
            *("--config-file", str(self.run_dir / "daemon.json")),
            *("--host", self.docker_host),
            *("--containerd", str(containerd_socket)),
            *("--data-root", str(self.data_dir / "docker")),
            *("--exec-root", str(self.run_dir / "exec")),
            *("--pidfile", str(self.run_dir / "dockerd.pid")),
            *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", cgroup_of(self.run_dir)),
            *("--bridge=none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false"),
        )
        self._wait_for("dockerd", dockerd, until, lambda: why_silent(self.docker_host) is None)

    def _spawn_daemon(self, program: str, *arguments: str) -> int:
        """Start `program` in a session of its own (Ctrl-C in the terminal is not for it); its process id.

        Not by `subprocess`: the engine may outlive us, and belongs to whoever leaves last.
        """
        path = shutil.which(program)
        if path is None:
            raise EngineUnavailableError(
                f"{program} is missing: run `apt-get install --reinstall docker.io containerd`."
            )
        log = os.open(self._log(program), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            streams = [
                (os.POSIX_SPAWN_DUP2, nothing, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ]
            return os.posix_spawn(
                path,
                [program, *arguments],
                _plain_environment(),
                file_actions=streams,
                setsid=True,
                setsigmask=[],
            )
        finally:
            os.close(log)
            os.close(nothing)

    def _wait_for(self, program: str, pid: int, until: float, ready: Callable[[], bool]) -> None:
        while not ready():
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if ended or time.monotonic() > until:
                how = "ended at once" if ended else f"did not answer within {_START_SECONDS:.0f} s"
                raise EngineUnavailableError(f"{program} was started and {how}: {self._last_words(program)}")
            time.sleep(0.02)

    def _log(self, program: str) -> Path:
        return self.run_dir / f"{program}.log"

    def _last_words(self, program: str) -> str:
        lines = [line for line in self._log(program).read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing."

    def _stop(self) -> None:
        if dockerd := processes_of(self.run_dir, program="dockerd"):
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._remove_containers()
            end_processes(dockerd, signal.SIGTERM, within=_STOP_SECONDS)
        # Its shims have gone with their containers; what has not is cleared.
        containerd = processes_of(self.run_dir, program="containerd")
        end_processes(containerd, signal.SIGTERM, within=_STOP_SECONDS)
        clear(self.run_dir, self.data_dir)
        _reap(dockerd + containerd)

    def _remove_containers(self) -> None:
        for container in json.loads(self._call("GET", "/containers/json?all=1")):
            self._call("DELETE", f"/containers/{container['Id']}?force=1&v=1")

    def _call(self, method: str, path: str) -> bytes:
        with contextlib.closing(EngineConnection(self.docker_host, seconds=_STOP_SECONDS)) as connection:
            connection.request(method, path)
            return connection.getresponse().read()


@contextmanager
def engine_at_hand(
    *, say: Callable[[str], None] = print, private: PrivateEngine | None = None
) -> Iterator[str]:
    """A container engine for the length of the block, one that is there or our own; its DOCKER_HOST address.

    An engine that was there is left as it was. Our own is stopped at the end, unless others use it too.

    Raises:
        EngineUnavailableError: none answers, and none can be started.
    """
    private = private or PrivateEngine()
    forbidden = None
    for place in usual_places():
        if place == private.docker_host:
            break
        silent = why_silent(place)
        if silent is None:
            yield place
            return
        if silent == "permission denied":
            forbidden = forbidden or place.removeprefix("unix://")
        elif place == os.environ.get("DOCKER_HOST"):
            say(f"DOCKER_HOST is {place}, but no engine answers there ({silent}); looking elsewhere.")
    if forbidden is not None and os.geteuid() != 0:
        raise EngineUnavailableError(
            f"You may not use the container engine at {forbidden}: "
            f"run `sudo usermod -aG docker $USER` and log in again."
        )
    try:
        yield private.ensure(say)
    finally:
        private.leave()


_CONTAINERD_TOML = """\
version = 2
root = "{data}/containerd"
state = "{run}/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
  address = "{run}/containerd.sock"
"""


def _kernel_wants_apparmor() -> bool:
    """Whether dockerd would refuse to start containers without AppArmor's parser."""
    with contextlib.suppress(OSError):
        return Path("/sys/module/apparmor/parameters/enabled").read_text().startswith("Y")
    return False


def _plain_environment() -> Mapping[str, str]:
    """Ours, without what would make the new engine think of another one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}


def _reap(pids: list[int]) -> None:
    """Take notice of the end of children, so that no zombie stays while we go on."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
