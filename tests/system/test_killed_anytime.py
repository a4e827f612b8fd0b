"""A server killed at random moments, again and again, while people submit, watch and read.

`OSA_TEST_KILLS` says how often (`make test-kills`: 50), `OSA_TEST_SEED` repeats a run of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from osa_grpc.client import OsaRpcError
from osa_grpc.runtimes.container_labels import RUN_LABEL
from osa_grpc.runtimes.image_build import engine_client
from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, kinds, reject, rows, until
from tests.fixtures.server_process import Serving

T = TypeVar("T")

KILLS = int(os.environ.get("OSA_TEST_KILLS", "5"))
SEED = int(os.environ.get("OSA_TEST_SEED", random.randrange(10**6)))

LINES = 12
WORKING = f"""
i=0
while [ $i -lt {LINES} ]; do
    i=$((i + 1)); echo "line $i"; sleep 0.05
    echo "{{\\"status\\": \\"step $i\\"}}" >> /osa/out/progress.jsonl
done
"""
"""A hook's lines that take about a second, writing to the log and reporting progress as they go."""
LOG = "".join(f"line {i}\n" for i in range(1, LINES + 1)).encode()
STEPS = [f"step {i}" for i in range(1, LINES + 1)]
RECORD_ROWS = 3


@dataclass(kw_only=True)
class Sightings:
    """What the engine said of containers: how often each hook of each run was started, and which ran beside each other."""

    starts: Counter[tuple[str, str]] = field(default_factory=Counter)
    running: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    doubled: list[tuple[str, str]] = field(default_factory=list)

    def saw(self, event: dict[str, Any]) -> None:
        """Note a container's start or end."""
        labels = event["Actor"]["Attributes"]
        if RUN_LABEL not in labels:  # the server makes others, to prove that the engine sees its files
            return
        key = labels[RUN_LABEL], labels["org.opensciencearchive.hook"]
        together = self.running.setdefault(key, set())
        if event["Action"] == "start":
            self.starts[key] += 1
            together.add(event["Actor"]["ID"])
            if len(together) > 1:
                self.doubled.append(key)
        elif event["Action"] == "die":
            together.discard(event["Actor"]["ID"])


@asynccontextmanager
async def watching_containers(serving: Serving) -> AsyncIterator[Sightings]:
    """Listen to the engine itself, whatever becomes of the servers."""
    sightings = Sightings()
    identity = serving.data_directory / "server-id"
    async with engine_client(serving.docker_host) as docker:
        events = docker.events.subscribe(create_task=False)  # type: ignore[no-untyped-call]

        async def listen() -> None:
            while (event := await events.get()) is not None:
                server = event.get("Actor", {}).get("Attributes", {}).get("org.opensciencearchive.server")
                if server is not None and server == await asyncio.to_thread(_text, identity):
                    sightings.saw(event)

        tasks = [asyncio.create_task(docker.events.run(), name="events"), asyncio.create_task(listen())]
        try:
            yield sightings
            for task in tasks:
                assert not task.done(), f"nobody looks any more: {task}"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def each_once(runs: Iterable[str]) -> dict[tuple[str, str], int]:
    """One container for each hook of each run."""
    return {(run.removeprefix("runs/"), hook): 1 for run in runs for hook in ("first", "check")}


def _text(path: Path) -> str:
    return path.read_text().strip()


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """Call until the server is there to answer; each call carries the same request id."""
    while True:
        try:
            return await call()
        except OsaRpcError as error:
            if error.code is not grpc.StatusCode.UNAVAILABLE and error.reason:
                raise
            await asyncio.sleep(0.1)
        except grpc.RpcError:
            await asyncio.sleep(0.1)


async def submitted(archive: Archive, convention: str, number: int) -> str:
    """The name of a run that is submitted while servers come and go. Every fifth is rejected."""
    client = archive.client
    found = ", ".join(f'{{"score": {number}}}' for _ in range(RECORD_ROWS))
    last = reject("not this one") if number % 5 == 4 else rows(found)
    draft = await persistently(lambda: client.create_deposition(convention, request_id=f"create {number}"))
    for hook, script in {"first": WORKING, "check": WORKING + last}.items():
        await persistently(
            lambda hook=hook, script=script: client.upload_file(  # type: ignore[misc]
                draft.name, script.encode(), file_name=f"{hook}.sh", request_id=f"upload {hook} {number}"
            )
        )
    run = await persistently(lambda: client.submit_deposition(draft.name, request_id=f"submit {number}"))
    return run.name


async def watched(archive: Archive, run: str) -> list[pb.RunEvent]:
    """All events of a run as one watcher receives them, over as many servers as it takes."""
    seen: list[pb.RunEvent] = []
    while not seen or seen[-1].WhichOneof("kind") != "run_finished":
        try:
            seen = [event async for event in archive.client.watch_run(run)]
        except (
            OsaRpcError,
            grpc.RpcError,
        ):  # it began while there was no server; then the client does not go on by itself
            await asyncio.sleep(0.1)
    return seen


@pytest.mark.timeout(120 + 15 * KILLS)
async def test_a_server_killed_at_random_moments_loses_doubles_and_leaves_nothing(serving: Serving) -> None:
    moments = random.Random(SEED)
    sys.stdout.write(f"OSA_TEST_SEED={SEED}\n")
    flags = f"--listen=127.0.0.1:{free_port()}", "--max-running-hooks=2"
    server = await serving.start(*flags)
    watchers: list[asyncio.Task[list[pb.RunEvent]]] = []
    async with serving.archive(server) as archive, watching_containers(serving) as sightings:
        convention = await archive.convention(archive.hook("first"), archive.hook("check"))

        open_runs = asyncio.Semaphore(4)
        is_enough = asyncio.Event()

        async def people() -> None:
            while not is_enough.is_set():
                await open_runs.acquire()
                run = await submitted(archive, convention, len(watchers))
                watchers.append(asyncio.create_task(watched(archive, run), name=run))
                watchers[-1].add_done_callback(lambda _: open_runs.release())

        submitting = asyncio.create_task(people(), name="people")
        for _ in range(KILLS):
            await asyncio.sleep(moments.uniform(0.0, 2.5))  # the moment; nothing is waited for
            await server.signalled(signal.SIGKILL)
            if moments.random() < 0.25:  # and once more, before it answers
                starting = await serving.run(*flags)
                await asyncio.sleep(moments.uniform(0.0, 2.5))
                starting.kill()
                await starting.wait()
            server = await serving.start(*flags)
        is_enough.set()
        await submitting

        histories = await asyncio.gather(*watchers)
        published = 0
        gaps = 0
        for number, history in enumerate(histories):
            name = watchers[number].get_name()
            over = await archive.client.get_run(name)
            assert [event.sequence for event in history] == list(range(1, len(history) + 1))
            assert kinds(history).count("run_finished") == 1
            assert kinds(history) == kinds(await archive.history(name))
            assert [event.hook_retrying for event in history if event.HasField("hook_retrying")] == []
            rejected = number % 5 == 4
            assert over.state == (pb.RUN_STATE_REJECTED if rejected else pb.RUN_STATE_COMPLETED), over
            published += not rejected
            for hook in ("first", "check"):
                steps = [
                    event.hook_progress.progress.status
                    for event in history
                    if event.WhichOneof("kind") == "hook_progress" and event.hook_progress.hook == hook
                ]
                assert [step for step in steps if step != "rejected"] == STEPS
                gaps += await check_log(archive, f"{name}/executions/{hook}")
        found = [row async for row in archive.client.query("featureTables/check")]
        assert len(found) == published * RECORD_ROWS
        assert set(Counter(row["record_srn"] for row in found).values()) == {RECORD_ROWS}
        assert len([record async for record in archive.client.list_records()]) == published
        assert sightings.doubled == []
        assert sightings.starts == each_once(watcher.get_name() for watcher in watchers)
        sys.stdout.write(
            f"{KILLS} kills, {len(histories)} runs, {sightings.starts.total()} containers, {gaps} gaps in logs\n"
        )

        async def nothing_is_left() -> bool:
            return await serving.containers() == [] and not any((serving.data_directory / "work").iterdir())

        await until(nothing_is_left)


async def check_log(archive: Archive, execution: str) -> int:
    """Compare a log with what the hook wrote: equal, unless gaps are marked; return how many are."""
    pieces = [piece async for piece in archive.client.read_run_log(execution)]
    gaps = sum(piece.gap for piece in pieces)
    if not gaps:
        assert b"".join(piece.data for piece in pieces) == LOG
    return gaps


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
