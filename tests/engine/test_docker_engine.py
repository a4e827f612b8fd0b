"""The engine behind the port: images by digest alone, and an engine that comes and goes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import aiodocker
import pytest

from osa_grpc.domain.failure import FailureKind
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.docker_images import repository_of
from osa_grpc.runtimes.engine import ConfigRefusedError, ImageNotThereError
from osa_grpc.runtimes.oci_runtime import OciRules, OciRuntime
from tests.fixtures.engine_proxy import EngineProxy, engine_proxy
from tests.fixtures.hooks import Remembering, Workshop
from tests.fixtures.registry import Registry, registry_running

SOON = timedelta(seconds=20)
NOTHING = "sha256:" + "0" * 64


@pytest.fixture
def registry() -> Iterator[Registry]:
    with registry_running() as running:
        yield running


@pytest.fixture
async def docker(docker_host: str) -> AsyncIterator[aiodocker.Docker]:
    async with aiodocker.Docker(url=docker_host) as client:
        yield client


@pytest.fixture
async def offered(registry: Registry, docker: aiodocker.Docker, workshop: Workshop) -> AsyncIterator[str]:
    """The digest of an image that is in the registry and not on the engine."""
    digest = await registry.offer(docker, await workshop.image("echo pulled"), label=str(registry.port))
    yield digest
    for image in await docker.images.list(digests="1"):
        if any(known.endswith(f"@{digest}") for known in image["RepoDigests"] or ()):
            await docker.images.delete(image["Id"], force=True)


async def test_an_image_is_pulled_by_its_digest_once_and_then_runs(
    workshop: Workshop, registry: Registry, offered: str
) -> None:
    job = workshop.job(offered, image=registry.name("offered:any-tag"))
    observer = Remembering()
    end = await workshop.runtime.run(job, observer)
    assert end.failure is None
    assert observer.log == b"pulled\n"
    assert end.provenance.digest == offered
    assert end.provenance.image_id not in {"", offered}
    assert set(registry.manifests_asked) == {offered}
    asked = len(registry.manifests_asked)
    again = await workshop.engine.resolve(image=registry.name("offered"), digest=offered, pull_timeout=SOON)
    assert again.id == end.provenance.image_id
    assert len(registry.manifests_asked) == asked


async def test_those_who_want_the_same_image_share_one_pull_and_one_may_leave(
    workshop: Workshop, registry: Registry, offered: str
) -> None:
    registry.may_answer.clear()

    def resolve() -> asyncio.Task[object]:
        return asyncio.create_task(
            workshop.engine.resolve(image=registry.name("offered"), digest=offered, pull_timeout=SOON)
        )

    first, *others = [resolve() for _ in range(3)]
    assert await asyncio.to_thread(registry.asked.wait, 20)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    registry.may_answer.set()
    found = await asyncio.gather(*others)
    assert found[0] == found[1]
    assert len(registry.manifests_asked) <= 2  # one pull: HEAD and GET


async def test_a_pull_has_a_deadline_of_its_own(workshop: Workshop, registry: Registry, offered: str) -> None:
    registry.may_answer.clear()
    with pytest.raises(ImageNotThereError, match=r"took longer than 0\.3 s") as caught:
        await workshop.engine.resolve(
            image=registry.name("offered"), digest=offered, pull_timeout=timedelta(seconds=0.3)
        )
    assert caught.value.retryable


async def test_a_hook_has_all_its_time_however_long_the_pull_took(
    workshop: Workshop, registry: Registry, offered: str
) -> None:
    registry.may_answer.clear()
    running = asyncio.create_task(
        workshop.runtime.run(
            workshop.job(offered, image=registry.name("offered"), timeout_seconds=1), Remembering()
        )
    )
    asyncio.get_running_loop().call_later(1.5, registry.may_answer.set)
    assert (await running).failure is None


async def test_a_hook_can_be_cancelled_while_its_image_is_pulled(
    workshop: Workshop, registry: Registry, offered: str
) -> None:
    registry.may_answer.clear()
    running = asyncio.create_task(
        workshop.runtime.run(workshop.job(offered, image=registry.name("offered")), Remembering())
    )
    assert await asyncio.to_thread(registry.asked.wait, 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(running), 5)


async def test_a_digest_that_the_registry_does_not_know_will_not_come_another_time(
    workshop: Workshop, registry: Registry
) -> None:
    with pytest.raises(ImageNotThereError, match="manifest unknown") as caught:
        await workshop.engine.resolve(image=registry.name("offered"), digest=NOTHING, pull_timeout=SOON)
    assert not caught.value.retryable


async def test_the_login_that_docker_login_wrote_is_used(
    workshop: Workshop,
    registry: Registry,
    offered: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.login = "somebody:a secret"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    image = registry.name("offered")
    with pytest.raises(ImageNotThereError, match="no basic auth credentials"):
        await workshop.engine.resolve(image=image, digest=offered, pull_timeout=SOON)
    login = base64.b64encode(registry.login.encode()).decode()
    logins = {"auths": {image.partition("/")[0]: {"auth": login}}}
    (tmp_path / "config.json").write_text(json.dumps(logins))
    assert (await workshop.engine.resolve(image=image, digest=offered, pull_timeout=SOON)).id


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("a", "a"),
        ("a:1.0", "a"),
        ("localhost:5000/a/b-c:x", "localhost:5000/a/b-c"),
        ("registry.example.org/a__b/c.d", "registry.example.org/a__b/c.d"),
    ],
)
def test_a_tag_has_no_say(image: str, repository: str) -> None:
    assert repository_of(image) == repository


@pytest.mark.parametrize("image", ["../containers/json", "a?b", "A", "a//b", "a/../b", "-a", "a:b:c", "#"])
def test_what_is_no_name_of_an_image_goes_nowhere(image: str) -> None:
    with pytest.raises(ConfigRefusedError):
        repository_of(image)


@pytest.fixture
async def proxy(docker_host: str) -> AsyncIterator[EngineProxy]:
    with tempfile.TemporaryDirectory(prefix="osa-proxy-") as folder:  # a socket's path has to be short
        Path(folder).chmod(0o755)  # noqa: ASYNC240 - at once
        async with engine_proxy(Path(folder), docker_host) as running:
            yield running


def runtime_through(engine: DockerEngine, workshop: Workshop) -> OciRuntime:
    return OciRuntime(
        engine=engine,
        files=workshop.files,
        work_directory=workshop.work_directory,
        server_id=workshop.server_id,
        rules=OciRules(stop_grace=timedelta(seconds=1)),
    )


async def test_an_engine_that_goes_away_in_the_middle_is_told_and_cleaned_up_after(
    workshop: Workshop, proxy: EngineProxy
) -> None:
    observer = Remembering()
    async with DockerEngine(docker_host=proxy.docker_host) as engine:
        job = workshop.job(await workshop.image("echo up; sleep 60"))
        running = asyncio.create_task(runtime_through(engine, workshop).run(job, observer))
        await observer.until(lambda seen: b"up" in seen.log)
        await proxy.cut()
        assert await engine.describe() is None
        await proxy.open()
        end = await running
        assert await engine.describe() is not None
    assert end.failure is not None
    assert (end.failure.kind, end.failure.retryable) == (FailureKind.ENGINE, True)
    assert end.started_at is not None
    assert end.outputs is None
    assert await workshop.containers() == []


async def test_an_engine_that_does_not_answer_is_not_waited_for(
    workshop: Workshop, proxy: EngineProxy
) -> None:
    async with DockerEngine(docker_host=proxy.docker_host) as engine:
        proxy.is_silent = True
        async with asyncio.timeout(3):
            assert await engine.describe() is None


AS_ANOTHER_USER = """
import asyncio, os, sys
import concurrent.futures.thread  # once it is another user, it may not read Python's own files
from pathlib import Path
from datetime import timedelta
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.oci_runtime import OciRules, OciRuntime
from tests.fixtures.hooks import FolderFiles, Remembering, hook_job

async def main(docker_host, digest, folder):
    os.setgroups([])
    os.setgid(4711)
    os.setuid(4711)
    files = FolderFiles(folder / "files")
    observer = Remembering()
    async with DockerEngine(docker_host=docker_host) as engine:
        runtime = OciRuntime(
            engine=engine, files=files, work_directory=folder / "work", server_id="another-user"
        )
        job = hook_job(digest, files=[files.add("entry", b"data")])
        end = await runtime.run(job, observer)
        print(bytes(observer.log).decode(), end.exit_code, end.outputs.rejection())
        await runtime.discard(job.run)
        print(list((folder / "work").iterdir()))

asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_a_server_that_is_not_root_reads_and_removes_what_its_hooks_wrote(
    workshop: Workshop, proxy: EngineProxy
) -> None:
    digest = await workshop.image(
        "umask 077; id -u; cat /osa/in/files/entry /osa/files/d1/entry; mkdir /osa/out/closed; "
        """echo '{"status":"rejected","message":"read"}' > /osa/out/progress.jsonl; chmod 0 /osa/out/closed"""
    )
    with tempfile.TemporaryDirectory(prefix="osa-other-") as folder:
        os.chown(folder, 4711, 4711)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-B", "-c", AS_ANOTHER_USER, proxy.docker_host, digest, folder),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await asyncio.wait_for(process.communicate(), 60)
    assert told.decode().splitlines() == ["4711", "datadata 0 read", "[]"]
