"""The README's section on writing a hook, done word by word: its files, its commands, a real server."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiodocker
import pytest

from osa_grpc.server.app import Started
from tests.fixtures.documents import commands_of, shown_in, write_files


@pytest.fixture
async def folder(tmp_path: Path, docker_host: str) -> AsyncIterator[Path]:
    """A folder with the README's files; the image that is built of them is removed again."""
    write_files("README.md", tmp_path)
    yield tmp_path
    async with aiodocker.Docker(url=docker_host) as docker:
        for image in await docker.images.list(filters={"reference": ["osa-hook-gc-content"]}):
            await docker.images.delete(image["Id"], force=True)


async def run(commands: str, folder: Path, server: Started) -> str:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-euc", commands),
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OSA_SERVER": server.address,
            "DOCKER_HOST": server.docker_host,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_the_hook_of_the_readme_is_built_registered_run_and_queried(
    folder: Path, server: Started
) -> None:
    said = await run(commands_of("README.md")["server"], folder, server)
    assert said.endswith(shown_in("README.md")["server"])


async def test_what_is_not_dna_is_rejected_with_the_reason_of_the_readmes_hook(
    folder: Path, server: Started
) -> None:
    (folder / "sample.fasta").write_text(">protein\nMKV\n")
    commands = commands_of("README.md")["server"].splitlines()
    deposit = next(line for line in commands if "deposit" in line)
    up_to = "\n".join(commands[: commands.index(deposit)])
    said = await run(f"{up_to}\n{deposit} || [ $? = 10 ]", folder, server)
    assert "K, M, V is not DNA" in said
