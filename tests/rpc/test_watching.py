"""The promises of a watch: ordered, unique, reliable, resumable, bookmarkable, and an honest end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import grpc
import pytest

from osa_grpc.application.watching import RunWatching
from osa_grpc.client import Client
from osa_grpc.client.channel import Stubs
from osa_grpc.domain.names import RunId
from osa_grpc.server import app
from osa_grpc.server.app import Started, running
from osa_grpc.server.settings import Settings
from osa_grpc.storage.run_store import PostgresRunStore
from osa_grpc.wire import pb
from osa_grpc.wire.tokens import resume_token
from tests.fixtures.archive import WAIT, Archive, kinds, progress, read_to_error, refusal, until

Connection = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def stubs(server: Started) -> AsyncIterator[Stubs]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield Stubs(channel)


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> list[RunWatching]:
    """What the server watches with; ask for it before the server."""
    made: list[RunWatching] = []

    def make(**parts: Any) -> RunWatching:
        made.append(RunWatching(**parts))
        return made[-1]

    monkeypatch.setattr(app, "RunWatching", make)
    return made


async def rest_of(call: Any) -> list[pb.WatchRunResponse]:
    """What a call that was read from sends until its end."""
    answers = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


async def watched(stubs: Stubs, run: str, **parts: Any) -> list[pb.WatchRunResponse]:
    """All that a watch sends."""
    return [answer async for answer in stubs.runs.WatchRun(pb.WatchRunRequest(name=run, **parts))]


def events(answers: list[pb.WatchRunResponse]) -> list[pb.RunEvent]:
    return [event for answer in answers for event in answer.events]


def controls(answers: list[pb.WatchRunResponse]) -> list[str]:
    return [control for answer in answers if (control := answer.WhichOneof("control")) is not None]


async def test_a_watch_replays_follows_and_ends_with_the_run(archive: Archive, stubs: Stubs) -> None:
    run = await archive.start(await archive.convention(), check=progress("one") + WAIT + progress("two"))
    await archive.until(run, "hook_progress")
    call = stubs.runs.WatchRun(pb.WatchRunRequest(name=run))
    heard = []
    while "caught_up" not in controls(heard):
        heard.append(await call.read())
    assert kinds(events(heard))[0] == "run_started"
    archive.go(run)
    heard += await rest_of(call)
    assert await call.code() is grpc.StatusCode.OK
    assert [event.sequence for event in events(heard)] == list(range(1, len(events(heard)) + 1))
    assert kinds(events(heard))[-1] == "run_finished"
    assert controls(heard) == ["caught_up"]
    assert events(await watched(stubs, run)) == events(heard)


async def test_a_token_of_any_position_gives_exactly_the_rest(archive: Archive, stubs: Stubs) -> None:
    run = await archive.start(await archive.convention(), check=WAIT + progress("one", "two", "three"))
    # Of a live watch, so that there are tokens between the events.
    call = stubs.runs.WatchRun(pb.WatchRunRequest(name=run))
    first = await call.read()
    assert first.resume_token
    begun = asyncio.create_task(rest_of(call))
    await archive.until(run, "hook_started")
    archive.go(run)
    heard = [first, *await begun]
    history = events(heard)
    tokens = {answer.resume_token: len(events(heard[: i + 1])) for i, answer in enumerate(heard)}
    assert len(tokens) > 2
    for token, seen in tokens.items():
        rest = await watched(stubs, run, resume_token=token)
        assert events(rest) == history[seen:]
    for seen in range(len(history) + 1):
        token = resume_token(RunId(run.removeprefix("runs/")), seen)
        rest = await watched(stubs, run, resume_token=token)
        assert events(rest) == history[seen:]
    assert (await watched(stubs, run, resume_token=heard[-1].resume_token))[-1].resume_token


async def test_a_watch_that_is_resumed_after_the_run_s_end_is_over_at_once_without_an_event(
    archive: Archive, stubs: Stubs
) -> None:
    run = await archive.start(await archive.convention(), check=progress("one"))
    token = (await rest_of(stubs.runs.WatchRun(pb.WatchRunRequest(name=run))))[-1].resume_token
    call = stubs.runs.WatchRun(pb.WatchRunRequest(name=run, resume_token=token))
    [answer] = await rest_of(call)
    assert answer == pb.WatchRunResponse(resume_token=token, caught_up=pb.CaughtUp())
    assert await call.code() is grpc.StatusCode.OK


async def test_the_token_of_get_run_and_of_a_submission_continue_from_that_state(
    archive: Archive, stubs: Stubs
) -> None:
    draft = await archive.draft(await archive.convention(), scripts={"check": WAIT})
    submitted = await stubs.depositions.SubmitDeposition(pb.SubmitDepositionRequest(name=draft))
    await archive.until(submitted.run.name, "hook_started")
    run, token = await archive.client.get_run_and_token(submitted.run.name)
    archive.go(run.name)
    await archive.end_of(run.name)
    history = events(await watched(stubs, run.name))
    assert events(await watched(stubs, run.name, resume_token=submitted.resume_token)) == history
    assert kinds(events(await watched(stubs, run.name, resume_token=token))) == kinds(history)[2:]


async def test_until_now_ends_at_once_and_from_now_tells_only_what_comes(
    archive: Archive, stubs: Stubs
) -> None:
    run = await archive.start(await archive.convention(), check=WAIT)
    await archive.until(run, "hook_started")
    told = await watched(stubs, run, until_now=True)
    assert (kinds(events(told)), controls(told)) == (["run_started", "hook_started"], ["caught_up"])
    assert controls(await watched(stubs, run, until_now=True, from_now=True)) == ["caught_up"]
    call = stubs.runs.WatchRun(pb.WatchRunRequest(name=run, from_now=True))
    assert (await call.read()).WhichOneof("control") == "caught_up"
    archive.go(run)
    rest = await rest_of(call)
    assert kinds(events(rest)) == ["hook_finished", "record_published", "run_finished"]


async def test_a_quiet_watch_is_sent_bookmarks_whose_tokens_continue(archive: Archive, stubs: Stubs) -> None:
    run = await archive.start(await archive.convention(), check=WAIT)
    await archive.until(run, "hook_started")
    request = pb.WatchRunRequest(name=run)
    request.bookmark_interval.FromTimedelta(timedelta(milliseconds=1))  # taken into its bounds: 1 s
    call = stubs.runs.WatchRun(request)
    heard = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    while controls(heard).count("bookmark") < 2:
        heard.append(await call.read())
    assert 1.5 < loop.time() - began < 10
    call.cancel()
    archive.go(run)
    await archive.end_of(run)
    rest = await watched(stubs, run, resume_token=heard[-1].resume_token)
    assert kinds(events(rest)) == ["hook_finished", "record_published", "run_finished"]


@pytest.mark.parametrize("token", ["other", "page", "nonsense", "é", "cut"])
async def test_a_token_of_something_else_is_refused(archive: Archive, stubs: Stubs, token: str) -> None:
    convention = await archive.convention()
    run, other = [await archive.finish(convention, check="") for _ in range(2)]
    own = (await archive.client.get_run_and_token(run.name))[1]
    listing = await stubs.runs.ListRuns(pb.ListRunsRequest(page_size=1))
    tokens = {
        "other": (await archive.client.get_run_and_token(other.name))[1],
        "page": listing.next_page_token,
        "cut": own[:-2],
    }
    error = await refusal(watched(stubs, run.name, resume_token=tokens.get(token, token)))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RESUME_TOKEN")
    assert [violation.field for violation in error.violations] == ["resume_token"]


async def test_a_watcher_that_vanishes_frees_what_it_held(
    watching: list[RunWatching], server: Started, archive: Archive
) -> None:
    run = await archive.start(await archive.convention(), check=WAIT)
    await archive.until(run, "hook_started")
    [served] = watching
    await until(lambda: served.watched_runs == 0, seconds=1)
    channels = [grpc.aio.insecure_channel(server.address) for _ in range(3)]
    for channel in channels:
        call = Stubs(channel).runs.WatchRun(pb.WatchRunRequest(name=run))
        await call.read()
    assert served.watched_runs == 1
    for channel in channels:
        await channel.close()
    await until(lambda: served.watched_runs == 0, seconds=1)
    archive.go(run)
    await archive.end_of(run)


async def test_watchers_of_one_run_share_their_reads(
    monkeypatch: pytest.MonkeyPatch, archive: Archive, stubs: Stubs
) -> None:
    reads = 0
    read = PostgresRunStore.events_after

    async def counting(self: PostgresRunStore, *args: Any, **parts: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(self, *args, **parts)

    monkeypatch.setattr(PostgresRunStore, "events_after", counting)
    run = await archive.start(await archive.convention(), check=WAIT + progress("one", "two", "three"))
    calls = [stubs.runs.WatchRun(pb.WatchRunRequest(name=run)) for _ in range(50)]
    for call in calls:
        await call.read()
    await archive.until(run, "hook_started")
    reads = 0
    archive.go(run)
    heard = await asyncio.gather(*(rest_of(call) for call in calls))
    assert all(kinds(events(one))[-1] == "run_finished" for one in heard)
    assert reads < 50


async def test_nothing_is_lost_when_the_listening_connection_is_cut_while_events_flow(
    archive: Archive, stubs: Stubs, connection: Connection
) -> None:
    script = (
        WAIT
        + "for i in $(seq 1 30); do echo '{\"status\": \"'$i'\"}' >> /osa/out/progress.jsonl; sleep 0.05; done\n"
    )
    run = await archive.start(await archive.convention(), check=script)
    await archive.until(run, "hook_started")
    call = stubs.runs.WatchRun(pb.WatchRunRequest(name=run))
    heard: list[pb.WatchRunResponse] = []
    archive.go(run)
    cut = 0
    async for answer in call:
        heard.append(answer)
        if "hook_progress" in kinds(list(answer.events)) and cut < 3:
            cut += await connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'osa-grpc doorbell'"
            )
    assert cut
    assert [event.sequence for event in events(heard)] == list(range(1, len(events(heard)) + 1))
    assert kinds(events(heard))[-1] == "run_finished"
    assert len([kind for kind in kinds(events(heard)) if kind == "hook_progress"]) == 30


async def test_an_old_watch_is_asked_to_come_again(server_settings: Settings, obedient_image: str) -> None:
    settings = server_settings.model_copy(update={"watch_max_age_seconds": 0.5})
    async with (
        running(settings) as (server, _),
        grpc.aio.insecure_channel(server.address) as channel,
        Client(server.address) as client,
    ):
        archive = Archive(client=client, data_directory=settings.data_directory, image_id=obedient_image)
        run = await archive.start(await archive.convention(), check=WAIT)
        await archive.until(run, "hook_started")
        heard, error = await read_to_error(Stubs(channel).runs.WatchRun(pb.WatchRunRequest(name=run)))
        assert heard[-1].closing.reason == pb.CLOSING_REASON_REBALANCE
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "REBALANCE")
        # The client goes on by itself, and its user sees no seam.
        whole = asyncio.create_task(archive.end_of(run))
        await read_to_error(Stubs(channel).runs.WatchRun(pb.WatchRunRequest(name=run)))
        archive.go(run)
        assert (await whole).state == pb.RUN_STATE_COMPLETED


async def test_a_server_that_stops_tells_who_watches_and_who_follows_a_log(
    server_settings: Settings, obedient_image: str
) -> None:
    settings = server_settings.model_copy(update={"drain_seconds": 10})
    async with AsyncExitStack() as stack:
        async with running(settings) as (server, _):
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
            client = await stack.enter_async_context(Client(server.address))
            archive = Archive(client=client, data_directory=settings.data_directory, image_id=obedient_image)
            run = await archive.start(await archive.convention(), check="echo hello\n" + WAIT)
            await archive.until(run, "hook_started")
            stubs = Stubs(channel)
            watch = stubs.runs.WatchRun(pb.WatchRunRequest(name=run))
            log = stubs.runs.ReadRunLog(pb.ReadRunLogRequest(name=f"{run}/executions/check", follow=True))
            assert (await log.read()).text == "hello\n"
            await watch.read()
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 4  # nobody's clock was waited for
        rest, error = await read_to_error(watch)
        assert rest[-1].closing.reason == pb.CLOSING_REASON_SERVER_DRAINING
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
        error = await refusal(log.read())
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
