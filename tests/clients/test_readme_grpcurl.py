"""The README's grpcurl session, line by line, with a real grpcurl at a real server with the example's data.

`OSA_WRITE_DOCUMENTS=1` writes what the commands print into the README instead of comparing.
"""

import json
import os
import sys
from pathlib import Path

import pytest

from osa_grpc.cli.conventions import convention_from_json
from osa_grpc.client import Client
from osa_grpc.runtimes.hook_image import build_hook_image
from osa_grpc.server.app import Started
from tests.clients.grpcurl_session import Terminal, follow
from tests.fixtures.documents import ROOT

EXAMPLE = ROOT / "examples" / "pdb-structures"


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
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    terminal = Terminal(address=loaded.address, environment={"PATH": path}, folder=ROOT)
    await follow(ROOT / "README.md", terminal)
