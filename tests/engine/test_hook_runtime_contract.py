"""What every runtime of hooks promises: the real one, and the fake one that other tests run by the thousand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import cast

import pytest

from osa_grpc.application.ports import FileStore, HookJob, HookRuntime, Resumption
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.names import RunId
from osa_grpc.domain.run import Provenance
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.runtimes.oci_attempt import OciRules
from osa_grpc.runtimes.oci_runtime import OciRuntime
from tests.fakes.hook_runtime import FakeHookRuntime, Machine, Program, statuses
from tests.fixtures.hooks import Remembering, Workshop, hook_job

ROW = '{"score": 1}'
PROGRAMS = {
    "passes": Program(words=("one", "two"), log=b"hello\n", rows=({"score": 1},)),
    "rejects": Program(rejection="too coarse"),
    "fails": Program(exit_code=3),
    "waits": Program(seconds=None, words=("begun", "done"), log=b"1234\n5678\n", rows=({"score": 1},)),
}
SCRIPTS = {
    "passes": f"""
echo '{{"status": "one"}}' >> /osa/out/progress.jsonl
echo '{{"status": "two"}}' >> /osa/out/progress.jsonl
echo hello
echo '[{ROW}]' > /osa/out/features.json
""",
    "rejects": """echo '{"status": "rejected", "message": "too coarse"}' >> /osa/out/progress.jsonl\n""",
    "fails": "exit 3\n",
    "waits": f"""
echo '{{"status": "begun"}}' >> /osa/out/progress.jsonl
echo 1234
while [ ! -e /osa/out/go ]; do sleep 0.02; done
echo '{{"status": "done"}}' >> /osa/out/progress.jsonl
echo 5678
echo '[{ROW}]' > /osa/out/features.json
""",
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A runtime at work."""

    runtime: HookRuntime
    restarted: Callable[[], Awaitable[HookRuntime]]
    """The runtime of the next server on the same machine."""
    job: Callable[[str], Awaitable[HookJob]]
    """A job whose hook does one of the programs."""
    release: Callable[[HookJob], None]
    """Let a hook go on that waits."""
    containers: Callable[[], Awaitable[int]]


@pytest.fixture(params=["fake", "oci"])
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = request.getfixturevalue(f"{request.param}_bench")
    return made


@pytest.fixture
def fake_bench() -> Bench:
    machine = Machine(lambda job: PROGRAMS[job.hook.runtime.image])

    async def restarted() -> HookRuntime:
        return FakeHookRuntime(machine)

    async def job(name: str) -> HookJob:
        return hook_job("sha256:" + 64 * "0", image=name)

    def release(job: HookJob) -> None:
        machine.containers[job.run, job.hook.name, job.attempt].end()

    async def containers() -> int:
        return len(machine.containers)

    return Bench(
        runtime=FakeHookRuntime(machine),
        restarted=restarted,
        job=job,
        release=release,
        containers=containers,
    )


@pytest.fixture
async def oci_bench(workshop: Workshop) -> AsyncIterator[Bench]:
    stack = AsyncExitStack()

    async def restarted() -> HookRuntime:
        engine = await stack.enter_async_context(DockerEngine(docker_host=workshop.engine.docker_host))
        return OciRuntime(
            engine=engine,
            files=cast("FileStore", workshop.files),
            work_directory=workshop.work_directory,
            server_id=workshop.server_id,
            rules=OciRules(),
        )

    async def job(name: str) -> HookJob:
        return workshop.job(await workshop.image(SCRIPTS[name]))

    def release(job: HookJob) -> None:
        (workshop.work_directory / job.run / f"{job.execution}-{job.attempt}" / "out" / "go").touch()

    async def containers() -> int:
        return len(await workshop.containers())

    async with stack:
        yield Bench(
            runtime=workshop.runtime, restarted=restarted, job=job, release=release, containers=containers
        )


async def left_running(bench: Bench, job: HookJob) -> Remembering:
    """Begin it, and let go of it in the middle as a server that is killed does; what was told until then."""
    observer = Remembering()
    running = asyncio.create_task(bench.runtime.run(job, observer))
    await observer.until(lambda seen: len(seen.log) >= 5 and len(seen.progress) == 1)
    observer.leaves_container = True
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    return observer


def gone_on_with(job: HookJob, seen: Remembering, *, has_started: bool = True) -> HookJob:
    return replace(job, resumption=Resumption(has_started=has_started, log_bytes=len(seen.log)))


async def test_a_hook_that_passes_is_told_of_whole_and_leaves_its_outputs_until_they_are_discarded(
    bench: Bench,
) -> None:
    job, observer = await bench.job("passes"), Remembering()
    end = await bench.runtime.run(job, observer)
    assert (end.failure, end.exit_code) == (None, 0)
    assert observer.started_with == end.provenance
    assert statuses(observer.progress) == ["one", "two"]
    assert observer.log == b"hello\n"
    assert observer.end == end
    assert end.started_at
    assert end.ended_at
    assert end.started_at <= end.ended_at
    assert await bench.containers() == 0
    kept = bench.runtime.outputs(job)
    assert kept
    assert kept.rejection() is None
    assert kept.error() is None
    with kept.features() as source:
        assert source
        assert source.stream.read().strip() == f"[{ROW}]".encode()
    assert len(kept.sha256()) == 64
    for _ in range(2):
        await bench.runtime.discard(job.run)
        assert bench.runtime.outputs(job) is None


async def test_a_rejection_and_an_exit_code_are_facts_and_no_failures_of_the_engine(bench: Bench) -> None:
    rejected = await bench.runtime.run(await bench.job("rejects"), Remembering())
    assert rejected.outputs
    assert (rejected.failure, rejected.outputs.rejection()) == (None, "too coarse")
    failed = await bench.runtime.run(await bench.job("fails"), Remembering())
    assert (failed.failure, failed.exit_code) == (None, 3)
    assert failed.outputs
    assert failed.outputs.rejection() is None


async def test_a_hook_that_is_cancelled_is_gone_before_the_cancellation_goes_on(bench: Bench) -> None:
    observer = Remembering()
    running = asyncio.create_task(bench.runtime.run(await bench.job("waits"), observer))
    await observer.until(lambda seen: len(seen.progress) == 1)
    assert await bench.containers() == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await bench.containers() == 0
    assert observer.end is None


async def test_what_an_observer_raises_comes_out_when_the_hook_is_gone(bench: Bench) -> None:
    class Lost(Remembering):
        async def started(self, provenance: Provenance) -> None:
            raise LookupError(provenance.image)

    with pytest.raises(LookupError):
        await bench.runtime.run(await bench.job("waits"), Lost())
    assert await bench.containers() == 0


async def test_a_hook_that_somebody_else_has_now_is_left_as_it_is_and_adopted_by_the_next_server(
    bench: Bench,
) -> None:
    job = await bench.job("waits")
    before = await left_running(bench, job)
    assert await bench.containers() == 1
    after = Remembering()
    next_server = await bench.restarted()
    going_on = asyncio.create_task(next_server.run(gone_on_with(job, before), after))
    await after.until(lambda seen: len(seen.progress) == 1)
    bench.release(job)
    end = await going_on
    assert (end.failure, end.exit_code) == (None, 0)
    assert after.started_with == before.started_with
    assert statuses(after.progress) == ["begun", "done"], "from the first on"
    assert bytes(before.log + after.log) == b"1234\n5678\n"
    assert after.gaps == []
    assert await bench.containers() == 0
    assert next_server.outputs(job) is not None


async def test_a_hook_that_ended_meanwhile_is_told_of_as_if_it_just_had(bench: Bench) -> None:
    job = await bench.job("waits")
    before = await left_running(bench, job)
    bench.release(job)
    after = Remembering()
    next_server = await bench.restarted()
    end = await next_server.run(gone_on_with(job, before), after)
    assert (end.failure, end.exit_code) == (None, 0)
    assert after.end == end
    assert statuses(after.progress) == ["begun", "done"]
    assert bytes(before.log + after.log) == b"1234\n5678\n"
    assert await bench.containers() == 0


async def test_a_hook_that_ran_and_is_not_there_is_a_failure_of_the_engine(bench: Bench) -> None:
    job = await bench.job("passes")
    end = await bench.runtime.run(gone_on_with(job, Remembering()), Remembering())
    assert end.failure
    assert (end.failure.kind, end.failure.retryable) == (FailureKind.ENGINE, True)
    assert end.outputs is None


async def test_a_hook_of_which_nobody_knows_whether_it_ran_is_begun(bench: Bench) -> None:
    job, observer = await bench.job("passes"), Remembering()
    end = await bench.runtime.run(gone_on_with(job, Remembering(), has_started=False), observer)
    assert (end.failure, end.exit_code) == (None, 0)
    assert observer.log == b"hello\n"


async def test_another_attempt_takes_the_place_of_one_that_was_left(bench: Bench) -> None:
    job = await bench.job("waits")
    await left_running(bench, job)
    again = replace(job, attempt=2, execution=job.execution)
    observer = Remembering()
    running = asyncio.create_task(bench.runtime.run(again, observer))
    await observer.until(lambda seen: len(seen.progress) == 1)
    assert await bench.containers() == 1
    bench.release(again)
    end = await running
    assert (end.failure, end.exit_code) == (None, 0)
    assert bench.runtime.outputs(job) is None
    assert bench.runtime.outputs(again) is not None


async def test_what_is_begun_twice_runs_once(bench: Bench) -> None:
    job, observer = await bench.job("waits"), Remembering()
    running = asyncio.create_task(bench.runtime.run(job, observer))
    await observer.until(lambda seen: len(seen.progress) == 1)
    refused = await bench.runtime.run(job, Remembering())
    assert refused.failure
    assert (refused.failure.kind, refused.failure.retryable) == (FailureKind.ENGINE, True)
    assert await bench.containers() == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_reaper_removes_what_is_not_live_and_nothing_else(bench: Bench) -> None:
    live, over = await bench.job("waits"), await bench.job("waits")
    for job in (live, over):
        await left_running(bench, job)

    async def is_live(run: RunId) -> bool:
        return run == live.run

    await bench.runtime.reap(is_live)
    assert await bench.containers() == 1
    assert bench.runtime.outputs(over) is None
    assert bench.runtime.outputs(live) is not None
    await bench.runtime.discard(live.run)
    assert await bench.containers() == 0
