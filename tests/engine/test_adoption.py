"""Containers that outlive the server that began them, and the one that goes on with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiodocker
import pytest

from osa_grpc.application.verdict import judge
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.run import HookProgress, Verdict
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.engine_traits import EngineTraits
from osa_grpc.runtimes.oci_runtime import OciRuntime
from tests.fixtures.adoption import (
    TWO_STREAMS,
    adopted,
    another_server,
    assert_nothing_lost,
    ended,
    taken_up,
    the_container,
    torn,
)
from tests.fixtures.hooks import Remembering, Workshop


async def test_a_container_that_runs_is_adopted_and_its_log_goes_on_at_the_very_byte(
    workshop: Workshop,
) -> None:
    job = workshop.job(await workshop.image(TWO_STREAMS + "echo '[]' > /osa/out/features.json; sleep 1"))
    before = Remembering()
    await torn(workshop.runtime, job, before, 5000)
    container = await the_container(workshop)
    async with another_server(workshop) as runtime:
        after = Remembering()
        running = asyncio.create_task(runtime.run(taken_up(job, before), after))
        await after.until(lambda seen: seen.started_with is not None)
        assert (await the_container(workshop)).id == container.id
        end = await running
    assert end.failure is None
    assert end.exit_code == 0
    assert judge(end, lambda _: 0).verdict is Verdict.PASSED
    assert after.gaps == []
    assert after.started_with == before.started_with == end.provenance
    assert_nothing_lost(bytes(before.log + after.log), 4000)
    assert await workshop.containers() == []


async def test_a_container_that_ended_meanwhile_is_judged_as_any_other(
    workshop: Workshop, docker_host: str
) -> None:
    script = TWO_STREAMS + """echo '{"id":"d1","reason":"too small"}' > /osa/out/rejections.jsonl; exit 3"""
    job = workshop.job(await workshop.image(script))
    before = Remembering()
    await torn(workshop.runtime, job, before, 1)
    await ended(workshop, docker_host)
    ended_at = datetime.now(UTC)
    await asyncio.sleep(0.3)  # the engine's clock says when it ended, not ours
    end, after = await adopted(workshop, job, before)
    assert end.exit_code == 3
    assert end.started_at < end.ended_at <= ended_at
    assert judge(end, lambda _: 0).rejection_reason == "too small"
    assert after.gaps == []
    assert_nothing_lost(bytes(before.log + after.log), 4000)
    assert await workshop.containers() == []


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
async def test_a_container_that_somebody_killed_while_nobody_watched_is_the_engines_fault(
    workshop: Workshop, docker_host: str, signal: str
) -> None:
    job = workshop.job(await workshop.image("echo up; exec sleep 60"))
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    async with aiodocker.Docker(url=docker_host) as docker:
        container = docker.containers.container((await the_container(workshop)).id)
        await container.kill(signal=signal)
        await container.wait()
    end, _ = await adopted(workshop, job, before)
    assert (end.failure.kind, end.failure.retryable) == (FailureKind.ENGINE, True)
    assert f"exit code {137 if signal == 'SIGKILL' else 143}" in end.failure.message
    assert await workshop.containers() == []


async def test_running_out_of_memory_is_recognised_later_too(
    workshop: Workshop, docker_host: str, traits: EngineTraits
) -> None:
    if not traits.tells_out_of_memory:
        pytest.skip("the engine does not tell")
    script = """echo up; sleep 0.3; awk 'BEGIN { s = "x"; while (1) s = s s }'"""
    job = workshop.job(await workshop.image(script), memory="16m")
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    await ended(workshop, docker_host)
    end, _ = await adopted(workshop, job, before)
    assert end.failure.kind is FailureKind.OOM


async def test_a_container_that_was_never_started_is_made_anew(workshop: Workshop) -> None:
    job = workshop.job(await workshop.image("echo up"))

    class Late(Remembering):
        """Loses the lease before the container is started."""

    before = Late()
    made = asyncio.Event()
    start = workshop.engine.hold

    @asynccontextmanager
    async def hold(*arguments: object, **options: object) -> AsyncIterator[object]:
        async with start(*arguments, **options) as container:
            made.set()
            await asyncio.Event().wait()
            yield container

    workshop.engine.hold = hold  # type: ignore[method-assign,assignment]
    running = asyncio.create_task(workshop.runtime.run(job, before))
    await made.wait()
    before.leaves_container = True
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left = await the_container(workshop)
    assert left.state == "created"
    async with another_server(workshop) as runtime:
        after = Remembering()
        end = await runtime.run(taken_up(job, before, has_started=False), after)
    assert end.exit_code == 0
    assert after.log == b"up\n"
    assert await workshop.containers() == []


async def test_an_attempt_that_had_not_come_to_a_container_begins_afresh(workshop: Workshop) -> None:
    job = workshop.job(await workshop.image("echo up"))
    after = Remembering()
    end = await workshop.runtime.run(taken_up(job, Remembering(), has_started=False), after)
    assert end.exit_code == 0
    assert after.log == b"up\n"


@pytest.mark.parametrize("what", ["container", "directory"])
async def test_a_hook_that_ran_and_is_gone_is_the_engines_fault(
    workshop: Workshop, docker_host: str, what: str
) -> None:
    job = workshop.job(await workshop.image("echo up; sleep 60"))
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    if what == "container":
        async with aiodocker.Docker(url=docker_host) as docker:
            left = await the_container(workshop)
            await docker.containers.container(left.id).delete(force=True)
    else:
        (workshop.work_directory / job.run).rename(workshop.work_directory / "elsewhere")
    end, after = await adopted(workshop, job, before)
    assert (end.failure.kind, end.failure.retryable) == (FailureKind.ENGINE, True)
    assert "gone" in end.failure.message
    assert after.started_with is None
    assert await workshop.containers() == []


async def test_an_adopter_that_cannot_ask_the_engine_says_so(workshop: Workshop, tmp_path: Path) -> None:
    async with DockerEngine(docker_host=f"unix://{tmp_path}/nobody.sock") as engine:
        runtime = OciRuntime(
            engine=engine,
            files=workshop.files,
            work_directory=workshop.work_directory,
            server_id=workshop.server_id,
        )
        job = taken_up(workshop.job("sha256:" + "0" * 64), Remembering())
        end = await runtime.run(job, Remembering())
    assert (end.failure.kind, end.failure.retryable) == (FailureKind.ENGINE, True)
    assert "does not answer" in end.failure.message


async def test_the_time_limit_counts_from_the_containers_start(workshop: Workshop) -> None:
    job = workshop.job(await workshop.image("echo up; sleep 60"), timeout_seconds=3)
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    await asyncio.sleep(1.5)
    began_at = asyncio.get_running_loop().time()
    end, _ = await adopted(workshop, job, before)
    assert end.failure.kind is FailureKind.TIMEOUT
    assert asyncio.get_running_loop().time() - began_at < 2.9
    assert timedelta(seconds=3) <= end.ended_at - end.started_at < timedelta(seconds=5)


async def test_a_hook_that_ended_too_late_has_taken_too_long(workshop: Workshop, docker_host: str) -> None:
    job = workshop.job(await workshop.image("echo up; sleep 2"), timeout_seconds=1)
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    await ended(workshop, docker_host)
    end, _ = await adopted(workshop, job, before)
    assert end.failure.kind is FailureKind.TIMEOUT


async def test_progress_of_an_adopted_container_comes_from_the_first_line_on(workshop: Workshop) -> None:
    script = """
        i=0; while [ $i -lt 20 ]; do
            echo "{\\"status\\":\\"$i\\"}" >> /osa/out/progress.jsonl; echo $i; i=$((i+1)); sleep 0.05
        done
    """
    job = workshop.job(await workshop.image(script))
    before = Remembering()
    await torn(workshop.runtime, job, before, 10)
    assert before.progress
    _, after = await adopted(workshop, job, before)
    assert after.progress == [HookProgress(status=str(n)) for n in range(20)]


async def test_the_output_quota_holds_for_an_adopted_container(workshop: Workshop) -> None:
    script = "echo up; sleep 0.5; dd if=/dev/zero of=/osa/out/big bs=1M count=100 2>/dev/null; sleep 60"
    job = workshop.job(await workshop.image(script))
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    async with another_server(workshop, output_quota_bytes=2**20) as runtime:
        end = await runtime.run(taken_up(job, before), Remembering())
    assert end.failure.kind is FailureKind.BAD_OUTPUT


async def test_an_adopted_hook_can_be_cancelled_and_leaves_nothing(workshop: Workshop) -> None:
    job = workshop.job(await workshop.image("echo up; sleep 60"))
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    async with another_server(workshop) as runtime:
        after = Remembering()
        running = asyncio.create_task(runtime.run(taken_up(job, before), after))
        await after.until(lambda seen: seen.started_with is not None)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await workshop.containers() == []


async def test_a_container_is_left_alone_when_another_worker_has_the_run(workshop: Workshop) -> None:
    class Losing(Remembering):
        async def wrote_log(self, data: bytes) -> None:
            self.leaves_container = True
            raise LookupError("the lease is lost", len(data))

    job = workshop.job(await workshop.image("trap 'echo disturbed' TERM; echo up; sleep 1; echo done"))
    with pytest.raises(LookupError, match="the lease is lost"):
        await workshop.runtime.run(job, Losing())
    assert (await the_container(workshop)).state == "running"
    end, after = await adopted(workshop, job, Remembering())
    assert after.log == b"up\ndone\n"
    assert end.exit_code == 0


async def test_other_containers_of_the_run_are_removed(workshop: Workshop, docker_host: str) -> None:
    job = workshop.job(await workshop.image("echo up; sleep 1"))
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    adopted_id = (await the_container(workshop)).id
    prefix = "org.opensciencearchive."
    labels = {prefix + "server": workshop.server_id, prefix + "run": job.run, prefix + "hook": "another"}
    async with aiodocker.Docker(url=docker_host) as docker:
        await docker.containers.create({"Image": job.hook.runtime.digest, "Labels": labels})
        async with another_server(workshop) as runtime:
            after = Remembering()
            running = asyncio.create_task(runtime.run(taken_up(job, before), after))
            await after.until(lambda seen: seen.started_with is not None)
            assert [container.id for container in await workshop.containers()] == [adopted_id]
            assert (await running).exit_code == 0


async def test_the_next_attempt_does_not_adopt_the_one_before(workshop: Workshop) -> None:
    job = workshop.job(await workshop.image("echo up; sleep 60"), timeout_seconds=1)
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    left = (await the_container(workshop)).id
    second = replace(job, attempt=2, resumption=None)
    running = asyncio.create_task(workshop.runtime.run(second, before := Remembering()))
    await before.until(lambda seen: b"up" in seen.log)
    assert (await the_container(workshop)).id != left
    assert (await running).failure.kind is FailureKind.TIMEOUT


async def test_a_container_says_what_it_runs_to_whoever_finds_it(
    workshop: Workshop, docker_host: str
) -> None:
    job = replace(workshop.job(await workshop.image("echo up; sleep 1")), memory_bytes=128 * 2**20)
    before = Remembering()
    await torn(workshop.runtime, job, before, 3)
    async with aiodocker.Docker(url=docker_host) as docker:
        shown = await docker.containers.container((await the_container(workshop)).id).show()
    told = json.loads(shown["Config"]["Labels"]["org.opensciencearchive.provenance"])
    assert told["limits"]["memory"] == "128m"
    assert shown["HostConfig"]["Memory"] == 128 * 2**20
    assert shown["Name"] == f"/osa-{workshop.server_id[:8]}-{job.run}-check-1"
    end, _ = await adopted(workshop, job, before)
    assert end.provenance.limits.memory == "128m"
