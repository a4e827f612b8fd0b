"""Hooks that are tried again: why, when, with how much memory, and that nothing else has to wait for them."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from osa_grpc.client import Client
from osa_grpc.runtimes import docker_engine
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.server.app import running
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.archive import QUICK, WAIT, Archive, kinds, progress, rows, until
from tests.fixtures.engine_proxy import EngineProxy, engine_proxy
from tests.fixtures.registry import Registry

FINE = rows('{"score": 1}')
LONG = {"retry_delay_seconds": 300.0, "max_retry_delay_seconds": 300.0}


@asynccontextmanager
async def served(settings: Settings, image_id: str) -> AsyncIterator[Archive]:
    """A server of the test's own, to be used."""
    async with running(settings) as (started, _), Client(started.address, backoff=QUICK) as client:
        yield Archive(client=client, data_directory=settings.data_directory, image_id=image_id)


@pytest.fixture
async def away(tmp_path: Path, docker_host: str) -> AsyncIterator[EngineProxy]:
    """An engine that is not there until somebody opens it."""
    async with engine_proxy(tmp_path, docker_host) as proxy:
        await proxy.cut()
        yield proxy


@pytest.fixture
def without_engine(server_settings: Settings, away: EngineProxy) -> Settings:
    """The settings of a server whose engine is away."""
    return server_settings.model_copy(update={"docker_host": away.docker_host})


async def retries(archive: Archive, run: str) -> list[pb.HookRetrying]:
    """What a run's history says about attempts to come."""
    return [
        event.hook_retrying
        for event in await archive.history(run)
        if event.WhichOneof("kind") == "hook_retrying"
    ]


async def waiting_for_retry(archive: Archive, run: str) -> pb.Waiting:
    """What a run's hook waits for, as soon as it waits for its next attempt."""

    async def waits() -> pb.Waiting | None:
        [execution] = (await archive.client.get_run(run)).executions
        is_so = execution.waiting.reason == pb.WAITING_REASON_RETRY
        return execution.waiting if is_so else None

    found = await until(waits)
    assert isinstance(found, pb.Waiting)
    return found


async def containers(settings: Settings, docker_host: str) -> list[str]:
    server = (settings.data_directory / "server-id").read_text().strip()
    async with DockerEngine(docker_host=docker_host) as engine:
        return [one.id for one in await engine.find({"org.opensciencearchive.server": server})]


async def test_a_hook_that_runs_out_of_time_gets_a_second_chance_at_once(archive: Archive) -> None:
    convention = await archive.convention(archive.hook(timeout_seconds=2))
    run = await archive.start(convention, check=progress("begun") + WAIT + FINE)
    retrying = (await archive.until(run, "hook_retrying")).hook_retrying
    assert (retrying.attempt, retrying.cause.kind) == (2, pb.FAILURE_KIND_TIMEOUT)
    assert retrying.retry_delay.ToTimedelta().total_seconds() == 0
    assert not retrying.memory

    async def second_runs() -> bool:
        return kinds(await archive.history(run)).count("hook_progress") == 2

    await until(second_runs)
    archive.go(run)
    over = await archive.end_of(run)
    assert over.state == pb.RUN_STATE_COMPLETED, over.failure
    [execution] = over.executions
    assert (execution.attempt, execution.verdict) == (2, pb.VERDICT_PASSED)
    assert kinds(await archive.history(run)) == [
        *("run_started", "hook_started", "hook_progress", "hook_retrying"),
        *("hook_started", "hook_progress", "hook_finished", "record_published", "run_finished"),
    ]
    assert len([row async for row in archive.client.query("featureTables/check")]) == 1


async def test_a_hook_that_runs_out_of_time_twice_has_failed(archive: Archive) -> None:
    over = await archive.finish(
        await archive.convention(archive.hook(timeout_seconds=1)), check="echo begun; sleep 60\n"
    )
    assert (over.state, over.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_TIMEOUT)
    assert over.failure.message.endswith("; given up after 2 attempts")
    assert kinds(await archive.history(over.name)).count("hook_started") == 2
    for attempt in (1, 2):
        log = archive.client.read_run_log(f"{over.name}/executions/check", attempt=attempt)
        assert [piece.text async for piece in log] == ["begun\n"], "every attempt keeps its log"


async def test_a_hook_that_needs_more_memory_gets_it_and_provenance_tells_how_much(archive: Archive) -> None:
    convention = await archive.convention(archive.hook(memory="8m"))
    over = await archive.finish(
        convention, check="head -c 16000000 /dev/zero | tail -n 1 > /osa/out/last || exit 1\n" + FINE
    )
    assert over.state == pb.RUN_STATE_COMPLETED, over.failure
    told = await retries(archive, over.name)
    assert told
    assert {one.cause.kind for one in told} == {pb.FAILURE_KIND_OOM}
    assert [one.memory for one in told] == ["16m", "32m", "64m"][: len(told)]
    [execution] = over.executions
    assert execution.provenance.oci.limits.memory == told[-1].memory
    [hook] = (await archive.client.get_convention(convention)).hooks
    assert hook.oci.limits.memory == "8m", "the definition is as it was"


async def test_memory_is_doubled_up_to_the_ceiling_and_no_further(archive: Archive) -> None:
    over = await archive.finish(
        await archive.convention(archive.hook(memory="48m")), check="tail /dev/zero\n"
    )
    assert (over.state, over.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_OOM)
    assert [one.memory for one in await retries(archive, over.name)] == ["64m"]
    assert over.failure.message.endswith("64m of memory it may use; given up after 2 attempts")
    assert over.executions[0].provenance.oci.limits.memory == "64m"


async def test_what_the_hook_itself_did_is_final_also_if_it_says_otherwise(archive: Archive) -> None:
    errors = """echo '{"id": "'$(basename /osa/files/*)'", "error": "no model", "retryable": true}' > /osa/out/errors.jsonl\n"""
    over = await archive.finish(await archive.convention(), check=errors)
    assert (over.state, over.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_HOOK_EXIT)
    assert over.failure.retryable
    assert await retries(archive, over.name) == []


async def test_an_image_whose_registry_is_down_is_pulled_when_it_is_up_again(
    server_settings: Settings, obedient_image: str, registry: Registry, offered: str
) -> None:
    settings = server_settings.model_copy(
        update={"retry_delay_seconds": 1.0, "max_retry_delay_seconds": 1.0, "max_attempts": 10}
    )
    await registry.kill()
    async with served(settings, obedient_image) as archive:
        hook = archive.hook(digest=offered)
        hook.oci.image = registry.name()
        run = await archive.start(await archive.convention(hook), check="")
        await archive.until(run, "hook_retrying")
        await registry.start()
        over = await archive.end_of(run)
        assert over.state == pb.RUN_STATE_COMPLETED, over.failure
        told = await retries(archive, run)
        assert {one.cause.kind for one in told} == {pb.FAILURE_KIND_IMAGE_PULL}
        assert all(one.cause.retryable for one in told)
        assert all(0.7 <= one.retry_delay.ToTimedelta().total_seconds() <= 1.3 for one in told)
        assert over.executions[0].attempt == len(told) + 1
        assert kinds(await archive.history(run)).count("hook_started") == 1


async def test_an_image_that_no_registry_has_is_not_waited_for(archive: Archive, registry: Registry) -> None:
    hook = archive.hook(digest="sha256:" + 64 * "5")
    hook.oci.image = registry.name()
    over = await archive.finish(await archive.convention(hook), check="")
    assert (over.state, over.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_IMAGE_PULL)
    assert await retries(archive, over.name) == []


async def test_an_engine_that_stays_away_is_given_up_and_the_run_says_so(
    without_engine: Settings, obedient_image: str
) -> None:
    async with served(without_engine, obedient_image) as archive:
        over = await archive.finish(await archive.convention(), check=FINE)
    assert (over.state, over.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_ENGINE)
    assert over.failure.retryable
    assert over.failure.message.endswith("; given up after 3 attempts")


async def test_an_engine_that_goes_away_under_a_hook_and_comes_back_runs_it_again(
    monkeypatch: pytest.MonkeyPatch,
    without_engine: Settings,
    away: EngineProxy,
    obedient_image: str,
    docker_host: str,
) -> None:
    monkeypatch.setattr(docker_engine, "_BACK_WITHIN_SECONDS", 0.1)  # it gives up sooner
    settings = without_engine.model_copy(update={"retry_delay_seconds": 2.0, "max_retry_delay_seconds": 2.0})
    await away.open()
    async with served(settings, obedient_image) as archive:
        run = await archive.start(await archive.convention(), check=progress("begun") + WAIT + FINE)
        await archive.until(run, "hook_progress")
        [first] = await containers(settings, docker_host)
        await away.cut()
        retrying = (await archive.until(run, "hook_retrying")).hook_retrying
        assert (retrying.attempt, retrying.cause.kind) == (2, pb.FAILURE_KIND_ENGINE)
        await away.open()

        async def second_runs() -> bool:
            return kinds(await archive.history(run)).count("hook_progress") == 2

        await until(second_runs)
        [second] = await containers(settings, docker_host)
        assert second != first
        archive.go(run)
        over = await archive.end_of(run)
        assert over.state == pb.RUN_STATE_COMPLETED, over.failure
        assert over.executions[0].attempt == 2
    assert await containers(settings, docker_host) == []


async def test_a_wait_goes_on_through_a_restart(
    without_engine: Settings, away: EngineProxy, obedient_image: str
) -> None:
    settings = without_engine.model_copy(update={"retry_delay_seconds": 5.0, "max_retry_delay_seconds": 5.0})
    async with served(settings, obedient_image) as archive:
        run = await archive.start(await archive.convention(), check=FINE)
        waiting = await waiting_for_retry(archive, run)
        [retrying] = await retries(archive, run)
    await away.open()
    async with served(settings, obedient_image) as archive:
        assert await waiting_for_retry(archive, run) == waiting
        over = await archive.end_of(run)
        assert over.state == pb.RUN_STATE_COMPLETED, over.failure
        assert await retries(archive, run) == [retrying], "the restart was none of the attempts"
        [started] = [e for e in await archive.history(run) if e.WhichOneof("kind") == "hook_started"]
        assert started.hook_started.attempt == 2
        assert started.event_time.ToDatetime() >= waiting.until_time.ToDatetime()


async def test_a_run_that_waits_for_its_next_attempt_can_be_cancelled_there(
    without_engine: Settings, obedient_image: str
) -> None:
    async with served(without_engine.model_copy(update=LONG), obedient_image) as archive:
        run = await archive.start(await archive.convention(), check=FINE)
        await waiting_for_retry(archive, run)
        assert (await archive.client.cancel_run(run)).state == pb.RUN_STATE_CANCELLING
        async with asyncio.timeout(10):
            over = await archive.end_of(run)
        assert over.state == pb.RUN_STATE_CANCELLED
        assert over.executions[0].state == pb.HOOK_EXECUTION_STATE_CANCELLED
        assert not over.executions[0].HasField("waiting")


async def test_runs_that_wait_for_their_next_attempts_keep_nobody_else_waiting(
    server_settings: Settings, obedient_image: str, registry: Registry, offered: str
) -> None:
    await registry.kill()
    settings = server_settings.model_copy(update={"max_running_hooks": 1, **LONG})
    async with served(settings, obedient_image) as archive:
        hook = archive.hook(digest=offered)
        hook.oci.image = registry.name()
        down = await archive.convention(hook, id="down")
        waiting = [await archive.start(down, check="") for _ in range(8)]
        fine = await archive.start(await archive.convention(archive.hook("other")), other=FINE)
        for run in waiting:
            await waiting_for_retry(archive, run)
        assert (await archive.end_of(fine)).state == pb.RUN_STATE_COMPLETED
        for run in waiting:
            await archive.client.cancel_run(run)


async def test_a_hook_whose_outputs_are_gone_before_publication_is_run_again(
    server_settings: Settings, obedient_image: str
) -> None:
    async with served(server_settings, obedient_image) as archive:
        convention = await archive.convention(archive.hook("first"), archive.hook("check"))
        run = await archive.start(convention, first=rows('{"score": 5}'), check=progress("begun") + WAIT)
        await archive.until(run, "hook_progress")
    for outputs in (server_settings.data_directory / "work").glob("*/*/out"):
        shutil.rmtree(outputs.parent)
    async with served(server_settings, obedient_image) as archive:

        async def second_runs() -> bool:
            return kinds(await archive.history(run)).count("hook_progress") == 2

        await until(second_runs)
        archive.go(run)
        over = await archive.end_of(run)
        assert over.state == pb.RUN_STATE_COMPLETED, over.failure
        told = {one.hook: one for one in await retries(archive, run)}
        assert "what a hook wrote is gone" in told["first"].cause.message
        assert told["check"].cause.message == "the server stopped"
        assert {one.cause.kind for one in told.values()} == {pb.FAILURE_KIND_INTERNAL}
        assert [execution.attempt for execution in over.executions] == [2, 2]
        assert [row["score"] async for row in archive.client.query("featureTables/first")] == [5]


@pytest.mark.parametrize("taken_by", ["nobody", "another"])
async def test_a_run_whose_lease_has_run_out_goes_on_with_its_container(
    taken_by: str,
    archive: Archive,
    server_settings: Settings,
    docker_host: str,
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    run = await archive.start(await archive.convention(), check=progress("begun") + WAIT + FINE)
    await archive.until(run, "hook_progress")
    before = await containers(server_settings, docker_host)
    by = {"nobody": "epoch = epoch", "another": "epoch = epoch + 1, leased_by = 'another'"}[taken_by]
    epoch = await connection.fetchval(
        f"UPDATE osa.run SET leased_until = clock_timestamp() - interval '1 s', {by} RETURNING epoch"
    )

    async def claimed() -> bool:
        return bool(await connection.fetchval("SELECT epoch > $1 FROM osa.run", epoch))

    await until(claimed)
    assert await containers(server_settings, docker_host) == before
    archive.go(run)
    over = await archive.end_of(run)
    assert over.state == pb.RUN_STATE_COMPLETED, over.failure
    assert over.executions[0].attempt == 1
    assert kinds(await archive.history(run)) == [
        *("run_started", "hook_started", "hook_progress", "hook_finished"),
        *("record_published", "run_finished"),
    ]
