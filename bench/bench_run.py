"""What a run costs beyond its container.

`run-overhead`: from SubmitDeposition sent to `run_finished` received and the container gone, for a hook that does nothing, through
a real `osa-grpc serve` with its embedded Postgres; beside the same container (as the engine shows one of ours) driven by bare
aiodocker: create, attach, start, read to the end, wait, inspect, delete. Medians of 30 of each, in turns, so that whatever else the
machine does hits both alike.

`run-stage-*`: where the time goes. The stages that both have are cut at the times in the engine's events (it is on this machine,
so its clock is ours), those of ours alone also at the times of the run's events; these overlap. All in milliseconds.

Everything is made here and removed at the end, but for the image, which the tests use too.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiodocker

from osa_grpc.client import Client
from osa_grpc.runtimes.private_engine import engine_at_hand
from osa_grpc.wire import pb
from tests.fixtures.shell_images import TINY_TAG, build_tiny_image

ROUNDS: Final = 30
WARM_UP: Final = 3
GOAL: Final = 1.2
RUN_LABEL: Final = "org.opensciencearchive.run"
SETTLE_SECONDS: Final = 0.25
"""Before each measurement: engine and kernel still clear away what came before, and none shall pay for the other."""
PATIENCE_SECONDS: Final = 60.0

Times = dict[str, float]
"""Seconds since the epoch, by what happened then."""

STAGES: Final = {
    # figure: (from, to), in ours and, where both are there, in the baseline
    "create": ("sent", "create"),
    "start": ("create", "start"),
    "run": ("start", "die"),
    "remove": ("die", "destroy"),
    "answer": ("destroy", "over"),
    # ours alone
    "take-up": ("sent", "run_started"),
    "prepare": ("run_started", "create"),
    "tell-start": ("start", "hook_started"),
    "judge": ("die", "hook_finished"),
    "publish": ("hook_finished", "run_finished"),
    "tell-end": ("run_finished", "told"),
}


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


@dataclass
class EngineEvents:
    """What the engine says about containers, as it comes."""

    times: dict[str, Times] = field(default_factory=lambda: defaultdict(dict))
    container_of_run: dict[str, str] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self, docker: aiodocker.Docker) -> None:
        """Take note of them until cancelled."""
        # Since before now: the stream may begin a moment after it was asked for.
        events = docker.events.subscribe(  # type: ignore[no-untyped-call]
            since=str(int(time.time()) - 1), filters=json.dumps({"type": ["container"]})
        )
        while (event := await events.get()) is not None:
            async with self.news:
                container = event["Actor"]["ID"]
                self.times[container].setdefault(event["Action"], event["timeNano"] / 1e9)
                if (run := event["Actor"]["Attributes"].get(RUN_LABEL)) is not None:
                    self.container_of_run[f"runs/{run}"] = container
                self.news.notify_all()

    async def container(self, run: str) -> str:
        """The container of a run, as soon as it is made."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.news:
            await self.news.wait_for(lambda: run in self.container_of_run)
            return self.container_of_run[run]

    async def life(self, container: str) -> Times:
        """The container's times, once it is gone."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.news:
            await self.news.wait_for(lambda: "destroy" in self.times[container])
            return self.times[container]


@contextlib.asynccontextmanager
async def server_running(docker_host: str, data_directory: Path) -> AsyncIterator[str]:
    """A server process on loopback, with nothing set but where it is; its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "osa_grpc", "serve", "--listen", "127.0.0.1:0"),
        *("--data-directory", str(data_directory), "--docker-host", docker_host, "--log-level", "warning"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("OSA_")},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = (await process.stdout.readline()).decode().strip()
        if not line:
            raise SystemExit("the server did not start")
        yield line.rpartition(" ")[2]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def register(client: Client, image_id: str) -> str:
    """A convention whose one hook does nothing; its name."""
    hook = pb.HookDefinition(
        name="nothing",
        oci=pb.OciConfig(image=TINY_TAG, digest=image_id),
        table=pb.TableFeatureSpec(cardinality=pb.CARDINALITY_MANY),
    )
    convention = pb.Convention(title="Nothing", version="1.0.0", hooks=[hook])
    registered = await client.register_convention("nothing", convention)
    ready = await client.wait_until_ready(registered.name)
    if ready.state != pb.CONVENTION_STATE_READY:
        raise SystemExit(f"the convention did not become READY: {ready}")
    return ready.name


async def drafted(client: Client, convention: str) -> pb.Deposition:
    """A deposition that can be submitted, with one small file."""
    draft = await client.create_deposition(convention)
    await client.upload_file(draft.name, b"nothing", file_name="nothing.txt")
    return draft


async def ours(client: Client, convention: str, events: EngineEvents) -> Times:
    """One run, from submit to its end."""
    deposition = await drafted(client, convention)
    await asyncio.sleep(SETTLE_SECONDS)
    times = {"sent": time.time()}
    run = await client.submit_deposition(deposition.name)
    last = None
    async for event in client.watch_run(run.name):
        times.setdefault(str(event.WhichOneof("kind")), event.event_time.ToNanoseconds() / 1e9)
        last = event
    times["told"] = time.time()
    if last is None or last.run_finished.state != pb.RUN_STATE_COMPLETED:
        raise SystemExit(f"a run did not complete: {last}")
    times |= await events.life(await events.container(run.name))
    return times | {"over": max(times["told"], times["destroy"])}


async def configuration(
    client: Client, docker: aiodocker.Docker, convention: str, events: EngineEvents
) -> dict[str, Any]:
    """What the engine says of the container of a run: how it was to be made."""
    run = await client.submit_deposition((await drafted(client, convention)).name)
    container = await events.container(run.name)
    shown = await docker.containers.container(container).show()
    await events.life(container)
    return {**shown["Config"], "HostConfig": shown["HostConfig"]}


def with_own_directories(config: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The same configuration for a container of nobody's run, with empty directories of its own."""
    mounts = []
    for mount, number in zip(config["HostConfig"]["Mounts"], itertools.count()):
        source = directory / str(number)
        # As deep as ours: files are mounted below the inputs.
        (source / "files").mkdir(parents=True)
        mounts.append(mount | {"Source": str(source)})
    return {
        **{name: value for name, value in config.items() if name != "Hostname"},
        "Labels": {"org.opensciencearchive.bench": "run"},
        "HostConfig": config["HostConfig"] | {"Mounts": mounts},
    }


async def bare(docker: aiodocker.Docker, config: dict[str, Any], events: EngineEvents) -> Times:
    """One container, from nothing to nothing."""
    await asyncio.sleep(SETTLE_SECONDS)
    sent = time.time()
    container = await docker.containers.create(config)
    try:
        async with container.attach(stdout=True, stderr=True) as stream:
            await container.start()
            while await stream.read_out() is not None:
                pass
            answer = await container.wait()
        state = (await container.show())["State"]
    finally:
        await container.delete(force=True, v=True)
    told = time.time()
    if answer["StatusCode"] != 0 or state["OOMKilled"]:
        raise SystemExit(f"a bare container failed: {answer}, {state}")
    times = dict(await events.life(container.id))
    return times | {"sent": sent, "over": max(told, times["destroy"])}


def milliseconds(all_times: list[Times], begin: str, end: str) -> float | None:
    """The median from one moment to another; None where there are no such moments."""
    if any(begin not in times or end not in times for times in all_times):
        return None
    return statistics.median(1000 * (times[end] - times[begin]) for times in all_times)


def report(figure: str, mine: float | None, baseline: float | None, *, goal: str | None = None) -> None:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 1)

    ratio = round(mine / baseline, 3) if mine is not None and baseline else None
    line = {"figure": figure, "unit": "ms", "ours": rounded(mine), "baseline": rounded(baseline)}
    print(json.dumps(line | {"ratio": ratio, "goal": goal}), flush=True)


async def measure(docker_host: str, directory: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        say("building the image of a hook that does nothing, if it is not there")
        image_id = await build_tiny_image(docker_host)
        docker = await stack.enter_async_context(aiodocker.Docker(url=docker_host))
        say("starting the server")
        address = await stack.enter_async_context(server_running(docker_host, directory / "data"))
        client = await stack.enter_async_context(Client(address))
        convention = await register(client, image_id)
        events = EngineEvents()
        following = asyncio.create_task(events.follow(docker))
        stack.callback(following.cancel)
        config = await configuration(client, docker, convention, events)
        mine: list[Times] = []
        theirs: list[Times] = []
        say(f"{ROUNDS} runs and {ROUNDS} bare containers, in turns, after {WARM_UP} of each to warm up")
        for number in range(WARM_UP + ROUNDS):
            mine.append(await ours(client, convention, events))
            theirs.append(
                await bare(docker, with_own_directories(config, directory / f"bare-{number}"), events)
            )
        await docker.events.stop()  # type: ignore[no-untyped-call]
    del mine[:WARM_UP], theirs[:WARM_UP]
    goal = f"<= {GOAL:g}"
    report(
        "run-overhead", milliseconds(mine, "sent", "over"), milliseconds(theirs, "sent", "over"), goal=goal
    )
    for stage, (begin, end) in STAGES.items():
        report(
            f"run-stage-{stage}", milliseconds(mine, begin, end), milliseconds(theirs, begin, end), goal=None
        )


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that the users of Postgres and of containers can pass through."""
    directory = Path(tempfile.mkdtemp(prefix="osa-grpc-bench-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with engine_at_hand(say=say) as docker_host, scratch() as directory:
        asyncio.run(measure(docker_host, directory))


if __name__ == "__main__":
    main()
