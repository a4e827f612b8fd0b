"""The engine behind the port: one that comes and goes, and a server that is not root."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from osa_grpc.domain.failure import FailureKind
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.oci_attempt import OciRules
from osa_grpc.runtimes.oci_runtime import OciRuntime
from tests.fixtures.engine_proxy import EngineProxy, engine_proxy
from tests.fixtures.hooks import Remembering, Workshop
from tests.fixtures.host_paths import shared


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
        shared=shared(engine, workshop.work_directory.parent, workshop.server_id),
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
from osa_grpc.runtimes.oci_attempt import OciRules
from osa_grpc.runtimes.oci_runtime import OciRuntime
from tests.fixtures.hooks import FolderFiles, Remembering, hook_job
from tests.fixtures.host_paths import shared

async def main(docker_host, digest, folder):
    os.setgroups([])
    os.setgid(4711)
    os.setuid(4711)
    files = FolderFiles(folder / "files")
    observer = Remembering()
    async with DockerEngine(docker_host=docker_host) as engine:
        runtime = OciRuntime(
            engine=engine,
            files=files,
            work_directory=folder / "work",
            server_id="another-user",
            shared=shared(engine, folder, "another-user"),
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
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await asyncio.wait_for(process.communicate(), 60)
    assert told.decode().splitlines() == ["4711", "datadata 0 read", "[]"]
