"""Hooks in real containers: what they find, what they may do, and how each end is told."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aiodocker
import pytest

from osa_grpc.application.ports import HookEnd, HookOutputs
from osa_grpc.application.verdict import Judgement, judge
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.run import HookProgress, Provenance, Verdict
from osa_grpc.runtimes.engine_traits import EngineTraits
from osa_grpc.runtimes.image_build import build_image
from osa_grpc.runtimes.oci_attempt import OciRules
from osa_grpc.runtimes.oci_runtime import OciRuntime
from osa_grpc.runtimes.staging import container_user
from tests.fixtures.hooks import Remembering, Workshop

ENDLESS = 'trap "" TERM; echo up; while :; do sleep 1; done'


def judged(end: HookEnd) -> Judgement:
    return judge(end, lambda _: 0)


async def test_a_hook_that_does_nothing_passes_and_says_what_ran_on_what(workshop: Workshop) -> None:
    end, observer = await workshop.run("exit 0", config={"cutoff": 2.0})
    assert judged(end) == Judgement(verdict=Verdict.PASSED)
    assert end.exit_code == 0
    assert end.failure is None
    assert end.started_at <= end.ended_at
    provenance = end.provenance
    assert provenance == observer.started_with
    assert provenance.image_id == provenance.digest
    assert "linux/" in provenance.engine
    assert len(provenance.input_sha256) == len(provenance.config_sha256) == 64
    assert provenance.limits.memory == "64m"


async def test_a_hook_finds_its_input_as_both_versions_of_the_contract_have_it(workshop: Workshop) -> None:
    entry = workshop.files.add("1abc entry.cif", b"data_1ABC\n")
    end, observer = await workshop.run(
        "cd $OSA_IN; cat record.json; echo; cat records.jsonl; cat config.json; echo; "
        'cat "files/1abc entry.cif" "$OSA_FILES/d1/1abc entry.cif"; echo $OSA_OUT $OSA_HOOK_NAME',
        config={"cutoff": 2.0, "names": ["a", 1.5]},
        metadata={"year": 1999.0, "title": "Ä"},
        files=[entry],
    )
    record, line, config, first, second, variables = bytes(observer.log).decode().splitlines()
    metadata = {"year": 1999, "title": "Ä"}
    assert json.loads(record) == {"srn": "urn:osa:example.org:dep:d1", "metadata": metadata}
    assert json.loads(line) == {"id": "d1", "metadata": metadata, "size_hint_mb": 1e-05}
    assert "1999.0" not in record
    assert config == '{"cutoff":2,"names":["a",1.5]}'
    assert first == second == "data_1ABC"
    assert variables == "/osa/out check"
    assert end.exit_code == 0


async def test_a_hook_without_config_finds_no_config_file(workshop: Workshop) -> None:
    end, _ = await workshop.run("test ! -e /osa/in/config.json")
    assert end.exit_code == 0
    assert end.provenance.config_sha256 == ""


async def test_the_sandbox_leaves_no_network_no_rights_and_nothing_to_write_to(
    workshop: Workshop, traits: EngineTraits
) -> None:
    script = """
        echo user $(id -u):$(id -g)
        echo interfaces $(ls /sys/class/net)
        grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr '\\t' ' '
        for place in / /etc /bin /osa /osa/in /osa/files /dev /var; do
            (echo x > $place/probe) 2>/dev/null && echo wrote to $place
        done
        echo '#!/bin/sh' > /tmp/program && chmod +x /tmp/program && /tmp/program 2>/dev/null || echo tmp runs nothing
        grep ' /tmp ' /proc/mounts
        echo first process $(tr '\\0' ' ' < /proc/1/cmdline)
        echo places $HOME $TMPDIR $XDG_CACHE_HOME
        ls /var/run/docker.sock /run 2>/dev/null
        true
    """
    end, observer = await workshop.run(script)
    told = bytes(observer.log).decode()
    assert end.exit_code == 0
    # In a rootless engine root is nobody but the engine's own user.
    user = (0, 0) if traits.is_rootless else container_user()
    assert "user {}:{}\n".format(*user) in told
    assert "interfaces lo\n" in told
    assert "CapEff: 0000000000000000" in told
    assert "CapBnd: 0000000000000000" in told
    assert "NoNewPrivs: 1" in told
    assert "Seccomp: 2" in told
    writable = (
        {"/dev"} if traits.is_rootless else set()
    )  # by its root; it is a little memory of the container's own
    assert set(re.findall(r"wrote to (\S+)", told)) == writable
    assert "tmp runs nothing" in told
    assert "tmpfs /tmp tmpfs rw,nosuid,nodev,noexec" in told
    assert "size=97660k" in told
    assert "init" in told.partition("first process ")[2].splitlines()[0]
    assert "places /tmp /tmp /tmp/.cache" in told
    assert "docker.sock" not in told


async def test_memory_processors_and_processes_are_limited_to_what_the_engine_has(
    workshop: Workshop, docker_host: str, traits: EngineTraits
) -> None:
    digest = await workshop.image(ENDLESS)
    observer = Remembering()
    job = workshop.job(digest, cpu="1000", memory="128m")
    running = asyncio.create_task(workshop.runtime.run(job, observer))
    await observer.until(lambda seen: b"up" in seen.log)
    [container] = await workshop.containers()
    async with aiodocker.Docker(url=docker_host) as docker:
        host = (await docker.containers.container(container.id).show())["HostConfig"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    described = await workshop.engine.described()
    assert observer.started_with is not None
    assert observer.started_with.limits is not None
    assert float(observer.started_with.limits.cpu) == described.cpus
    limits = {"processors": described.cpus * 10**9, "memory": 128 * 2**20, "processes": 256}
    found = {"processors": host["NanoCpus"], "memory": host["Memory"], "processes": host["PidsLimit"]}
    for resource in traits.unlimited:
        assert resource in described.description.partition("without limits of ")[2]
        assert not found.pop(resource)
        del limits[resource]
    assert found == limits
    assert host["MemorySwap"] == host["Memory"]
    assert host["LogConfig"]["Type"] in {"local", "json-file"}  # so Podman calls its own


async def test_a_hook_that_forks_without_end_is_held_back(workshop: Workshop, traits: EngineTraits) -> None:
    if "processes" in traits.unlimited:
        pytest.skip("this engine cannot limit processes")
    end, observer = await workshop.run("for i in $(seq 400); do sleep 60 & done; wait", timeout_seconds=20)
    assert b"can't fork" in observer.log
    assert judged(end).failure.kind is FailureKind.HOOK_EXIT


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            """echo '{"status":"rejected","message":"too short"}' > /osa/out/progress.jsonl; exit 1""",
            "too short",
        ),
        ("""echo '{"id":"d1","reason":"too long"}' > /osa/out/rejections.jsonl""", "too long"),
        ("""echo '{"status":"rejected"}' > /osa/out/progress.jsonl""", "the hook gave no reason"),
    ],
    ids=["by progress, whatever the exit code", "by file", "without a message"],
)
async def test_a_rejection_is_a_rejection(workshop: Workshop, script: str, reason: str) -> None:
    end, _ = await workshop.run(script)
    assert judged(end) == Judgement(verdict=Verdict.REJECTED, rejection_reason=reason)


async def test_an_exit_code_fails_the_hook_and_says_which(workshop: Workshop) -> None:
    end, _ = await workshop.run("exit 3")
    assert end.exit_code == 3
    failure = judged(end).failure
    assert (failure.kind, failure.message) == (FailureKind.HOOK_EXIT, "the hook exited with code 3")


async def test_rows_and_reported_errors_are_found_in_the_output(workshop: Workshop) -> None:
    end, _ = await workshop.run(
        """cd $OSA_OUT; umask 077
        echo '[{"a": 1}]' > features.json
        echo '{"id":"d1","features":[{"a": 2}]}' > features.jsonl
        echo '{"id":"d1","error":"no atoms","retryable":true}' > errors.jsonl"""
    )
    with end.outputs.features() as source:
        assert (source.file_name, source.form) == ("features.jsonl", "jsonl")
        assert source.stream.read() == b'{"id":"d1","features":[{"a": 2}]}\n'
    failure = judged(end).failure
    assert (failure.kind, failure.message, failure.retryable) == (FailureKind.HOOK_EXIT, "no atoms", True)
    assert len(end.outputs.sha256()) == 64


async def test_a_hook_that_takes_too_long_is_stopped_even_if_it_ignores_the_signal(
    workshop: Workshop,
) -> None:
    end, observer = await workshop.run(ENDLESS, timeout_seconds=1)
    assert observer.log == b"up\n"
    assert end.failure.kind is FailureKind.TIMEOUT
    assert "1 s" in end.failure.message
    assert await workshop.containers() == []


async def test_running_out_of_memory_is_recognised(workshop: Workshop, traits: EngineTraits) -> None:
    if "memory" in traits.unlimited:
        pytest.skip("this engine cannot limit memory")
    end, _ = await workshop.run("""awk 'BEGIN { s = "x"; while (1) s = s s }'""", memory="16m")
    assert end.failure.kind is FailureKind.OOM
    assert "16m" in end.failure.message


async def test_every_byte_of_the_log_arrives_also_those_that_are_no_text(workshop: Workshop) -> None:
    end, observer = await workshop.run(
        """i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %03o $i)"; i=$((i+1)); done"""
    )
    assert bytes(observer.log) == bytes(range(256))
    assert end.exit_code == 0


async def test_twenty_megabytes_of_log_arrive_exactly_in_chunks_of_64_kib_at_most(workshop: Workshop) -> None:
    end, observer = await workshop.run("yes 0123456789abcde | head -c 20000000")
    assert bytes(observer.log) == (b"0123456789abcde\n" * 1_250_000)
    assert max(observer.chunks) <= 64 * 1024
    assert end.exit_code == 0


async def test_progress_and_log_arrive_while_the_hook_runs(workshop: Workshop) -> None:
    script = """
        echo '{"step":"read","status":"running","message":"1 of 2"}' >> /osa/out/progress.jsonl
        echo 'no json' >> /osa/out/progress.jsonl
        echo working
        trap 'echo "{\\"status\\":\\"done\\"}" >> /osa/out/progress.jsonl; exit 0' TERM
        while :; do sleep 0.1; done
    """
    observer = Remembering()
    job = workshop.job(await workshop.image(script), timeout_seconds=2)
    running = asyncio.create_task(workshop.runtime.run(job, observer))
    await observer.until(lambda seen: b"working\n" in seen.log and bool(seen.progress))
    assert not running.done()
    end = await running
    assert observer.progress == [
        HookProgress(step="read", status="running", message="1 of 2"),
        HookProgress(status="done"),
    ]
    assert end.failure.kind is FailureKind.TIMEOUT


@pytest.mark.parametrize(
    ("script", "file"),
    [
        ("ln -s /etc/passwd /osa/out/features.json", "features.json"),
        ("ln -s /etc/passwd /osa/out/progress.jsonl", "progress.jsonl"),
        ("mkfifo /osa/out/rejections.jsonl", "rejections.jsonl"),
        ("mkdir /osa/out/errors.jsonl", "errors.jsonl"),
    ],
)
async def test_what_is_no_regular_file_is_refused_and_never_read(
    workshop: Workshop, script: str, file: str
) -> None:
    end, _ = await workshop.run(script)

    def count_rows(outputs: HookOutputs) -> int:
        with outputs.features() as source:
            return 0 if source is None else 1

    failure = judge(end, count_rows).failure
    assert failure.kind is FailureKind.BAD_OUTPUT
    assert failure.message.startswith(file)


async def test_filling_the_output_directory_ends_the_hook(workshop: Workshop) -> None:
    end, _ = await workshop.run("dd if=/dev/zero of=/osa/out/big bs=1M count=100 2>/dev/null; sleep 60")
    assert end.failure.kind is FailureKind.BAD_OUTPUT
    assert str(64 * 2**20) in end.failure.message


async def test_directories_without_end_are_bad_output_and_leave_nothing(workshop: Workshop) -> None:
    script = "cd /osa/out; i=0; while [ $i -lt 2000 ]; do mkdir d && cd d; i=$((i+1)); done"
    job = workshop.job(await workshop.image(script))
    end = await workshop.runtime.run(job, Remembering())
    assert end.failure.kind is FailureKind.BAD_OUTPUT
    assert "nested deeper" in end.failure.message
    await workshop.runtime.discard(job.run)
    assert list(workshop.work_directory.iterdir()) == []


async def test_an_image_that_is_nowhere_is_told_as_such(workshop: Workshop) -> None:
    job = workshop.job("sha256:" + "0" * 64, image="127.0.0.1:9/nobody/nothing:1.0")
    end = await workshop.runtime.run(job, Remembering())
    assert end.failure.kind is FailureKind.IMAGE_PULL
    assert "127.0.0.1:9/nobody/nothing@sha256:0000" in end.failure.message
    assert end.failure.retryable
    assert end.outputs is None
    assert end.started_at is None


async def test_the_digest_decides_whatever_the_tag_says(workshop: Workshop, docker_host: str) -> None:
    old, new = await workshop.image("echo old"), await workshop.image("echo new")
    async with aiodocker.Docker(url=docker_host) as docker:
        await docker.images.tag(old, "osa-test-moving", tag="latest")
        observer = Remembering()
        await workshop.runtime.run(workshop.job(new, image="osa-test-moving:latest"), observer)
        await docker.images.delete("osa-test-moving:latest")
    assert observer.log == b"new\n"


async def test_an_image_without_a_program_is_refused(
    workshop: Workshop, docker_host: str, tiny_image: str
) -> None:
    dockerfile = f"FROM {tiny_image}\nENTRYPOINT []\n"
    async with aiodocker.Docker(url=docker_host) as docker:
        nothing = await build_image(docker, dockerfile=dockerfile, files={}, tag="osa-test-nothing:1")
        end = await workshop.runtime.run(workshop.job(nothing), Remembering())
        await docker.images.delete("osa-test-nothing:1")
    assert end.failure.kind is FailureKind.CONFIG
    assert "no command" in end.failure.message.lower()


async def test_a_volume_that_an_image_wants_is_a_small_place_in_memory(
    workshop: Workshop, docker_host: str
) -> None:
    digest = await workshop.image("grep ' /data ' /proc/mounts; echo x > /data/x")
    dockerfile = f"FROM {digest}\nVOLUME /data\n"
    observer = Remembering()
    async with aiodocker.Docker(url=docker_host) as docker:
        image = await build_image(docker, dockerfile=dockerfile, files={}, tag="osa-test-volume:1")
        end = await workshop.runtime.run(workshop.job(image), observer)
        await docker.images.delete("osa-test-volume:1")
    assert observer.log.startswith(b"tmpfs /data tmpfs rw")
    assert end.exit_code == 0


async def test_a_cancelled_hook_is_asked_to_end_before_it_is_killed(workshop: Workshop) -> None:
    script = "trap 'echo [] > /osa/out/features.json; exit' TERM; echo up; while :; do sleep 0.1; done"
    observer = Remembering()
    job = workshop.job(await workshop.image(script))
    running = asyncio.create_task(workshop.runtime.run(job, observer))
    await observer.until(lambda seen: b"up" in seen.log)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left = workshop.runtime.outputs(job)
    assert left is not None
    with left.features() as source:
        assert source is not None


async def test_a_cancelled_hook_leaves_no_container(workshop: Workshop) -> None:
    observer = Remembering()
    job = workshop.job(await workshop.image(ENDLESS))
    running = asyncio.create_task(workshop.runtime.run(job, observer))
    await observer.until(lambda seen: b"up" in seen.log)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await workshop.containers() == []


@pytest.mark.parametrize("milliseconds", [0, 3, 10, 30, 100, 200])
async def test_a_hook_can_be_cancelled_at_any_moment(workshop: Workshop, milliseconds: int) -> None:
    job = workshop.job(await workshop.image("sleep 60"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(milliseconds / 1000):
            await workshop.runtime.run(job, Remembering())
    assert await workshop.containers() == []


async def test_an_observer_that_fails_ends_the_hook(workshop: Workshop) -> None:
    class Refusing(Remembering):
        async def wrote_log(self, data: bytes) -> None:
            raise LookupError("the lease is lost", len(data))

    with pytest.raises(LookupError, match="the lease is lost"):
        await workshop.runtime.run(workshop.job(await workshop.image(ENDLESS)), Refusing())
    assert await workshop.containers() == []


async def test_a_hook_is_held_to_its_time_while_its_observer_takes_in_the_start(
    workshop: Workshop, docker_host: str
) -> None:
    labels = [f"org.opensciencearchive.server={workshop.server_id}"]
    running = json.dumps({"label": labels, "status": ["running"]})

    class Slow(Remembering):
        async def started(self, provenance: Provenance) -> None:
            async with aiodocker.Docker(url=docker_host) as docker:
                while await docker.containers.list(filters=running):
                    assert not self.log
            await super().started(provenance)

    observer = Slow()
    job = workshop.job(await workshop.image("echo up; sleep 60"), timeout_seconds=1)
    end = await workshop.runtime.run(job, observer)
    assert end.failure.kind is FailureKind.TIMEOUT
    assert observer.log == b"up\n"


async def test_a_hook_has_ended_before_its_container_has_gone(workshop: Workshop) -> None:
    end, observer = await workshop.run("echo '[]' > /osa/out/features.json; echo last words")
    assert observer.end is end
    assert observer.log == b"last words\n"


async def test_an_observer_that_fails_at_the_end_leaves_no_container(workshop: Workshop) -> None:
    class Refusing(Remembering):
        async def ended(self, end: HookEnd) -> None:
            raise LookupError("the lease is lost", end.exit_code)

    with pytest.raises(LookupError, match="the lease is lost"):
        await workshop.runtime.run(workshop.job(await workshop.image("true")), Refusing())
    assert await workshop.containers() == []


async def test_a_call_that_is_cancelled_while_its_observer_takes_in_the_end_leaves_nothing(
    workshop: Workshop,
) -> None:
    reached, left = asyncio.Event(), asyncio.Event()

    class Slow(Remembering):
        async def ended(self, end: HookEnd) -> None:
            self.end = end
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                left.set()

    running = asyncio.create_task(workshop.runtime.run(workshop.job(await workshop.image("true")), Slow()))
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert left.is_set()
    assert await workshop.containers() == []


async def test_an_engine_that_is_away_is_told_as_such(workshop: Workshop, tmp_path: Path) -> None:
    away = f"unix://{tmp_path}/nobody.sock"
    async with type(workshop.engine)(docker_host=away) as engine:
        assert await engine.describe() is None
        runtime = OciRuntime(
            engine=engine,
            files=workshop.files,
            work_directory=tmp_path / "w",
            server_id="s",
            rules=OciRules(),
        )
        end = await runtime.run(workshop.job("sha256:" + "0" * 64), Remembering())
    assert end.failure.kind is FailureKind.ENGINE
    assert end.failure.retryable
    assert "does not answer" in end.failure.message
