"""Servers killed at one moment after another, and one that is asleep for longer than it holds its runs."""

import asyncio
import signal

import asyncpg

from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, kinds, progress, rows, until
from tests.fixtures.server_process import Serving

RUNS = 4


async def test_a_server_killed_at_any_moment_loses_no_run_and_doubles_no_row(serving: Serving) -> None:
    names: list[str] = []
    convention = ""
    for moment in ("run_started", "hook_started", "hook_finished"):
        server = await serving.start()
        async with serving.archive(server) as archive:
            if not names:
                convention = await archive.convention(archive.hook("first"), archive.hook("check"))
                scripts = {"first": progress("begun") + rows('{"score": 0}'), "check": rows('{"score": 1}')}
                names = [await archive.start(convention, **scripts) for _ in range(RUNS)]
            unfinished = [name for name in names if not await is_over(archive, name)]
            if unfinished:
                token = (await archive.client.get_run_and_token(unfinished[-1]))[1]
                async for event in archive.client.watch_run(unfinished[-1], resume_token=token):
                    if event.WhichOneof("kind") in (moment, "run_finished"):
                        break
            await server.signalled(signal.SIGKILL)

    server = await serving.start()
    async with serving.archive(server) as archive:
        for name in names:
            run = await archive.end_of(name)
            assert run.state == pb.RUN_STATE_COMPLETED, run.failure
            history = await archive.history(name)
            assert [event.sequence for event in history] == list(range(1, len(history) + 1))
            assert kinds(history).count("run_finished") == 1
            assert kinds(history).count("record_published") == 1
        for hook in ("first", "check"):
            found = [row async for row in archive.client.query(f"featureTables/{hook}", page_size=1)]
            assert len(found) == RUNS
            assert len({row["record_srn"] for row in found}) == RUNS
        assert len([record async for record in archive.client.list_records()]) == RUNS
        await until(lambda: nothing_is_left(serving))
        assert not any((serving.data_directory / "work").iterdir())


async def is_over(archive: Archive, run: str) -> bool:
    return (await archive.client.get_run(run)).HasField("end_time")


async def nothing_is_left(serving: Serving) -> bool:
    return await serving.containers() == []


async def test_a_server_that_slept_longer_than_its_leases_goes_on(
    serving: Serving, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    server = await serving.start()
    async with serving.archive(server) as archive:
        run = await archive.start(await archive.convention(), check=WAIT + rows('{"score": 1}'))
        await archive.until(run, "hook_started")
        server.process.send_signal(signal.SIGSTOP)

        async def overdue() -> bool:
            return bool(
                await connection.fetchval(
                    "SELECT leased_until < clock_timestamp() FROM osa.run WHERE id = $1",
                    run.removeprefix("runs/"),
                )
            )

        await until(overdue)
        server.process.send_signal(signal.SIGCONT)

        archive.go(run)
        over = await archive.end_of(run)
        assert over.state == pb.RUN_STATE_COMPLETED, over.failure
        assert over.executions[0].attempt == 1
        assert kinds(await archive.history(run)).count("hook_started") == 1
        assert len([row async for row in archive.client.query("featureTables/check")]) == 1
        assert kinds(await archive.history(run)).count("run_finished") == 1
    assert await server.signalled(signal.SIGTERM) == 0


async def test_many_runs_at_once_all_come_to_their_ends(serving: Serving) -> None:
    server = await serving.start("--max-running-hooks=2")
    async with serving.archive(server) as archive:
        convention = await archive.convention()
        started = [await archive.start(convention, check=rows(f'{{"score": {i}}}')) for i in range(12)]
        over = await asyncio.gather(*(archive.end_of(name) for name in started))
        assert {run.state for run in over} == {pb.RUN_STATE_COMPLETED}
        found = [row["score"] async for row in archive.client.query("featureTables/check", order_by="score")]
        assert found == list(range(12))
