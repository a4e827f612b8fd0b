"""The engine of our own, really started, beside whatever engine the machine has."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiodocker
import pytest

from osa_grpc.runtimes.engine_remains import cgroup_of, clear, end_processes, processes_of
from osa_grpc.runtimes.engine_search import EngineUnavailableError, find_engine, usual_places, why_silent
from osa_grpc.runtimes.private_engine import PrivateEngine, engine_at_hand
from tests.fixtures.shell_images import build_shell_hook, build_tiny_image

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an engine")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[PrivateEngine]:
    name = f"osa-test-engine-{secrets.token_hex(4)}"
    engine = PrivateEngine(run_dir=Path("/run", name), data_dir=tmp_path / "data")
    yield engine
    clear(engine.run_dir, engine.data_dir)


def say(sentence: str) -> None:
    assert sentence.endswith(".")


def remains(engine: PrivateEngine) -> list[str]:
    """Whatever of the engine is still on the machine, images aside."""
    found = [
        f"process {pid}"
        for name in ("dockerd", "containerd*")
        for pid in processes_of(engine.run_dir, program=name)
    ]
    found += [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(engine.data_dir) in line
    ]
    found += [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(engine.run_dir) in line
    ]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**{cgroup_of(engine.run_dir)}")]
    found += [str(engine.run_dir)] if engine.run_dir.exists() else []
    found += [line for line in Path("/proc/net/unix").read_text().splitlines() if str(engine.run_dir) in line]
    return found


async def start_sleeper(engine: PrivateEngine) -> int:
    """A container that would run for long; the process id of its program."""
    image = await build_shell_hook(engine.docker_host, "exec sleep 1000")
    async with aiodocker.Docker(url=engine.docker_host) as docker:
        container = await docker.containers.create({"Image": image, "HostConfig": {"NetworkMode": "none"}})
        await container.start()
        return int((await container.show())["State"]["Pid"])


def run_in_child(engine: PrivateEngine, body: str) -> subprocess.Popen[str]:
    """A Python process with `engine` defined as ours is; it has reached its end of `body` when it prints."""
    script = (
        "from pathlib import Path; import os, signal\n"
        "from osa_grpc.runtimes.private_engine import PrivateEngine, engine_at_hand\n"
        f"engine = PrivateEngine(run_dir=Path({str(engine.run_dir)!r}), data_dir=Path({str(engine.data_dir)!r}))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script + body],
        cwd=REPOSITORY,
        env=os.environ | {"DOCKER_HOST": engine.docker_host},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def printed(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


@needs_root
async def test_our_own_engine_runs_containers_and_leaves_nothing_but_its_images(
    engine: PrivateEngine,
) -> None:
    docker_host = engine.ensure(say)
    assert why_silent(docker_host) is None
    image = await build_tiny_image(docker_host)
    await start_sleeper(engine)

    engine.leave()

    assert why_silent(docker_host) is not None
    assert remains(engine) == []

    engine.ensure(say)
    async with aiodocker.Docker(url=docker_host) as docker:
        assert (await docker.images.inspect(image))["Id"] == image
        assert await docker.containers.list(all=True) == []
    engine.leave()
    assert remains(engine) == []


@needs_root
def test_the_last_who_leaves_stops_it_and_nobody_before(engine: PrivateEngine) -> None:
    other = PrivateEngine(run_dir=engine.run_dir, data_dir=engine.data_dir)
    engine.ensure(say)
    [dockerd] = processes_of(engine.run_dir, program="dockerd")
    other.ensure(say)

    engine.leave()
    assert why_silent(engine.docker_host) is None
    assert processes_of(engine.run_dir, program="dockerd") == [dockerd]

    other.leave()
    assert remains(engine) == []


@needs_root
def test_the_engine_of_a_killed_starter_is_used_and_stopped_by_the_next(engine: PrivateEngine) -> None:
    with run_in_child(
        engine, "engine.ensure(lambda _: None); print('up', flush=True); signal.pause()"
    ) as child:
        assert printed(child) == "up"
        child.kill()
    [orphan] = processes_of(engine.run_dir, program="dockerd")

    engine.ensure(say)
    assert processes_of(engine.run_dir, program="dockerd") == [orphan]

    engine.leave()
    assert remains(engine) == []


@needs_root
@pytest.mark.parametrize("program", ["dockerd", "containerd"])
async def test_what_a_killed_engine_leaves_is_cleared_before_a_new_one_starts(
    engine: PrivateEngine, program: str
) -> None:
    engine.ensure(say)
    sleeper = os.pidfd_open(await start_sleeper(engine))
    try:
        killed = processes_of(engine.run_dir, program=program)
        assert end_processes(killed, signal.SIGKILL, within=10)
        assert socket_is_there(engine)  # which proves nothing

        other = PrivateEngine(run_dir=engine.run_dir, data_dir=engine.data_dir)
        other.ensure(say)
        ended, _, _ = select.select([sleeper], [], [], 0)
        assert ended == [sleeper]
        await start_sleeper(other)
        other.leave()
        engine.leave()
    finally:
        os.close(sleeper)
    assert remains(engine) == []


@needs_root
def test_ctrl_c_in_the_middle_stops_the_engine_and_is_still_ctrl_c(engine: PrivateEngine) -> None:
    body = "with engine_at_hand(say=lambda _: None, private=engine): print('up', flush=True); signal.pause()"
    with run_in_child(engine, body) as child:
        assert printed(child) == "up"
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the whole group, and twice
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(timeout=60) != 0
    assert remains(engine) == []


@needs_root
def test_an_engine_that_cannot_start_says_why_and_leaves_nothing(engine: PrivateEngine) -> None:
    engine.data_dir.mkdir()
    (engine.data_dir / "docker").write_text("this should be a folder")

    with pytest.raises(EngineUnavailableError, match=r"^dockerd was started and ended at once: .*docker"):
        engine.ensure(say)

    assert remains(engine) == []


def test_who_is_not_root_is_told_what_to_do(engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EngineUnavailableError, match=r"sudo apt-get install docker\.io"):
        engine.ensure(say)
    assert remains(engine) == []


def test_an_engine_that_answers_is_used_and_left_running(
    docker_host: str, engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    assert find_engine() == docker_host
    with engine_at_hand(say=say, private=engine) as found:
        assert found == docker_host
        assert remains(engine) == []
    assert why_silent(docker_host) is None


@pytest.mark.parametrize(
    ("user", "theirs"),
    [
        (0, ["/run/user/0/podman/podman.sock", "/run/podman/podman.sock"]),
        (1000, ["/run/user/1000/podman/podman.sock"]),
    ],
)
def test_podman_is_looked_for_behind_docker_where_its_user_has_it(
    user: int, theirs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    places = usual_places()
    assert places[:2] == ["unix:///elsewhere", "unix:///var/run/docker.sock"]
    assert [place.removeprefix("unix://") for place in places if "podman" in place] == theirs


def test_a_socket_that_nobody_answers_is_no_engine(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
    assert path.is_socket()
    assert why_silent(f"unix://{path}") == "Connection refused"


@pytest.mark.parametrize(
    ("docker_host", "reason"),
    [
        ("unix:///nowhere/docker.sock", "No such file or directory"),
        ("tcp://127.0.0.1:1", "Connection refused"),
        ("ssh://somebody@somewhere", "DOCKER_HOST 'ssh://somebody@somewhere' is not of the form unix://"),
    ],
)
def test_the_reason_of_silence_is_told(docker_host: str, reason: str) -> None:
    assert (why_silent(docker_host) or "").startswith(reason)


def socket_is_there(engine: PrivateEngine) -> bool:
    return Path(engine.docker_host.removeprefix("unix://")).is_socket()
