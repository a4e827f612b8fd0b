"""TLS as users meet it: a real server with a real certificate, and real clients that know its authority or do not."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from structlog.testing import capture_logs

from osa_grpc.cli import exit_codes
from osa_grpc.client import BlockingClient, Client, OsaRpcError
from osa_grpc.client.channel import open_channel
from osa_grpc.server.app import Started, running
from osa_grpc.server.reflection import V1
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.addresses import free_address
from tests.fixtures.archive import WAIT, Archive, progress, refusal
from tests.fixtures.certificates import Certificates

INFO = ["server", "info", "--output", "json"]


@pytest.fixture
def server_settings(server_settings: Settings, certificates: Certificates) -> Settings:
    return server_settings.model_copy(
        update={
            "tls_certificate": certificates.certificate,
            "tls_key": certificates.key,
            "metrics_listen": free_address(),
        }
    )


@pytest.fixture
async def client(server: Started, certificates: Certificates) -> AsyncIterator[Client]:
    async with Client(server.address, ca_certificate=certificates.authority_file) as connected:
        yield connected


def certificate_at(address: str) -> bytes:
    """What a new connection is shown."""
    host, _, port = address.rpartition(":")
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)))).strip()


async def osa(*args: str, **environment: str) -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr of the program."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("osa-grpc"),
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_both_clients_reach_a_server_whose_authority_they_know(
    server: Started, client: Client, certificates: Certificates
) -> None:
    info = await client.server_info()

    def blocking() -> pb.ServerInfo:
        with BlockingClient(server.address, ca_certificate=certificates.authority_file) as other:
            return other.server_info()

    assert await asyncio.to_thread(blocking) == info


async def test_a_client_that_does_not_know_the_authority_or_does_not_speak_tls_is_not_let_through(
    server: Started,
) -> None:
    for wrong in (Client(server.address, tls=True), Client(server.address)):
        async with wrong.with_timeout(10) as client, wrong:
            error = await refusal(client.server_info())
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "")


async def test_the_command_line_speaks_tls_by_options_and_by_environment(
    server: Started, certificates: Certificates, tmp_path: Path
) -> None:
    authority = str(certificates.authority_file)
    at = ["--server", server.address]
    for args, environment in (
        ([*INFO, *at, "--ca-certificate", authority], {}),
        (INFO, {"OSA_SERVER": server.address, "OSA_TLS": "1", "OSA_CA_CERTIFICATE": authority}),
    ):
        code, out, err = await osa(*args, **environment)
        assert code == 0, err
        assert json.loads(out)["runtimes"] == ["oci"]
    code, _, err = await osa("server", "info", *at)
    assert (code, "wants --tls" in err) == (exit_codes.UNAVAILABLE, True), err
    empty = tmp_path / "empty.pem"
    empty.touch()
    code, _, err = await osa(*INFO, *at, "--ca-certificate", str(empty))
    assert (code, "has no certificate in PEM" in err) == (2, True), err


async def test_health_and_reflection_are_spoken_over_tls_and_metrics_as_before(
    server: Started, server_settings: Settings, certificates: Certificates
) -> None:
    async with open_channel(server.address, ca_certificate=certificates.authority_file) as channel:
        checked = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert checked.status == health_pb2.HealthCheckResponse.SERVING
        ask = channel.stream_stream(
            f"/{V1}/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        answer = await anext(aiter(ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))))
        assert len(answer.list_services_response.service) > len(pb.SERVICES)
    text = await asyncio.to_thread(_read, f"http://{server_settings.metrics_listen}/metrics")
    assert "osa_grpc_streams" in text


def _read(url: str) -> str:
    with urllib.request.urlopen(url) as answer:
        return str(answer.read(), "utf-8")


async def test_a_new_certificate_is_shown_to_new_connections_while_an_open_watch_goes_on(
    server: Started, archive: Archive, certificates: Certificates
) -> None:
    run = await archive.start(await archive.convention(), check=progress("before") + WAIT + progress("after"))
    async with aclosing(archive.client.watch_run(run, on_interruption=_unexpected)) as events:
        while (await anext(events)).WhichOneof("kind") != "hook_progress":
            pass
        before = await asyncio.to_thread(certificate_at, server.address)
        certificates.install(certificates.issue())
        shown = before
        async with asyncio.timeout(20):
            while shown == before:
                shown = await asyncio.to_thread(certificate_at, server.address)
        archive.go(run)
        rest = [event async for event in events]
    assert [event.WhichOneof("kind") for event in rest][-1] == "run_finished"
    async with Client(server.address, ca_certificate=certificates.authority_file) as new:
        assert (await new.get_run(run)).state == pb.RUN_STATE_COMPLETED


def _unexpected(interruption: object) -> None:
    raise AssertionError(f"the watch was cut: {interruption}")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_nothing_older_than_tls_1_2_is_spoken(server: Started) -> None:
    assert await asyncio.to_thread(_spoken, server.address, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert await asyncio.to_thread(_spoken, server.address, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert await asyncio.to_thread(_spoken, server.address, ssl.TLSVersion.TLSv1_1) is None


def _spoken(address: str, version: ssl.TLSVersion) -> str | None:
    """What a client that speaks this version gets to; None: nowhere."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port))) as plain,
            context.wrap_socket(plain) as encrypted,
        ):
            return encrypted.version()
    except ssl.SSLError:
        return None


async def test_a_server_that_others_can_reach_says_that_it_lets_everybody_do_everything(
    server_settings: Settings,
) -> None:
    with capture_logs() as said:
        async with running(server_settings.model_copy(update={"listen": "0.0.0.0:0"})):
            pass
    [warning] = [line for line in said if line["event"] == "whoever reaches this address may do everything"]
    assert warning["log_level"] == "warning"


async def test_a_server_without_tls_says_nothing_to_a_client_that_wants_it(
    server_settings: Settings, certificates: Certificates
) -> None:
    plain = server_settings.model_copy(update={"tls_certificate": None, "tls_key": None})
    async with (
        running(plain) as (server, _),
        Client(server.address, ca_certificate=certificates.authority_file) as client,
    ):
        with pytest.raises(OsaRpcError) as caught:
            await client.with_timeout(10).server_info()
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
