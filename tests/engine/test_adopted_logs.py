"""The log of a container that outlives the server that began it: to the byte, or with a mark where it cannot be."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.adoption import (
    TWO_STREAMS,
    adopted,
    another_server,
    assert_nothing_lost,
    ended,
    taken_up,
    torn,
)
from tests.fixtures.hooks import Remembering, Workshop


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
