"""Servers that are stopped, cut and killed while hooks run: nothing is lost, doubled or left behind."""

import asyncio
import os
import signal

import grpc
import pytest

from osa_grpc.client.channel import Stubs
from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, kinds, progress, read_to_error, refusal, rows, until
from tests.fixtures.server_process import Serving

HOOK = progress("begun") + WAIT + rows('{"score": 1}')


async def completed_once(archive: Archive, run: str, *, attempts: int) -> None:
    """Whatever happened on the way: the run is complete, its history gapless, its rows there once."""
    over = await archive.end_of(run)
    assert over.state == pb.RUN_STATE_COMPLETED, over.failure
    history = await archive.history(run)
    assert [event.sequence for event in history] == list(range(1, len(history) + 1))
    assert kinds(history).count("run_finished") == 1
    assert kinds(history).count("record_published") == 1
    retried = [event.hook_retrying for event in history if event.WhichOneof("kind") == "hook_retrying"]
    assert [one.attempt for one in retried] == list(range(2, attempts + 1))
    assert over.executions[0].attempt == attempts
    assert len([row async for row in archive.client.query("featureTables/check")]) == 1
    assert len([record async for record in archive.client.list_records()]) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_that_is_stopped_tells_watchers_leaves_no_container_and_goes_on_later(
    serving: Serving, number: signal.Signals
) -> None:
    server = await serving.start()
    async with serving.archive(server) as archive:
        run = await archive.start(await archive.convention(), check="trap '' TERM\n" + HOOK)
        await archive.until(run, "hook_progress")
        async with grpc.aio.insecure_channel(server.address) as channel:
            call = Stubs(channel).runs.WatchRun(pb.WatchRunRequest(name=run))
            first = await call.read()
            assert first.events
            stopping = asyncio.create_task(server.signalled(number))
            rest, error = await read_to_error(call)
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
    last = rest[-1]
    assert last.closing.reason == pb.CLOSING_REASON_SERVER_DRAINING
    assert last.closing.HasField("retry_delay")
    assert await stopping == 0
    assert "Traceback" not in serving.said()
    assert await serving.containers() == []

    server = await serving.start("--max-attempts=1")  # to be stopped is no failure of the hook's
    async with serving.archive(server) as archive, grpc.aio.insecure_channel(server.address) as channel:
        await archive.until(run, "hook_retrying")
        request = pb.WatchRunRequest(name=run, resume_token=last.resume_token)
        call = Stubs(channel).runs.WatchRun(request)
        rest = await call.read()
        assert rest.events[0].hook_retrying.cause.kind == pb.FAILURE_KIND_INTERNAL
        assert rest.events[0].hook_retrying.cause.message == "the server stopped"
        await until(lambda: two_started(archive, run))
        archive.go(run)
        await completed_once(archive, run, attempts=2)
    assert await server.signalled(number) == 0


async def two_started(archive: Archive, run: str) -> bool:
    return kinds(await archive.history(run)).count("hook_started") == 2


async def test_a_server_that_keeps_its_hooks_leaves_them_to_the_next(serving: Serving) -> None:
    server = await serving.start("--keep-hooks-on-stop")
    async with serving.archive(server) as archive:
        run = await archive.start(await archive.convention(), check=HOOK)
        await archive.until(run, "hook_progress")
        [kept] = await serving.containers()
    assert await server.signalled(signal.SIGTERM) == 0
    assert await serving.containers() == [kept]

    server = await serving.start()
    async with serving.archive(server) as archive:
        [execution] = (await archive.client.get_run(run)).executions
        assert execution.state == pb.HOOK_EXECUTION_STATE_RUNNING
        archive.go(run)
        await completed_once(archive, run, attempts=1)
        assert kinds(await archive.history(run)).count("hook_started") == 1


async def test_a_server_that_is_killed_leaves_its_hook_to_the_next(
    embedded_serving: Serving,
) -> None:
    server = await embedded_serving.start()
    async with embedded_serving.archive(server) as archive:
        run = await archive.start(await archive.convention(), check=HOOK)
        await archive.until(run, "hook_progress")
        [container] = await embedded_serving.containers()
        watch = asyncio.create_task(anext_error(server.address, run))
        await server.signalled(signal.SIGKILL)
        await watch
    assert await embedded_serving.containers() == [container]

    server = await embedded_serving.start()
    async with embedded_serving.archive(server) as archive:
        archive.go(run)
        await completed_once(archive, run, attempts=1)
        assert kinds(await archive.history(run)).count("hook_started") == 1
    await until(lambda: none(embedded_serving))


async def none(serving: Serving) -> bool:
    return await serving.containers() == []


async def anext_error(address: str, run: str) -> None:
    """Watch until the connection breaks, which is no honest end."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = Stubs(channel).runs.WatchRun(pb.WatchRunRequest(name=run))

        async def read() -> None:
            while await call.read() is not grpc.aio.EOF:
                pass
            assert await call.code() is grpc.StatusCode.OK

        error = await refusal(read())
        assert error.code is grpc.StatusCode.UNAVAILABLE


async def test_a_clients_watch_lives_through_a_restart_on_the_same_port(serving: Serving) -> None:
    server = await serving.start()
    async with serving.archive(server) as archive:
        run = await archive.start(await archive.convention(), check=HOOK)
        await archive.until(run, "hook_progress")
        watch = archive.client.watch_run(run)
        heard = [await anext(watch)]

        async def rest() -> list[pb.RunEvent]:
            return [event async for event in watch]

        whole = asyncio.create_task(rest())
        assert await server.signalled(signal.SIGTERM) == 0
        next_server = await serving.start("--listen", server.address)
        async with serving.archive(next_server) as later:
            await until(lambda: two_started(later, run))
            later.go(run)
            heard += await whole
            assert heard == await later.history(run)
            await completed_once(later, run, attempts=2)


async def test_a_server_killed_while_it_delivers_makes_the_tables_later_once(serving: Serving) -> None:
    server = await serving.start()
    async with serving.archive(server) as archive:
        made = await archive.client.register_convention(
            "shapes", pb.Convention(title="Shapes", version="1.0.0", hooks=[archive.hook()])
        )
        await server.signalled(signal.SIGKILL)
    server = await serving.start()
    async with serving.archive(server) as archive:
        ready = await archive.client.wait_until_ready(made.name)
        assert ready.state == pb.CONVENTION_STATE_READY
        assert [table.name async for table in archive.client.list_feature_tables()] == ["featureTables/check"]


async def test_the_end_of_the_embedded_postgres_ends_the_server_with_a_clear_word(
    embedded_serving: Serving,
) -> None:
    server = await embedded_serving.start()
    async with embedded_serving.archive(server) as archive:
        run = await archive.start(await archive.convention(), check=HOOK)
        await archive.until(run, "hook_progress")
        pid_file = embedded_serving.data_directory / "postgres" / "cluster" / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
        assert await server.over() not in (0, -signal.SIGKILL)
    assert "osa-grpc ended: The embedded Postgres ended by signal SIGKILL" in embedded_serving.said()

    server = await embedded_serving.start()
    async with embedded_serving.archive(server) as archive:
        await until(lambda: two_started(archive, run))
        archive.go(run)
        await completed_once(archive, run, attempts=2)


async def test_a_server_that_is_stopped_twice_in_a_row_stops(serving: Serving) -> None:
    server = await serving.start()
    server.process.send_signal(signal.SIGINT)
    assert await server.signalled(signal.SIGINT) in (0, -signal.SIGINT, 130)
