"""docs/grpcurl.md, top to bottom, with real tools at real servers: also at those that reflect in one version only.

`OSA_WRITE_DOCUMENTS=1` writes what the commands print into the page instead of comparing, as grpcurl prints it.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2

from osa_grpc.runtimes.hook_image import build_hook_image
from osa_grpc.server import listener
from osa_grpc.server.app import Started, running
from osa_grpc.server.health_watch import CONTAINER_ENGINE, DATA_DIRECTORY
from osa_grpc.server.reflection import V1, V1ALPHA, add_reflection
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.clients.grpcurl_session import WRITES, Step, Terminal, follow, steps_in
from tests.fixtures.documents import ROOT, commands_of, write_files
from tests.fixtures.go_programs import GRPCURL, HEALTH_PROBE, GoProgram, built
from tests.fixtures.host_paths import host_data_directory

if TYPE_CHECKING:
    import asyncpg

pytestmark = pytest.mark.timeout(900)  # Go takes minutes to build a program, once

PAGE = ROOT / "docs" / "grpcurl.md"
PROGRAMS = Path(sys.executable).parent
EITHER = "grpc.reflection."


@pytest.fixture(params=["both"])
def versions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The versions in which the server reflects."""
    told: tuple[str, ...] = {"v1": (V1,), "v1alpha": (V1ALPHA,), "both": (V1ALPHA, V1)}[request.param]
    monkeypatch.setattr(listener, "add_reflection", partial(add_reflection, versions=told))
    return told


def reflecting(*versions: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("versions", versions, indirect=True)


@pytest.fixture
def server_settings(database_dsn: str, docker_host: str, data_directory: Path) -> Settings:
    """What `osa-grpc serve` does unless told otherwise, so that the page's answers are a reader's."""
    return Settings(
        listen="127.0.0.1:0",
        database_url=database_dsn,
        docker_host=docker_host,
        data_directory=data_directory,
        host_data_directory=host_data_directory(data_directory),
        log_level="warning",
    )


@pytest.fixture
async def archive_server(versions: tuple[str, ...], server_settings: Settings) -> AsyncIterator[Started]:
    async with running(server_settings) as (started, _):
        yield started


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The folder in which a session finds the programs it is about."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("osa-grpc", "buf"):
        (folder / name).symlink_to(PROGRAMS / name)
    if (probe := built(HEALTH_PROBE)) is not None:
        (folder / "grpc-health-probe").symlink_to(probe)
    return folder


@pytest.fixture
async def terminal(
    tmp_path: Path, programs: Path, archive_server: Started, connection: asyncpg.Connection[asyncpg.Record]
) -> Terminal:
    """A terminal in a folder with the README's hook and the page's files, at a server with a table in its way."""
    folder = tmp_path / "dna"
    folder.mkdir()
    write_files("README.md", folder)
    write_files("docs/grpcurl.md", folder)
    await build_hook_image(folder / "gc_content", docker_host=archive_server.docker_host, say=lambda _: None)
    [statement] = re.findall(r"-c '(.*)'", commands_of("docs/grpcurl.md")["in-the-way"])
    await connection.execute(statement)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DOCKER_HOST": archive_server.docker_host,
        "HOME": str(tmp_path),
    }
    return Terminal(address=archive_server.address, environment=environment, folder=folder)


def needs(program: str, step: Step) -> bool:
    return re.search(rf"(^|[|(] *){program} ", step.command) is not None


@reflecting("both" if WRITES else "v1")
async def test_the_page_is_what_a_terminal_shows_with_a_grpcurl_of_today(
    go_program: GoProgram, programs: Path, terminal: Terminal
) -> None:
    (programs / "grpcurl").symlink_to(go_program(GRPCURL))
    await follow(PAGE, terminal, unless_line=EITHER)


@reflecting("v1alpha")
async def test_the_page_is_what_a_terminal_shows_with_the_grpcurl_that_make_environment_brings(
    programs: Path, terminal: Terminal
) -> None:
    (programs / "grpcurl").symlink_to(PROGRAMS / "grpcurl")

    def leaves_out(step: Step) -> bool:
        return needs("grpc-health-probe", step) and not (programs / "grpc-health-probe").exists()

    await follow(PAGE, terminal, leaves_out=leaves_out, unless_line=EITHER, writes=False)


@reflecting("v1", "v1alpha")
async def test_the_pages_calls_answer_the_same_to_buf_curl(programs: Path, terminal: Terminal) -> None:
    script = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.clients.buf_as_grpcurl "$@"\n'
    (programs / "grpcurl").write_text(script)
    (programs / "grpcurl").chmod(0o755)

    def leaves_out(step: Step) -> bool:
        return " describe " in step.command or (
            needs("grpc-health-probe", step) and not (programs / "grpc-health-probe").exists()
        )

    await follow(PAGE, terminal, leaves_out=leaves_out, unless_line=EITHER, writes=False)


def test_the_page_has_a_recipe_for_every_rpc() -> None:
    health = health_pb2.DESCRIPTOR
    called = {
        method
        for step in steps_in(PAGE.read_text())
        for method in re.findall(r"[\w.]+/[A-Z]\w+", step.command)
    }
    wanted = {
        f"{service.full_name}/{method.name}"
        for file in (*pb.FILES, health)
        for service in file.services_by_name.values()
        for method in service.methods
    }
    assert sorted(wanted - called) == []


async def test_a_real_health_probe_is_told_of_every_service(
    go_program: GoProgram, archive_server: Started
) -> None:
    probe = go_program(HEALTH_PROBE)
    for service in ("", CONTAINER_ENGINE, DATA_DIRECTORY, *pb.SERVICES):
        process = await asyncio.create_subprocess_exec(
            *(probe, f"-addr={archive_server.address}", f"-service={service}"), stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert (process.returncode, said.decode().strip()) == (0, "status: SERVING"), service
