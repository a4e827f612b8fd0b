"""The engine sees the server's files, wherever it has them; and if it does not, that is known before a hook runs."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiodocker
import pytest

from osa_grpc.domain.failure import FailureKind
from osa_grpc.runtimes import shared_directory
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.engine import EngineError
from osa_grpc.runtimes.oci_runtime import OciRuntime
from osa_grpc.runtimes.shared_directory import SharedDirectory
from tests.fixtures.engine_proxy import EngineProxy, engine_proxy
from tests.fixtures.hooks import Remembering, Workshop


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The path at which the server sees the data directory, which the engine has at `tmp_path/data`."""
    (tmp_path / "data").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(tmp_path / "data", target_is_directory=True)
    return elsewhere


@pytest.fixture
async def proxy(docker_host: str) -> AsyncIterator[EngineProxy]:
    with tempfile.TemporaryDirectory(prefix="osa-proxy-") as folder:  # a socket's path has to be short
        async with engine_proxy(Path(folder), docker_host) as running:
            yield running


def shared(workshop: Workshop, directory: Path, host_directory: Path | None = None) -> SharedDirectory:
    return SharedDirectory(
        engine=workshop.engine,
        directory=directory,
        part="work",
        host_directory=host_directory,
        server_id=workshop.server_id,
    )


async def empty_images(docker_host: str) -> set[str]:
    async with aiodocker.Docker(url=docker_host) as docker:
        images = await docker.images.list()
        return {
            image["Id"]
            for image in images
            if image["Size"] == 0 and "<none>:<none>" in (image["RepoTags"] or ())
        }


async def test_the_proof_leaves_nothing_behind(workshop: Workshop, tmp_path: Path, docker_host: str) -> None:
    there_before = await empty_images(docker_host)
    assert await shared(workshop, tmp_path / "data").trouble() is None
    assert list((tmp_path / "data" / "work").iterdir()) == []
    assert await workshop.containers() == []
    async with asyncio.timeout(30):
        while await empty_images(docker_host) - there_before:  # noqa: ASYNC110 - another server may be proving now
            await asyncio.sleep(0.1)


async def test_a_hook_finds_its_files_where_the_engine_has_them(
    workshop: Workshop, tmp_path: Path, elsewhere: Path
) -> None:
    runtime = OciRuntime(
        engine=workshop.engine,
        files=workshop.files,
        work_directory=elsewhere / "work",
        server_id=workshop.server_id,
        shared=shared(workshop, elsewhere, tmp_path / "data"),
    )
    entry = workshop.files.add("entry", b"data")
    job = workshop.job(await workshop.image("cat /osa/in/files/entry; sleep 1"), files=[entry])
    observer = Remembering()
    running = asyncio.create_task(runtime.run(job, observer))
    await observer.until(lambda seen: seen.log == b"data")
    async with aiodocker.Docker(url=workshop.engine.docker_host) as docker:
        [container] = await workshop.containers()
        shown = await docker.containers.container(container.id).show()
    assert all(mount["Source"].startswith(f"{tmp_path}/data/work/") for mount in shown["Mounts"])
    assert (await running).exit_code == 0
    await runtime.discard(job.run)


async def test_a_directory_that_is_another_one_to_the_engine_is_told(
    workshop: Workshop, tmp_path: Path
) -> None:
    (tmp_path / "other" / "work" / "engine-proof").mkdir(parents=True)
    trouble = await shared(workshop, tmp_path / "data", tmp_path / "other").trouble()
    assert trouble is not None
    assert f"{tmp_path}/data" in trouble
    assert f"{tmp_path}/other" in trouble
    assert "another directory" in trouble


async def test_a_directory_that_the_engine_does_not_have_is_told(workshop: Workshop, tmp_path: Path) -> None:
    trouble = await shared(workshop, tmp_path / "data", tmp_path / "nowhere").trouble()
    assert trouble is not None
    # Podman makes the directory, and then finds another one than ours.
    assert "finds nothing" in trouble or "another directory" in trouble


async def test_a_hook_does_not_run_where_it_would_not_find_its_files(
    workshop: Workshop, tmp_path: Path
) -> None:
    runtime = OciRuntime(
        engine=workshop.engine,
        files=workshop.files,
        work_directory=tmp_path / "data" / "work",
        server_id=workshop.server_id,
        shared=shared(workshop, tmp_path / "data", tmp_path / "nowhere"),
    )
    observer = Remembering()
    end = await runtime.run(workshop.job(await workshop.image("true")), observer)
    assert (end.failure.kind, end.failure.retryable) == (FailureKind.ENGINE, True)
    assert f"{tmp_path}/nowhere" in end.failure.message
    assert observer.started_with is None


async def test_trouble_that_is_mended_is_seen_without_a_new_start(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "another").mkdir()
    host = tmp_path / "host"
    host.symlink_to(tmp_path / "another", target_is_directory=True)
    directory = shared(workshop, tmp_path / "data", host)
    assert await directory.trouble() is not None
    host.unlink()
    host.symlink_to(tmp_path / "data", target_is_directory=True)
    assert await directory.trouble() is not None  # not asked again at every call
    monkeypatch.setattr(shared_directory, "_AGAIN_SECONDS", 0.0)
    assert await shared(workshop, tmp_path / "data", host).trouble() is None


async def test_what_cannot_be_proved_while_the_engine_is_away_is_proved_when_it_is_back(
    workshop: Workshop, proxy: EngineProxy, tmp_path: Path
) -> None:
    async with DockerEngine(docker_host=proxy.docker_host) as engine:
        directory = SharedDirectory(
            engine=engine,
            directory=tmp_path / "data",
            part="work",
            host_directory=None,
            server_id=workshop.server_id,
        )
        await proxy.cut()
        with pytest.raises(EngineError):
            await directory.trouble()
        assert "does not answer" in (await directory.trouble_now() or "")
        await proxy.open()
        assert await directory.trouble() is None


async def test_what_a_killed_server_left_of_its_proof_is_removed_by_the_next(
    workshop: Workshop, tmp_path: Path, docker_host: str, tiny_image: str
) -> None:
    labels = {
        "org.opensciencearchive.server": workshop.server_id,
        "org.opensciencearchive.proof": "",
    }
    async with aiodocker.Docker(url=docker_host) as docker:
        await docker.containers.create({"Image": tiny_image, "Labels": labels})
    assert await shared(workshop, tmp_path / "data").trouble() is None
    assert await workshop.containers() == []


async def test_those_who_ask_at_once_share_one_proof(workshop: Workshop, tmp_path: Path) -> None:
    directory = shared(workshop, tmp_path / "data")
    assert await asyncio.gather(*(directory.trouble() for _ in range(5))) == [None] * 5


async def test_a_proof_that_is_cancelled_leaves_nothing(workshop: Workshop, tmp_path: Path) -> None:
    for milliseconds in (1, 10, 30, 60, 100):
        proving = asyncio.create_task(shared(workshop, tmp_path / "data").trouble())
        await asyncio.wait({proving}, timeout=milliseconds / 1000)
        proving.cancel()
        await asyncio.wait({proving})
        assert await workshop.containers() == []
