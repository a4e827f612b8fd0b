"""What runs leave behind: kept as long as it is wanted, and removed whosever it is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiodocker
import pytest

from osa_grpc.domain.names import new_id
from osa_grpc.runtimes.oci_runtime import OciRuntime
from tests.fixtures.hooks import Remembering, Workshop
from tests.fixtures.host_paths import shared

ENDLESS = 'trap "" TERM; echo up; while :; do sleep 1; done'


async def test_outputs_stay_until_their_run_is_discarded(workshop: Workshop) -> None:
    job = workshop.job(await workshop.image("echo '[]' > /osa/out/features.json"))
    assert workshop.runtime.outputs(job) is None
    await workshop.runtime.run(job, Remembering())
    with workshop.runtime.outputs(job).features() as source:
        assert source.stream.read() == b"[]\n"
    await workshop.runtime.discard(job.run)
    await workshop.runtime.discard(job.run)
    assert workshop.runtime.outputs(job) is None
    assert list(workshop.work_directory.iterdir()) == []


async def test_reaping_removes_what_is_over_and_nothing_else(
    workshop: Workshop, docker_host: str, tiny_image: str
) -> None:
    live, over = new_id(), new_id()
    prefix = "org.opensciencearchive."
    for run in (live, over):
        for part in ("in", "files", "out"):
            (workshop.work_directory / run / "attempt" / part).mkdir(parents=True)
    (workshop.work_directory / "kept").mkdir()
    labels: dict[str, dict[str, str]] = {
        "live": {prefix + "server": workshop.server_id, prefix + "run": live},
        "over": {prefix + "server": workshop.server_id, prefix + "run": over},
        "another's": {prefix + "server": "another", prefix + "run": over},
        "nobody's": {},
        "a stranger's": {prefix + "run": over},
        "of no run": {prefix + "server": workshop.server_id},
        "of an odd run": {prefix + "server": workshop.server_id, prefix + "run": "../kept"},
    }
    async with aiodocker.Docker(url=docker_host) as docker:
        made = {
            name: await docker.containers.create({"Image": tiny_image, "Labels": each})
            for name, each in labels.items()
        }

        async def is_live(run: str) -> bool:
            return run == live

        await workshop.runtime.reap(is_live)
        there = {container.id for container in await docker.containers.list(all=1)}
        left = {name for name, container in made.items() if container.id in there}
        for name in left:
            await made[name].delete(force=True)
    assert left == set(labels) - {"over"}
    assert sorted(path.name for path in workshop.work_directory.iterdir()) == sorted([live, "kept"])
    assert {path.name for path in (workshop.work_directory / live / "attempt").iterdir()} == {
        "in",
        "files",
        "out",
    }


async def test_two_servers_on_one_engine_leave_each_other_alone(workshop: Workshop, tmp_path: Path) -> None:
    other = OciRuntime(
        engine=workshop.engine,
        files=workshop.files,
        work_directory=tmp_path / "other",
        server_id=new_id(),
        shared=shared(workshop.engine, tmp_path, workshop.server_id),
    )
    job = workshop.job(await workshop.image("echo up; while [ ! -e /osa/out/go ]; do sleep 0.05; done"))
    observer = Remembering()
    running = asyncio.create_task(other.run(job, observer))
    await observer.until(lambda seen: b"up" in seen.log)

    async def is_live(run: str) -> bool:
        return run != job.run

    await workshop.runtime.reap(is_live)
    await workshop.runtime.discard(job.run)
    (tmp_path / "other" / job.run / f"{job.execution}-1" / "out" / "go").touch()
    assert (await running).exit_code == 0
    await other.discard(job.run)
    assert list((tmp_path / "other").iterdir()) == []


async def test_reaping_removes_a_container_that_runs(workshop: Workshop) -> None:
    observer = Remembering()
    job = workshop.job(await workshop.image(ENDLESS))
    running = asyncio.create_task(workshop.runtime.run(job, observer))
    await observer.until(lambda seen: b"up" in seen.log)
    observer.leaves_container = True
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    async def is_live(run: str) -> bool:
        return run != job.run

    await workshop.runtime.reap(is_live)
    assert await workshop.containers() == []
    assert list(workshop.work_directory.iterdir()) == []


async def test_a_new_attempt_removes_the_container_of_the_one_before(
    workshop: Workshop, docker_host: str
) -> None:
    digest = await workshop.image(ENDLESS)
    job = workshop.job(await workshop.image("exit 0"), attempt=2)
    labels = {"org.opensciencearchive.server": workshop.server_id, "org.opensciencearchive.run": job.run}
    async with aiodocker.Docker(url=docker_host) as docker:
        left = await docker.containers.create(
            {"Image": digest, "Labels": labels, "HostConfig": {"NetworkMode": "none"}}
        )
        await left.start()
    end = await workshop.runtime.run(job, Remembering())
    assert end.exit_code == 0
    assert await workshop.containers() == []
