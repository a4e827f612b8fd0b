"""The README's grpcurl session, line by line, with a real grpcurl at a real server with the example's data.

`OSA_WRITE_README=1` writes what the commands print into the README instead of comparing.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from osa_grpc.cli.conventions import convention_from_json
from osa_grpc.client import Client
from osa_grpc.runtimes.hook_image import build_hook_image
from osa_grpc.server.app import Started
from tests.clients.grpcurl_session import Step, Terminal, form_of, steps_of
from tests.fixtures.documents import ROOT

EXAMPLE = ROOT / "examples" / "pdb-structures"
BEGIN = "<!-- grpcurl session -->\n```console\n"
END = "```\n<!-- end of grpcurl session -->"


@pytest.fixture
async def loaded(server: Started, client: Client) -> Started:
    """The server with the example's convention, a structure that is rejected and one that is published."""
    images = {}
    for folder in (EXAMPLE / "hooks").iterdir():
        image = await build_hook_image(folder, docker_host=server.docker_host, say=lambda _: None)
        images[folder.name] = image.image_id
    convention = convention_from_json((EXAMPLE / "convention.json").read_text(), images=images)
    made = await client.register_convention("pdb-structures", convention)
    await client.wait_until_ready(made.name)
    for entry in ("1as5", "1a8o"):
        metadata = json.loads((EXAMPLE / "metadata" / f"{entry}.json").read_text())
        draft = await client.create_deposition(made.name, metadata=metadata)
        await client.upload_file(draft.name, EXAMPLE / "structures" / f"{entry}.cif.gz")
        run = await client.submit_deposition(draft.name)
        async for _ in client.watch_run(run.name):
            pass
    return server


@pytest.mark.timeout(300)
async def test_the_grpcurl_session_of_the_readme_is_what_a_terminal_shows(loaded: Started) -> None:
    readme = ROOT / "README.md"
    before, rest = (await asyncio.to_thread(readme.read_text)).split(BEGIN)
    session, after = rest.split(END)
    terminal = Terminal(address=loaded.address, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    printed = []
    for step in steps_of(session):
        command = terminal.given(step.command)
        output = await terminal.run(command)
        if "OSA_WRITE_README" not in os.environ:
            assert form_of(output) == form_of(step.shown), step.command
        terminal.learn(step.shown, output)
        printed.append(Step(command, output))
    assert printed
    if "OSA_WRITE_README" in os.environ:
        written = "".join(f"$ {step.command}\n{step.shown}\n" for step in printed)
        await asyncio.to_thread(readme.write_text, before + BEGIN + written + END + after)
