"""Containers that outlive the server that began them, and the one that goes on with them: to the byte."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiodocker
import pytest

from osa_grpc.application.ports import HookEnd, HookJob, Resumption
from osa_grpc.application.verdict import judge
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.run import HookProgress, Verdict
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.engine import FoundContainer
from osa_grpc.runtimes.engine_traits import EngineTraits
from osa_grpc.runtimes.oci_attempt import OciRules
from osa_grpc.runtimes.oci_runtime import OciRuntime
from tests.fixtures.hooks import Remembering, Workshop
from tests.fixtures.host_paths import shared

TWO_STREAMS = """
i=0
while [ $i -lt 4000 ]; do
    echo "$i|"
    for letter in p q r s t u v w; do printf $letter >&2; done; echo >&2
    i=$((i+1))
done
"""
"""4000 lines of digits on one stream, and 4000 of letters on the other."""


@asynccontextmanager
async def another_server(workshop: Workshop, **rules: object) -> AsyncIterator[OciRuntime]:
    """The server when it has been started again: it knows nothing, and is the same to the engine."""
    async with DockerEngine(docker_host=workshop.engine.docker_host) as engine:
        yield OciRuntime(
            engine=engine,
            files=workshop.files,
            work_directory=workshop.work_directory,
            server_id=workshop.server_id,
            shared=shared(engine, workshop.work_directory.parent, workshop.server_id),
            rules=OciRules(stop_grace=timedelta(seconds=1), **rules),
        )


def taken_up(job: HookJob, observer: Remembering, *, has_started: bool = True) -> HookJob:
    """The attempt as the next worker finds it."""
    return replace(
        job,
        resumption=Resumption(has_started=has_started, log_bytes=len(observer.log)),
    )


async def torn(runtime: OciRuntime, job: HookJob, observer: Remembering, until: int) -> None:
    """Run until so many bytes of log are kept, and no further: as a server that is killed."""
    running = asyncio.create_task(runtime.run(job, observer))
    await observer.until(lambda seen: len(seen.log) >= until)
    observer.leaves_container = True
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def adopted(workshop: Workshop, job: HookJob, before: Remembering) -> tuple[HookEnd, Remembering]:
    async with another_server(workshop) as runtime:
        after = Remembering()
        end = await runtime.run(taken_up(job, before), after)
        return end, after


async def the_container(workshop: Workshop) -> FoundContainer:
    [container] = await workshop.containers()
    return container


async def ended(workshop: Workshop, docker_host: str) -> None:
    """Wait until the one container has ended."""
    async with aiodocker.Docker(url=docker_host) as docker:
        await docker.containers.container((await the_container(workshop)).id).wait()


def assert_nothing_lost(log: bytes, lines: int) -> None:
    """What came of each stream is what was written to it, once and in order; they may meet within a line."""
    assert bytes(byte for byte in log if byte in b"0123456789|") == b"".join(
        b"%d|" % number for number in range(lines)
    )
    assert bytes(byte for byte in log if byte in b"pqrstuvw") == b"pqrstuvw" * lines
    assert log.count(b"\n") == 2 * lines


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


async def test_a_container_may_be_adopted_again_and_again(workshop: Workshop) -> None:
    job = workshop.job(await workshop.image(TWO_STREAMS.replace("i=$((", "sleep 0; i=$((")))
    log = Remembering()
    await torn(workshop.runtime, job, log, 1)
    for _ in range(5):
        async with another_server(workshop) as runtime:
            more = Remembering()
            await torn(runtime, taken_up(job, log), more, 3000)
            log.log += more.log
            assert more.gaps == []
    end, more = await adopted(workshop, job, log)
    assert end.exit_code == 0
    assert more.gaps == []
    assert_nothing_lost(bytes(log.log + more.log), 4000)


@pytest.mark.parametrize(
    ("script", "last_newline_is_known"),
    [
        ("head -c 3000000 /dev/urandom; echo", True),
        ("head -c 3000000 /dev/urandom | tr -d '\\n'", False),
        ("head -c 20000 /dev/urandom | tr -d '\\n'; sleep 0.5; head -c 5 /dev/zero", False),
        ("head -c 16384 /dev/zero; echo; head -c 40000 /dev/zero; echo; echo; echo end", True),
        ("head -c 16383 /dev/zero; echo; head -c 32768 /dev/zero; echo", True),
        ("head -c 16384 /dev/zero; printf end", False),
        ("head -c 16384 /dev/zero; echo; printf end", True),
    ],
    ids=["binary", "no newline", "slow", "long", "long at the end", "long and open", "open at the end"],
)
async def test_any_bytes_are_joined_as_they_were_written(
    workshop: Workshop, script: str, *, last_newline_is_known: bool
) -> None:
    job = workshop.job(await workshop.image(f"{{ {script}; }} | tee /osa/out/copy; sleep 0.3"))
    before = Remembering()
    await torn(workshop.runtime, job, before, 10_000)
    end, after = await adopted(workshop, job, before)
    written = (workshop.work_directory / job.run / f"{job.execution}-1" / "out" / "copy").read_bytes()
    assert end.exit_code == 0
    assert hashlib.sha256(before.log + after.log).digest() == hashlib.sha256(written).digest()
    # Behind a last line of more than 16 KiB an engine before 23.0 leaves it open whether there was a newline.
    assert after.gaps == [] or (not last_newline_is_known and after.gaps == [len(after.log)])


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


async def test_what_the_engine_has_not_kept_is_a_gap(workshop: Workshop) -> None:
    runtime_rules = {"log_cap_bytes": 2**20}
    async with (
        another_server(workshop, **runtime_rules) as first,
        another_server(workshop, **runtime_rules) as second,
    ):
        script = "echo begin; sleep 0.5; yes 0123456789abcdef | head -c 20000000; echo end"
        job = workshop.job(await workshop.image(script))
        before = Remembering()
        await torn(first, job, before, 6)
        await ended(workshop, workshop.engine.docker_host)
        after = Remembering()
        end = await second.run(taken_up(job, before), after)
    assert end.exit_code == 0
    assert after.gaps == [0]
    assert after.log.startswith(b"0123456789abcdef\n")
    assert await workshop.containers() == []


async def test_a_log_that_is_full_has_no_gap_and_is_not_read_to_its_end(workshop: Workshop) -> None:
    async with another_server(workshop, log_cap_bytes=100_000) as runtime:
        job = workshop.job(await workshop.image("yes 0123456789abcdef | head -c 20000000; sleep 0.5"))
        before = Remembering()
        await torn(runtime, job, before, 100_000)
        before.log = before.log[:100_000]  # as who keeps no more
        after = Remembering()
        end = await runtime.run(taken_up(job, before), after)
    assert end.exit_code == 0
    assert after.gaps == []
    assert len(after.log) < 200_000


async def test_a_log_is_read_to_its_end_when_an_attempt_begins_afresh(workshop: Workshop) -> None:
    async with another_server(workshop, log_cap_bytes=100_000) as runtime:
        job = workshop.job(await workshop.image("yes 0123456789abcdef | head -c 20000000; echo end"))
        observer = Remembering()
        end = await runtime.run(taken_up(job, Remembering(), has_started=False), observer)
    assert end.exit_code == 0
    assert observer.log.endswith(b"end\n")


async def test_a_container_that_writes_as_fast_as_it_can_is_adopted_in_the_middle(workshop: Workshop) -> None:
    line = "x" * 99
    script = f"yes {line} | head -c 60000000; sleep 1"
    job = workshop.job(await workshop.image(script), cpu="2")
    before = Remembering()
    await torn(workshop.runtime, job, before, 5_000_000)
    end, after = await adopted(workshop, job, before)
    assert end.exit_code == 0
    assert after.gaps == []
    assert bytes(before.log + after.log) == f"{line}\n".encode() * 600_000


KILLED = """
import asyncio, os, sys
from datetime import timedelta
from pathlib import Path
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.oci_runtime import OciRuntime
from tests.fixtures.hooks import FolderFiles, Remembering, hook_job
from tests.fixtures.host_paths import shared

class Writing(Remembering):
    async def wrote_log(self, data):
        os.write(kept, data)

async def main():
    files = FolderFiles(folder / "files")
    async with DockerEngine(docker_host=docker_host) as engine:
        runtime = OciRuntime(
            engine=engine,
            files=files,
            work_directory=folder / "work",
            server_id=server_id,
            shared=shared(engine, folder, server_id),
        )
        job = hook_job(digest)
        print(job.run, job.execution, flush=True)
        await runtime.run(job, Writing())

docker_host, digest, server_id, folder = sys.argv[1:4] + [Path(sys.argv[4])]
kept = os.open(folder / "kept", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
asyncio.run(main())
"""


@pytest.mark.parametrize("kept_bytes", [1, 20_000, 60_000])
async def test_the_log_of_a_server_that_was_killed_has_no_seam(
    workshop: Workshop, tmp_path: Path, kept_bytes: int
) -> None:
    digest = await workshop.image(TWO_STREAMS.replace("4000", "20000") + "sleep 0.2")
    arguments = (workshop.engine.docker_host, digest, workshop.server_id, str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, *arguments),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    run, execution = (await process.stdout.readline()).decode().split()
    kept = tmp_path / "kept"
    async with asyncio.timeout(30):
        while not kept.exists() or kept.stat().st_size < kept_bytes:  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.001)
    process.kill()
    await process.wait()
    before = Remembering(log=bytearray(kept.read_bytes()))
    job = replace(workshop.job(digest), run=run, execution=execution)
    end, after = await adopted(workshop, job, before)
    assert end.exit_code == 0
    assert after.gaps == []
    assert_nothing_lost(bytes(before.log + after.log), 20_000)


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
