import asyncio
import socket
import urllib.request

import pytest

from osa_grpc.client import Client
from osa_grpc.server.app import running
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.settings import Settings


def _free_address() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


def _read(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        return answer.read().decode()


async def test_calls_are_counted_by_method_and_code(server_settings: Settings) -> None:
    address = _free_address()
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


async def test_an_address_that_is_taken_is_a_clear_error_at_start(server_settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotStartError, match="metrics-listen"):
            async with running(server_settings.model_copy(update={"metrics_listen": address})):
                pass
