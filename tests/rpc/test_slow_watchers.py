"""A watcher that does not read costs the server a cursor, not memory, and is let go."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest

from osa_grpc.application.watching import RunWatching
from osa_grpc.client.channel import Stubs
from osa_grpc.server import app
from osa_grpc.server.app import Started
from osa_grpc.server.settings import Settings
from osa_grpc.storage.run_store import PostgresRunStore
from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, refusal, until

EVENTS = 20_000
MESSAGE_BYTES = 4_000


@pytest.fixture
def server_settings(server_settings: Settings) -> Settings:
    return server_settings.model_copy(update={"slow_consumer_seconds": 1})


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> list[RunWatching]:
    """What the server watches with; ask for it before the server."""
    made: list[RunWatching] = []

    def make(**parts: Any) -> RunWatching:
        made.append(RunWatching(**parts))
        return made[-1]

    monkeypatch.setattr(app, "RunWatching", make)
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each read of a history gave."""
    counts: list[int] = []
    events_after = PostgresRunStore.events_after

    async def counting(self: PostgresRunStore, *args: Any, **parts: Any) -> Any:
        history = await events_after(self, *args, **parts)
        counts.append(len(history.events) if history else 0)
        return history

    monkeypatch.setattr(PostgresRunStore, "events_after", counting)
    return counts


@pytest.fixture
async def long_run(
    watching: list[RunWatching],
    read: list[int],
    archive: Archive,
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> AsyncIterator[str]:
    """A run that runs, and has a history of 80 MB."""
    run = await archive.start(await archive.convention(), check=WAIT)
    await archive.until(run, "hook_started")
    async with connection.transaction():
        run_id = run.removeprefix("runs/")
        await connection.execute("SELECT FROM osa.run WHERE id = $1 FOR UPDATE", run_id)
        await connection.execute(
            """
            INSERT INTO osa.run_event (run_id, sequence, occurred_at, kind, body)
            SELECT r.id, r.last_sequence + i, now(), 'hook_progress', jsonb_build_object(
                'kind', 'hook_progress', 'hook', 'check', 'attempt', 1,
                'progress', jsonb_build_object('message', repeat('x', $3)))
            FROM osa.run AS r, generate_series(1, $2) AS i WHERE r.id = $1
            """,
            run_id,
            EVENTS,
            MESSAGE_BYTES,
        )
        await connection.execute(
            "UPDATE osa.run SET last_sequence = last_sequence + $2 WHERE id = $1", run_id, EVENTS
        )
    await until(lambda: watching[0].watched_runs == 0)
    read.clear()
    yield run
    archive.go(run)
    await archive.end_of(run)


async def test_a_watcher_that_takes_nothing_is_read_for_a_little_and_let_go(
    watching: list[RunWatching], read: list[int], long_run: str, server: Started
) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = Stubs(channel).runs.WatchRun(pb.WatchRunRequest(name=long_run))
        heard = [await call.read()]
        await until(lambda: watching[0].watched_runs == 0)
        assert sum(read) < EVENTS / 4  # what the connection's windows hold, and not the history

        async def read_on() -> None:
            while (answer := await call.read()) is not grpc.aio.EOF:
                heard.append(answer)

        error = await refusal(read_on())
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SLOW_CONSUMER")
        sequences = [event.sequence for answer in heard for event in answer.events]
        assert sequences == list(range(1, len(sequences) + 1))
        request = pb.WatchRunRequest(name=long_run, resume_token=heard[-1].resume_token, until_now=True)
        rest = [answer async for answer in Stubs(channel).runs.WatchRun(request)]
        sequences += [event.sequence for answer in rest for event in answer.events]
        assert sequences == list(range(1, EVENTS + 3))


async def test_a_slow_watcher_holds_up_no_other_on_its_own_connection(
    long_run: str, server: Started, archive: Archive
) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        slow = Stubs(channel).runs.WatchRun(pb.WatchRunRequest(name=long_run))
        await slow.read()
        async with asyncio.timeout(15):
            request = pb.WatchRunRequest(name=long_run, until_now=True)
            heard = [answer async for answer in Stubs(channel).runs.WatchRun(request)]
        assert sum(len(answer.events) for answer in heard) == EVENTS + 2
        slow.cancel()
