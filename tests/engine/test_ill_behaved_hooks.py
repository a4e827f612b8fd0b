"""Every hook of tests/engine/hooks ends as it says, on one real server, which afterwards is as it was before.

`make test-hooks ROUNDS=20` runs the whole folder so many times; without it the slow ones are left out.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, column, kinds, until
from tests.fixtures.ill_behaved_hooks import IllBehavedHook, ill_behaved_hooks, variants
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.server_process import ServerProcess, Serving, serving_on
from tests.fixtures.shell_images import build_shell_hook

ROUNDS = int(os.environ.get("OSA_TEST_ROUNDS", "0"))
AT_ONCE = max(2, os.cpu_count() or 1)
HOOKS = [one for hook in ill_behaved_hooks() for one in variants(hook) if ROUNDS or not hook.slow]
SETTINGS = {
    "max-output-bytes": 32 * 2**20,
    "max-log-bytes": 2**20,
    "max-progress-events": 1000,
    "max-rows": 10_000,
    "max-retry-memory": "64m",
    "max-running-hooks": AT_ONCE,
}
"""Small, so that the folder is quick; its heads and the document's table know them."""
MAX_SERVER_BYTES = 384 * 2**20
"""An idle one takes 120 MiB; a row may have 24 MiB, in several forms while it is read, and a few hooks are read at once."""

PROGRAM = "cd /osa/out\nID=$(basename /osa/files/*); export ID\nexec sh /osa/in/files/$OSA_HOOK_NAME.sh\n"
NAMES = {"all": "check", "one": "single", "none": "judge"}
COLUMNS = (
    column("score", required=True),
    column("count", pb.JSON_TYPE_INTEGER),
    column("label", pb.JSON_TYPE_STRING),
    column("at", pb.JSON_TYPE_STRING, format="date-time"),
    column("day", pb.JSON_TYPE_STRING, format="date"),
    column("key", pb.JSON_TYPE_STRING, format="uuid"),
    column("flag", pb.JSON_TYPE_BOOLEAN),
    column("tags", pb.JSON_TYPE_ARRAY),
    column("detail", pb.JSON_TYPE_OBJECT),
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@dataclass(kw_only=True)
class Trial:
    """One server, and the folder's hooks run on it, a few at a time."""

    archive: Archive
    server: ServerProcess
    serving: Serving
    build: Callable[[str, tuple[str, ...]], Awaitable[str]]
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    conventions: dict[str, asyncio.Task[str]] = field(default_factory=dict)
    ends: dict[tuple[str, int], asyncio.Task[pb.Run]] = field(default_factory=dict)

    def begin(self, hook: IllBehavedHook, number: int) -> None:
        self.ends[hook.name, number] = asyncio.create_task(self._run(hook), name=hook.name)

    async def _run(self, hook: IllBehavedHook) -> pb.Run:
        async with self.places:
            name = NAMES[hook.columns]
            convention = await self._convention(hook)
            draft = await self.archive.draft(convention, scripts={name: hook.script})
            run = (await self.archive.client.submit_deposition(draft)).name
            if hook.cancelled:
                await self.archive.until(run, "hook_started")
                await self.archive.client.cancel_run(run)
            return await self.archive.end_of(run)

    async def _convention(self, hook: IllBehavedHook) -> str:
        """Hooks with the same limits and columns share one, and with them a table."""
        digest = await (
            self.build(PROGRAM, ("sh", "/hook"))
            if hook.entrypoint is None
            else self.build(hook.script, hook.entrypoint)
        )
        key = repr((hook.columns, sorted(hook.limits.items()), digest))
        if key not in self.conventions:
            definition = self.archive.hook(
                NAMES[hook.columns],
                *(() if hook.columns == "none" else COLUMNS),
                cardinality=pb.CARDINALITY_ONE if hook.columns == "one" else pb.CARDINALITY_MANY,
                digest=digest,
                **hook.limits,
            )
            if hook.columns == "none":
                definition.table.ClearField("columns")
            made = self.archive.convention(definition, id=f"hooks-{len(self.conventions)}")
            self.conventions[key] = asyncio.create_task(made)
        return await self.conventions[key]


@pytest.fixture(scope="module")
def database_of_the_module(postgres: PostgresServer) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
    yield postgres.dsn_of(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def directory_of_the_module() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="osa-grpc-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trial(
    request: pytest.FixtureRequest,
    database_of_the_module: str,
    directory_of_the_module: Path,
    docker_host: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Trial]:
    """The server, and every hook that a test of this session asks for, begun."""
    log = tmp_path_factory.mktemp("trial") / "server.log"
    flags = [
        f"--database-url={database_of_the_module}",
        *(f"--{name}={value}" for name, value in SETTINGS.items()),
    ]
    async with (
        serving_on(directory_of_the_module, docker_host, "", log, *flags) as serving,
        serving.archive(server := await serving.start()) as archive,
    ):
        trial = Trial(
            archive=archive,
            server=server,
            serving=serving,
            build=lambda script, entrypoint: build_shell_hook(docker_host, script, entrypoint=entrypoint),
        )
        for item in request.session.items:
            asked = getattr(item, "callspec", None)
            if item.path == request.path and asked is not None:
                trial.begin(asked.params["hook"], asked.params["number"])
        yield trial
        for task in trial.ends.values():
            task.cancel()
        await asyncio.gather(*trial.ends.values(), return_exceptions=True)


@pytest.mark.parametrize("number", range(max(1, ROUNDS)))
@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.name)
async def test_a_hook_ends_as_it_says(trial: Trial, hook: IllBehavedHook, number: int) -> None:
    run = await trial.ends[hook.name, number]
    history = await trial.archive.history(run.name)
    [execution] = run.executions

    assert told_end(run) == (hook.verdict, hook.kind), run.failure or run.rejection_reason
    reason = run.failure.message or run.rejection_reason
    assert hook.says in reason
    if hook.verdict == "FAILED":
        assert (execution.verdict, execution.failure) == (pb.VERDICT_FAILED, run.failure)
        assert run.failure.retryable == hook.retryable

    assert [event.sequence for event in history] == list(range(1, len(history) + 1))
    told = [kind for kind in kinds(history) if kind != "hook_progress"]
    assert told == expected_story(hook)
    assert retries(history) == list(hook.retries)
    assert execution.attempt == len(hook.retries) + 1

    reported = [event.hook_progress for event in history if event.WhichOneof("kind") == "hook_progress"]
    if hook.progress is not None:
        assert [one.progress.status for one in reported] == list(hook.progress)
    if hook.last_progress is not None:
        assert reported[-1].progress.status == hook.last_progress
    if hook.progress_count is not None:
        assert len(reported) == hook.progress_count + bool(hook.dropped_count)
        assert reported[-1].dropped_count == hook.dropped_count
    if hook.log_bytes is not None:
        pieces = [piece async for piece in trial.archive.client.read_run_log(execution.name)]
        assert execution.log_bytes == hook.log_bytes == sum(len(piece.data) for piece in pieces)
        assert any(piece.truncated for piece in pieces) == hook.is_log_truncated
    if hook.expected_rows is not None:
        rows = await rows_of(trial.archive, NAMES[hook.columns], execution)
        expected = [dict.fromkeys(one.name for one in COLUMNS) | row for row in hook.expected_rows]
        assert rows == expected

    assert took(history) <= timedelta(seconds=hook.within_seconds)


async def test_nothing_is_left_of_them_and_the_server_has_not_grown(trial: Trial) -> None:
    await asyncio.gather(*trial.ends.values(), return_exceptions=True)

    async def nothing_is_left() -> bool:
        return await trial.serving.containers() == [] and not any(
            (trial.serving.data_directory / "work").iterdir()
        )

    await until(nothing_is_left)
    assert trial.server.process.returncode is None
    assert trial.server.most_memory_bytes < MAX_SERVER_BYTES
    assert "Traceback" not in trial.serving.said()


def told_end(run: pb.Run) -> tuple[str, str]:
    """The verdict as the folder's heads say it, and the kind of failure."""
    state = pb.RunState.Name(run.state).removeprefix("RUN_STATE_")
    kind = (
        pb.FailureKind.Name(run.failure.kind).removeprefix("FAILURE_KIND_") if run.HasField("failure") else ""
    )
    return ("PASSED" if state == "COMPLETED" else state, kind)


def expected_story(hook: IllBehavedHook) -> list[str]:
    """What its watchers see, but for its progress."""
    began = [] if hook.kind == "CONFIG" else ["hook_started"]
    story = ["run_started", *began]
    for _ in hook.retries:
        story += ["hook_retrying", *began]
    if hook.cancelled:
        return [*story, "cancel_requested", "run_finished"]
    story.append("hook_finished")
    return (
        [*story, "record_published", "run_finished"] if hook.verdict == "PASSED" else [*story, "run_finished"]
    )


def retries(history: list[pb.RunEvent]) -> list[str]:
    causes = [e.hook_retrying.cause.kind for e in history if e.WhichOneof("kind") == "hook_retrying"]
    return [pb.FailureKind.Name(kind).removeprefix("FAILURE_KIND_") for kind in causes]


def took(history: list[pb.RunEvent]) -> timedelta:
    """The time from the first start of its container to the end of the run."""
    began = next((e for e in history if e.WhichOneof("kind") == "hook_started"), history[0])
    return history[-1].event_time.ToDatetime() - began.event_time.ToDatetime()


async def rows_of(archive: Archive, hook: str, execution: pb.HookExecution) -> list[dict[str, Any]]:
    found = archive.client.query(
        f"featureTables/{hook}",
        filter=f'execution_id = "{execution.execution_id}"',
        order_by="id",
        columns=[one.name for one in COLUMNS],
    )
    return [dict(row) async for row in found]
