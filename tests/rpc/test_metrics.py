import asyncio
import socket
import urllib.request
from pathlib import Path

import pytest

from osa_grpc.client import Client
from osa_grpc.server.app import running
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.settings import Settings
from tests.fixtures.addresses import free_address
from tests.fixtures.archive import Archive


def _read(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        return str(answer.read(), "utf-8")


async def test_calls_are_counted_by_method_and_code(server_settings: Settings) -> None:
    address = free_address()
    async with (
        running(server_settings.model_copy(update={"metrics_listen": address})) as (started, _),
        Client(started.address) as client,
    ):
        await client.server_info()
        text = await asyncio.to_thread(_read, address)
    method = "/opensciencearchive.v1.ServerService/GetServerInfo"
    assert f'osa_grpc_rpcs_total{{code="OK",method="{method}"}} 1.0' in text
    assert "osa_grpc_hooks_running 0.0" in text
    assert "osa_grpc_watched_runs 0.0" in text
    assert "osa_grpc_dead_deliveries 0.0" in text


async def test_attempts_that_are_made_again_are_counted_by_their_cause_and_ends_by_verdict(
    server_settings: Settings, obedient_image: str, tmp_path: Path
) -> None:
    address = free_address()
    settings = server_settings.model_copy(
        update={"metrics_listen": address, "docker_host": f"unix://{tmp_path}/no.sock", "max_attempts": 3}
    )
    async with running(settings) as (started, _), Client(started.address) as client:
        archive = Archive(client=client, data_directory=settings.data_directory, image_id=obedient_image)
        await archive.finish(await archive.convention(), check="")
        text = await asyncio.to_thread(_read, address)
    assert 'osa_grpc_hook_retries_total{cause="ENGINE",hook="check"} 2.0' in text
    assert 'osa_grpc_hooks_total{hook="check",verdict="FAILED"} 1.0' in text


async def test_an_address_that_is_taken_is_a_clear_error_at_start(server_settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotStartError, match="metrics-listen"):
            async with running(server_settings.model_copy(update={"metrics_listen": address})):
                pass
