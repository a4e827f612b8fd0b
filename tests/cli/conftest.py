"""The command line against a real server in a process of its own, with hooks in real containers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from osa_grpc.cli.demo_server import demo_server
from osa_grpc.cli.main import cli
from tests.fixtures.engine import ShellHook

Osa = Callable[..., Result]

LOOK = """
echo "looking at the mood"
echo '{"step": "look", "status": "running", "message": "closely"}' >> "$OSA_OUT/progress.jsonl"
case "$(cat "$OSA_IN/record.json")" in
    *sour*) echo '{"status": "rejected", "message": "the mood is sour"}' >> "$OSA_OUT/progress.jsonl" ;;
    *broken*) echo "oh no"; exit 3 ;;
    *slow*) sleep 600 ;;
    *) echo '[{"size": 3.5, "day": "2026-01-02"}, {"size": 4}]' > "$OSA_OUT/features.json" ;;
esac
"""

CONVENTION = {
    "name": "conventions/moods@1.0.0",
    "title": "Moods",
    "version": "1.0.0",
    "metadataSchema": [{"name": "mood", "jsonType": "JSON_TYPE_STRING", "required": True}],
    "fileRequirements": {"minCount": 0, "extensions": [".txt"]},
    "hooks": [
        {
            "name": "look",
            "oci": {"image": "look", "digest": "", "limits": {"memory": "64m"}},
            "table": {
                "cardinality": "CARDINALITY_MANY",
                "columns": [
                    {"name": "size", "jsonType": "JSON_TYPE_NUMBER", "required": True, "unit": "m"},
                    {"name": "day", "jsonType": "JSON_TYPE_STRING", "format": "date"},
                ],
            },
        }
    ],
}


@pytest.fixture(scope="session")
def address(docker_host: str) -> Iterator[str]:
    """Where a server serves."""
    with demo_server(docker_host=docker_host, listen="127.0.0.1:0", data_directory=None) as server:
        yield server.address


@pytest.fixture(scope="session")
def look_image(shell_hook: ShellHook) -> str:
    """The id of the image of the hook `look`."""
    return asyncio.run(_built(shell_hook))


async def _built(shell_hook: ShellHook) -> str:
    return await shell_hook(LOOK)


@pytest.fixture
def osa(address: str) -> Osa:
    """`osa("run", "list")`: the program, called with this server."""

    def call(*arguments: str | Path, input: str | None = None) -> Result:  # noqa: A002 - as CliRunner calls it
        return CliRunner(env={"OSA_SERVER": address}).invoke(
            cli, [str(argument) for argument in arguments], input=input
        )

    return call


@pytest.fixture
def convention_file(tmp_path: Path) -> Path:
    """The convention as a file, its hook's digest empty."""
    path = tmp_path / "convention.json"
    path.write_text(json.dumps(CONVENTION))
    return path


@pytest.fixture
def moods(osa: Osa, convention_file: Path, look_image: str) -> str:
    """The name of the convention, READY."""
    result = osa("convention", "register", convention_file, "--image", f"look={look_image}")
    assert result.exit_code == 0, result.output
    return "moods@1.0.0"
