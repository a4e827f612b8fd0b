"""A server that runs in a container beside its engine, which knows its files under other names; also one that is not root there."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from aiodocker.containers import DockerContainer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from osa_grpc.client import Client
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.wire import pb
from osa_grpc.wire.transport import CLIENT_CHANNEL_OPTIONS
from tests.fixtures.archive import QUICK, WAIT, Archive, rows, until
from tests.fixtures.engine_proxy import engine_proxy
from tests.fixtures.machine_container import machine_container

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="a file's owner is given away, and another's is removed"
)

_SERVES = "osa-grpc serves at "
ROOT, DAEMON = "0:0", "1:1"


@dataclass(kw_only=True)
class Contained:
    """An `osa-grpc serve` in a container."""

    container: DockerContainer
    data_directory: Path
    """As this machine has it; the server has it at `/data`."""
    lines: list[str]

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    async def listen(self) -> str | None:
        """Where it serves, once it does; None if it ends before."""
        async for text in self.container.log(stdout=True, stderr=True, follow=True):
            for line in text.splitlines():
                self.lines.append(line)
                if line.startswith(_SERVES):
                    return line.removeprefix(_SERVES).strip()
        return None

    async def address(self) -> str:
        async with asyncio.timeout(60):
            address = await self.listen()
        assert address is not None, self.said
        return address

    async def stop(self) -> int:
        """Stop it orderly; its exit code."""
        await self.container.stop(t=30)
        return int((await self.container.wait())["StatusCode"])

    async def containers(self, docker_host: str) -> list[str]:
        server = (self.data_directory / "server-id").read_text().strip()
        async with DockerEngine(docker_host=docker_host) as engine:
            return [c.id for c in await engine.find({"org.opensciencearchive.server": server})]


@asynccontextmanager
async def contained(
    docker_host: str, data_directory: Path, *flags: str, user: str = ROOT
) -> AsyncIterator[Contained]:
    """A server in a container that was started, on the machine's network, with the engine's socket in it."""
    uid, gid = (int(part) for part in user.split(":"))
    os.chown(data_directory, uid, gid)
    with tempfile.TemporaryDirectory(prefix="osa-proxy-") as folder:  # a socket that others than root may use
        Path(folder).chmod(0o755)  # noqa: ASYNC240 - at once
        async with engine_proxy(Path(folder), docker_host) as proxy:
            command = [
                *(sys.executable, "-m", "osa_grpc", "serve", "--data-directory=/data"),
                f"--docker-host={proxy.docker_host.replace(folder, '/engine')}",
                *("--listen=127.0.0.1:0", "--stop-grace-seconds=1", "--retry-delay-seconds=0.2", *flags),
            ]
            mounts = {"/data": data_directory, "/engine": Path(folder)}
            async with machine_container(docker_host, command, mounts=mounts, user=user) as container:
                await container.start()
                yield Contained(container=container, data_directory=data_directory, lines=[])


@asynccontextmanager
async def used(server: Contained, address: str, image_id: str) -> AsyncIterator[Archive]:
    options = (*CLIENT_CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        client = Client(channel=channel, backoff=QUICK)
        yield Archive(client=client, data_directory=server.data_directory, image_id=image_id)


@pytest.mark.parametrize("user", [ROOT, DAEMON], ids=["root", "daemon"])
async def test_a_deposition_goes_its_way_through_a_server_in_a_container(
    docker_host: str, data_directory: Path, obedient_image: str, user: str
) -> None:
    uid = int(user.partition(":")[0])
    flags = f"--host-data-directory={data_directory}"
    async with contained(docker_host, data_directory, flags, user=user) as server:
        async with used(server, await server.address(), obedient_image) as archive:
            convention = await archive.convention()
            script = "rm /osa/out/features.json; umask 077; id -u; mkdir /osa/out/closed; chmod 0 /osa/out/closed\n"
            script += rows('{"score": 1.5}') + WAIT
            run = await archive.start(convention, check=script)
            await archive.until(run, "hook_started")
            work = data_directory / "work" / run.removeprefix("runs/")
            [output] = await until(lambda: list(work.glob("*/out/features.json")))
            assert stat.S_IMODE(output.stat().st_mode) == 0o600
            assert output.stat().st_uid == (uid or 65534)
            archive.go(run)
            over = await archive.end_of(run)
            assert over.state == pb.RUN_STATE_COMPLETED, over.failure.message
            assert [row["score"] async for row in archive.client.query("featureTables/check")] == [1.5]
            log = [chunk async for chunk in archive.client.read_run_log(over.executions[0].name)]
            assert log[0].text == f"{uid or 65534}\n"
        assert await server.stop() == 0, server.said
        assert await server.containers(docker_host) == []
        assert list((data_directory / "work").iterdir()) == []


async def test_a_wrong_host_data_directory_is_a_clear_refusal(
    docker_host: str, data_directory: Path, tmp_path: Path
) -> None:
    async with contained(docker_host, data_directory, f"--host-data-directory={tmp_path}") as server:
        async with asyncio.timeout(60):
            assert await server.listen() is None
        assert (await server.container.wait())["StatusCode"] == 1
    [refusal] = [line for line in server.lines if "cannot start" in line]
    for part in ("host_data_directory", "/data", str(tmp_path)):
        assert part in refusal


async def test_without_the_setting_everything_but_hooks_works_and_each_says_why(
    docker_host: str, data_directory: Path, obedient_image: str
) -> None:
    async with contained(docker_host, data_directory, "--max-attempts=1") as server:
        address = await server.address()
        assert "hooks cannot run" in server.said
        assert await health_of(address, "container-engine") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await health_of(address, "") == health_pb2.HealthCheckResponse.SERVING
        async with used(server, address, obedient_image) as archive:
            run = await archive.finish(await archive.convention(), check="true")
    assert run.failure.kind == pb.FAILURE_KIND_ENGINE
    assert "host_data_directory" in run.failure.message


async def health_of(address: str, service: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer: health_pb2.HealthCheckResponse = await stub.Check(
            health_pb2.HealthCheckRequest(service=service)
        )
        return answer.status
