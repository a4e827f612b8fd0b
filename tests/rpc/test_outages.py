"""What a server stands on goes away in the middle of everything, and comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from osa_grpc.client import Client
from osa_grpc.client.channel import Stubs
from osa_grpc.runtimes import docker_engine
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.server.app import running
from osa_grpc.server.health_watch import CONTAINER_ENGINE
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.archive import QUICK, WAIT, Archive, kinds, progress, refusal, rows, until
from tests.fixtures.engine_proxy import engine_proxy
from tests.fixtures.postgres import PostgresServer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class Served:
    archive: Archive
    stubs: Stubs
    health: health_pb2_grpc.HealthStub

    async def until_health(self, service: str, status: int) -> None:
        async def is_so() -> bool:
            answer = await self.health.Check(health_pb2.HealthCheckRequest(service=service))
            return bool(answer.status == status)

        await until(is_so)


@asynccontextmanager
async def served(settings: Settings, image_id: str) -> AsyncIterator[Served]:
    async with (
        running(settings) as (started, _),
        Client(started.address, backoff=QUICK) as client,
        grpc.aio.insecure_channel(started.address) as channel,
    ):
        archive = Archive(client=client, data_directory=settings.data_directory, image_id=image_id)
        yield Served(archive, Stubs(channel), health_pb2_grpc.HealthStub(channel))


@pytest.mark.parametrize("end", [PostgresServer.stop, PostgresServer.kill])
async def test_a_restart_of_postgres_in_the_middle_of_a_hook_is_a_pause(
    end: Callable[[PostgresServer], None],
    postgres_server: PostgresServer,
    server_settings: Settings,
    obedient_image: str,
) -> None:
    settings = server_settings.model_copy(update={"database_url": postgres_server.dsn})
    async with served(settings, obedient_image) as there:
        archive = there.archive
        convention = await archive.convention()
        script = progress("begun") + WAIT + progress("one", "two") + rows('{"score": 1}')
        run = await archive.start(convention, check=script)
        await archive.until(run, "hook_progress")
        watch = archive.client.watch_run(run)
        await anext(watch)

        async def finished() -> pb.Run:
            async for _ in watch:
                pass
            return await archive.client.get_run(run)

        over_later = asyncio.create_task(finished())
        call = there.stubs.runs.WatchRun(pb.WatchRunRequest(name=run))
        heard = [await call.read()]

        await asyncio.to_thread(end, postgres_server)
        error = await refusal(there.stubs.runs.GetRun(pb.GetRunRequest(name=run)))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        await there.until_health("opensciencearchive.v1.RunService", NOT_SERVING)
        archive.go(run)  # the hook ends while nobody can write that down
        await asyncio.to_thread(postgres_server.start)

        over = await over_later
        assert over.state == pb.RUN_STATE_COMPLETED
        assert over.executions[0].attempt == 1
        while (answer := await call.read()) is not grpc.aio.EOF:
            heard.append(answer)
        assert await call.code() is grpc.StatusCode.OK
        events = [event for answer in heard for event in answer.events]
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert kinds(events).count("hook_progress") == 3
        assert len([row async for row in archive.client.query("featureTables/check")]) == 1
        await there.until_health("opensciencearchive.v1.RunService", SERVING)
        await there.until_health("", SERVING)
        # Everything works on: deliveries, workers, bells.
        await archive.convention(version="2.0.0")
        assert (await archive.finish(convention, check="")).state == pb.RUN_STATE_COMPLETED


async def test_without_an_engine_everything_else_is_served_and_runs_say_why_they_fail(
    server_settings: Settings, obedient_image: str, docker_host: str, tmp_path: Path
) -> None:
    settings = server_settings.model_copy(update={"docker_host": f"unix://{tmp_path}/engine.sock"})
    async with served(settings, obedient_image) as there:
        archive = there.archive
        await there.until_health(CONTAINER_ENGINE, NOT_SERVING)
        await there.until_health("", SERVING)
        assert not (await archive.client.server_info()).engine.reachable
        convention = await archive.convention()
        draft = await archive.draft(convention, scripts={"check": rows('{"score": 1}')})
        failed = await archive.end_of((await archive.client.submit_deposition(draft)).name)
        assert (failed.state, failed.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_ENGINE)
        assert failed.failure.retryable
        async with engine_proxy(tmp_path, docker_host):
            await there.until_health(CONTAINER_ENGINE, SERVING)
            run = await archive.end_of((await archive.client.submit_deposition(draft)).name)
            assert run.state == pb.RUN_STATE_COMPLETED


async def containers(settings: Settings, docker_host: str) -> int:
    server = (settings.data_directory / "server-id").read_text().strip()
    async with DockerEngine(docker_host=docker_host) as engine:
        return len(await engine.find({"org.opensciencearchive.server": server}))


async def test_an_engine_that_goes_away_under_a_hook_fails_the_run_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    server_settings: Settings,
    obedient_image: str,
    docker_host: str,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(docker_engine, "_BACK_WITHIN_SECONDS", 0.1)  # it gives up sooner
    async with engine_proxy(tmp_path, docker_host) as proxy:
        settings = server_settings.model_copy(update={"docker_host": proxy.docker_host})
        async with served(settings, obedient_image) as there:
            archive = there.archive
            convention = await archive.convention()
            run = await archive.start(convention, check=WAIT)
            await archive.until(run, "hook_started")
            await proxy.cut()
            over = await archive.end_of(run)
            assert (over.state, over.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_ENGINE)
            await there.until_health(CONTAINER_ENGINE, NOT_SERVING)
            assert [one.name async for one in archive.client.list_runs()] == [run]
            assert await containers(server_settings, docker_host) == 1
            await proxy.open()
            await there.until_health(CONTAINER_ENGINE, SERVING)

            async def nothing_is_left() -> bool:
                return await containers(server_settings, docker_host) == 0

            await until(nothing_is_left)
            assert (await archive.finish(convention, check="")).state == pb.RUN_STATE_COMPLETED
