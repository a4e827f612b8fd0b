"""The engines that people have, each started in a directory of its own, as its owner starts it, and gone afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from osa_grpc.runtimes import debian_packages
from osa_grpc.runtimes.engine_remains import mounts_below
from osa_grpc.runtimes.engine_search import EngineUnavailableError, why_silent
from osa_grpc.runtimes.private_engine import PrivateEngine
from tests.engines.hooks import ON_PODMAN, WITHOUT_LIMITS
from tests.engines.other_user import OtherUser, other_user

REPOSITORY = Path(__file__).parents[2]
ROOTLESS_DOCKER = Path("/usr/share/docker.io/contrib/dockerd-rootless.sh")
START_SECONDS = 60.0
NETWORK_OF_ITS_OWN = "it has a network of its own, and does not reach a registry on loopback"

Say = Callable[[str], None]


class CannotRunHereError(Exception):
    """An engine that cannot be started on this machine, and exactly why."""


@dataclass(frozen=True, kw_only=True)
class RunningEngine:
    """An engine that answers, and how tests are run beside it, as the user that it belongs to."""

    docker_host: str
    folder: Path
    """Where the tests may put their files."""
    user: OtherUser | None = None
    leaves_out: Mapping[str, str] = field(default_factory=dict)
    """Test files and ill-behaved hooks that make no sense with it, and why."""

    def command(self, program: Sequence[str | Path]) -> list[str]:
        environment = {"DOCKER_HOST": self.docker_host, "PYTHONDONTWRITEBYTECODE": "1"}
        if self.user is None:
            return ["env", *(f"{name}={value}" for name, value in environment.items()), *map(str, program)]
        return self.user.command(program, environment, cwd=REPOSITORY)


@contextmanager
def docker(folder: Path, say: Say) -> Iterator[RunningEngine]:
    """Docker as root: the private engine."""
    engine = PrivateEngine(
        run_dir=Path("/run", f"osa-test-engine-{secrets.token_hex(4)}"), data_dir=folder / "data"
    )
    try:
        docker_host = engine.ensure(say)
    except EngineUnavailableError as error:
        raise CannotRunHereError(str(error)) from error
    try:
        yield RunningEngine(docker_host=docker_host, folder=folder)
    finally:
        engine.leave()


@contextmanager
def podman(folder: Path, say: Say) -> Iterator[RunningEngine]:
    """Podman as root, its service on a socket of its own."""
    _need_root()
    _install(["podman", "catatonit"], say)
    environment = os.environ | _settings_of_podman(folder)
    socket = folder / "podman.sock"
    command = ["podman", "system", "service", "--time", "0", f"unix://{socket}"]
    with _service(command, socket, folder, environment) as docker_host:
        try:
            yield RunningEngine(docker_host=docker_host, folder=folder, leaves_out=ON_PODMAN)
        finally:
            subprocess.run(["podman", "rm", "--all", "--force", "--time", "0"], env=environment, check=False)


@contextmanager
def rootless_podman(folder: Path, say: Say) -> Iterator[RunningEngine]:
    """Podman as a user that is not root."""
    _need_root()
    _install(["podman", "catatonit", "uidmap", "slirp4netns"], say)
    with _user(folder) as user:
        environment = _settings_of_podman(folder)
        socket = user.runtime_dir / "podman.sock"
        service = ["podman", "system", "service", "--time", "0", f"unix://{socket}"]
        command = user.command(service, environment, cwd=user.home)
        with _service(command, socket, folder, os.environ) as docker_host:
            left_out = ON_PODMAN | WITHOUT_LIMITS
            yield RunningEngine(docker_host=docker_host, folder=folder, user=user, leaves_out=left_out)


@contextmanager
def rootless_docker(folder: Path, say: Say) -> Iterator[RunningEngine]:
    """Docker as a user that is not root, by the script that Docker brings for it."""
    _need_root()
    _install(["docker.io", "rootlesskit", "uidmap", "slirp4netns"], say)
    if not ROOTLESS_DOCKER.is_file():
        raise CannotRunHereError(f"{ROOTLESS_DOCKER} is not there: it comes with Debian's docker.io")
    with _user(folder) as user:
        socket = user.runtime_dir / "docker.sock"
        service = [
            *("sh", str(ROOTLESS_DOCKER), "--host", f"unix://{socket}", "--data-root", str(folder / "data")),
            *(
                "--exec-root",
                str(user.runtime_dir / "exec"),
                "--pidfile",
                str(user.runtime_dir / "dockerd.pid"),
            ),
            *("--bridge=none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false"),
        ]
        command = user.command(service, {}, cwd=user.home)
        with _service(command, socket, folder, os.environ) as docker_host:
            yield RunningEngine(
                docker_host=docker_host,
                folder=folder,
                user=user,
                leaves_out={"test_registry.py": NETWORK_OF_ITS_OWN} | WITHOUT_LIMITS,
            )


KINDS: Mapping[str, Callable[[Path, Say], AbstractContextManager[RunningEngine]]] = {
    "docker": docker,
    "podman": podman,
    "podman-rootless": rootless_podman,
    "docker-rootless": rootless_docker,
}


def _need_root() -> None:
    if os.geteuid() != 0:
        raise CannotRunHereError("only root can install it, and make a user for it")


def _install(packages: Sequence[str], say: Say) -> None:
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        try:
            debian_packages.install(missing, say=say, purpose="testing with other engines")
        except debian_packages.PackagesUnavailableError as error:
            raise CannotRunHereError(str(error)) from error


def _is_installed(package: str) -> bool:
    shown = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package],
        capture_output=True,
        check=False,
    )
    return shown.stdout == b"installed"


@contextmanager
def _user(folder: Path) -> Iterator[OtherUser]:
    for program in ("unshare", "setpriv", "useradd"):
        if shutil.which(program) is None:
            raise CannotRunHereError(f"{program} is missing, with which a user is made for it")
    python = [Path(sys.base_prefix), Path(sys.prefix)]
    with other_user(folder, open_paths=[*python, REPOSITORY]) as user:
        yield user


def _settings_of_podman(folder: Path) -> dict[str, str]:
    """Files that keep it in the folder, with a runtime that works on every kind of cgroups; what they are named by."""
    settings = folder / "settings"
    settings.mkdir(mode=0o755)
    (settings / "containers.conf").write_text(
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nlock_type = "file"\n'
        f'static_dir = "{folder}/data/libpod"\ntmp_dir = "{folder}/run/libpod"\nvolume_path = "{folder}/data/volumes"\n'
        f'[network]\nnetwork_config_dir = "{folder}/data/networks"\n'
    )
    (settings / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\nrunroot = "{folder}/run/storage"\ngraphroot = "{folder}/data/storage"\n'
    )
    (settings / "registries.conf").write_text('[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n')
    for place in ("data", "run"):
        (folder / place).mkdir(mode=0o700, exist_ok=True)
        shutil.chown(folder / place, folder.owner(), folder.group())
    return {
        "CONTAINERS_CONF": str(settings / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(settings / "storage.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(settings / "registries.conf"),
    }


@contextmanager
def _service(
    command: Sequence[str], socket: Path, folder: Path, environment: Mapping[str, str]
) -> Iterator[str]:
    """Run an engine until the block ends, and remove what it leaves."""
    log = folder / "engine.log"
    docker_host = f"unix://{socket}"
    with log.open("ab") as output:
        engine = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while (silent := why_silent(docker_host)) is not None:
            if engine.poll() is not None or time.monotonic() > until:
                how = (
                    f"ended with {engine.returncode}"
                    if engine.returncode is not None
                    else f"is silent: {silent}"
                )
                lines = log.read_text(errors="replace").splitlines()[-3:]
                raise CannotRunHereError(f"it was started and {how}; its last words: {' | '.join(lines)}")
            time.sleep(0.05)
        yield docker_host
    finally:
        engine.terminate()
        try:
            engine.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(engine.pid, signal.SIGKILL)
            engine.wait()
        for mount in mounts_below(folder):
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
        for cgroup in Path("/sys/fs/cgroup").glob("**/libpod_parent"):
            for inner in [*cgroup.glob("*"), cgroup]:
                with contextlib.suppress(OSError):
                    inner.rmdir()  # those that are empty, and nobody's
