"""What users meet whose archive is behind nginx, configured as docs/operating.md shows.

Its times are shortened, and so is the silence that they are for. OSA_TEST_QUIET_SECONDS=300 takes them as they are, and is silent
for that long.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from osa_grpc.application.log_following import LogFollowing
from osa_grpc.client import Client
from osa_grpc.client.channel import Stubs, open_channel
from osa_grpc.client.resumption import Interruption
from osa_grpc.server import app
from osa_grpc.server.app import Started, running
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.addresses import free_address
from tests.fixtures.archive import QUICK, WAIT, Archive, kinds, progress, refusal, until
from tests.fixtures.certificates import Certificates
from tests.fixtures.nginx import nginx_before
from tests.fixtures.server_process import Serving

QUIET_SECONDS = float(os.environ.get("OSA_TEST_QUIET_SECONDS", "10"))
FASTER = 1 if "OSA_TEST_QUIET_SECONDS" in os.environ else 30
BOOKMARK = timedelta(seconds=60 / FASTER if FASTER == 1 else 1)


@pytest.fixture
def server_settings(server_settings: Settings) -> Settings:
    return server_settings.model_copy(update={"trusted_proxies": (ip_network("127.0.0.1"),)})


@pytest.fixture(params=["TLS in front", "plain"])
def front(request: pytest.FixtureRequest, certificates: Certificates) -> Certificates | None:
    """What nginx speaks TLS with, if it does."""
    return certificates if request.param == "TLS in front" else None


@pytest.fixture
async def proxied(
    server: Started, nginx_program: Path, tmp_path: Path, front: Certificates | None
) -> AsyncIterator[str]:
    """Where nginx listens."""
    async with nginx_before(
        server.address,
        program=nginx_program,
        folder=tmp_path / "nginx",
        certificates=front,
        faster=FASTER,
    ) as address:
        yield address


@pytest.fixture
async def channel(proxied: str, front: Certificates | None) -> AsyncIterator[grpc.aio.Channel]:
    authority = None if front is None else front.authority_file
    async with open_channel(proxied, ca_certificate=authority) as opened:
        yield opened


@pytest.fixture
def client(channel: grpc.aio.Channel) -> Client:
    """Through nginx, as all that the archive is asked."""
    return Client(channel=channel, backoff=QUICK)


@pytest.fixture(autouse=True)
def hastened_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of followed logs, as many times as nginx."""
    every = timedelta(seconds=15 / FASTER)
    monkeypatch.setattr(app, "LogFollowing", partial(LogFollowing, poll=every, longest_silence=every))


@pytest.mark.timeout(QUIET_SECONDS * 2 + 120)
async def test_a_watch_and_a_log_in_which_nothing_happens_for_minutes_are_one_stream_each(
    archive: Archive, channel: grpc.aio.Channel
) -> None:
    hook = archive.hook(timeout_seconds=int(QUIET_SECONDS) * 2 + 120)
    run = await archive.start(await archive.convention(hook), check="echo begun\n" + WAIT + "echo done\n")
    stubs = Stubs(channel)
    log = asyncio.create_task(_log(stubs, f"{run}/executions/check"))
    request = pb.WatchRunRequest(name=run)
    request.bookmark_interval.FromTimedelta(BOOKMARK)
    watch = stubs.runs.WatchRun(request)
    bookmarks, events = 0, []
    async for answer in watch:
        events += answer.events
        bookmarks += answer.HasField("bookmark")
        if bookmarks * BOOKMARK.total_seconds() >= QUIET_SECONDS:
            archive.go(run)
            break
    async for answer in watch:
        events += answer.events
        assert not answer.HasField("closing")
    assert await watch.code() is grpc.StatusCode.OK
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert kinds(events)[-1] == "run_finished"
    assert await log == b"begun\ndone\n"


async def _log(stubs: Stubs, execution: str) -> bytes:
    """A followed log, in one call."""
    answers = stubs.runs.ReadRunLog(pb.ReadRunLogRequest(name=execution, follow=True))
    return b"".join([answer.data or answer.text.encode() async for answer in answers])


async def test_a_file_much_larger_than_nginx_takes_by_default_and_slower_than_its_timeouts_is_uploaded(
    archive: Archive, channel: grpc.aio.Channel, tmp_path: Path
) -> None:
    draft = await archive.draft(await archive.convention())
    content = os.urandom(2**20) * 12
    pause = 60 / FASTER
    pieces = 3

    async def requests() -> AsyncIterator[pb.UploadFileRequest]:
        yield pb.UploadFileRequest(
            header=pb.UploadFileHeader(
                parent=draft,
                file_name="large.bin",
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
        )
        for start in range(0, len(content), 2**20):
            if start % (len(content) // pieces) == 0:
                await asyncio.sleep(pause * 0.9)  # a client that has nothing to send for a while
            yield pb.UploadFileRequest(chunk=content[start : start + 2**20])

    answer = await Stubs(channel).depositions.UploadFile(requests())
    assert answer.file.size_bytes == len(content)
    downloaded = tmp_path / "large.bin"
    await archive.client.download_file(answer.file.name, downloaded)
    assert downloaded.read_bytes() == content


def _all_wrong(archive: Archive) -> pb.Convention:
    """A convention of which there is more to say than an error has room for."""
    hooks = [archive.hook(f"Größe-{number}-{'ü' * 100}") for number in range(60)]
    return pb.Convention(title="Shapes", version="1.0.0", hooks=hooks)


async def test_the_largest_error_arrives_whole(archive: Archive) -> None:
    error = await refusal(archive.client.register_convention("shapes", _all_wrong(archive)))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert len(error.violations) + error.omitted_count >= 60


async def test_the_log_has_the_clients_address_and_not_what_the_client_says_it_is(
    client: Client, channel: grpc.aio.Channel
) -> None:
    with capture_logs() as logs:
        await Stubs(channel).server.GetServerInfo(
            pb.GetServerInfoRequest(), metadata=(("x-forwarded-for", "198.51.100.1"),)
        )
        lines = await until(lambda: [line for line in logs if line["event"] == "rpc"])
    assert [line["client"] for line in lines] == ["127.0.0.1"]
    assert "grpc-python-asyncio" in lines[0]["user_agent"]


async def test_an_upload_is_not_taken_and_a_large_error_is_not_seen_without_the_lines_of_the_page(
    server: Started, archive: Archive, nginx_program: Path, tmp_path: Path
) -> None:
    draft = await archive.draft(await archive.convention())
    without = {"client_max_body_size 0;": "", "grpc_buffer_size 16k;": ""}
    async with (
        nginx_before(
            server.address,
            program=nginx_program,
            folder=tmp_path / "other",
            certificates=None,
            otherwise=without,
        ) as address,
        Client(address, backoff=QUICK) as client,
    ):
        large = await refusal(client.upload_file(draft, bytes(2**21), file_name="large.bin"))
        assert large.code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
        error = await refusal(client.register_convention("shapes", _all_wrong(archive)))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "")


async def test_nginx_speaks_tls_to_the_server_too(
    server_settings: Settings, certificates: Certificates, nginx_program: Path, tmp_path: Path
) -> None:
    files = {"tls_certificate": certificates.certificate, "tls_key": certificates.key}
    async with (
        running(server_settings.model_copy(update=files)) as (server, _),
        nginx_before(
            server.address,
            program=nginx_program,
            folder=tmp_path / "nginx",
            certificates=certificates,
            otherwise={"grpc_pass grpc://osa_grpc;": "grpc_pass grpcs://osa_grpc;"},
        ) as address,
        Client(address, ca_certificate=certificates.authority_file) as client,
    ):
        assert (await client.server_info()).runtimes == ["oci"]


@pytest.mark.timeout(300)
async def test_a_server_that_is_killed_and_started_again_behind_nginx_interrupts_a_watch_and_loses_nothing(
    serving: Serving, nginx_program: Path, tmp_path: Path
) -> None:
    at = free_address()
    server = await serving.start(f"--listen={at}")
    async with (
        nginx_before(
            at, program=nginx_program, folder=tmp_path / "nginx", certificates=None, faster=FASTER
        ) as address,
        Client(address, backoff=QUICK) as client,
    ):
        archive = Archive(client=client, data_directory=serving.data_directory, image_id=serving.image_id)
        run = await archive.start(await archive.convention(), check=progress("one") + WAIT)
        cuts: list[Interruption] = []
        async with aclosing(client.watch_run(run, on_interruption=cuts.append)) as events:
            heard = [await anext(events)]
            while kinds(heard)[-1] != "hook_progress":
                heard.append(await anext(events))
            await server.signalled(signal.SIGKILL)
            await serving.start(f"--listen={at}")
            archive.go(run)
            heard += [event async for event in events]
    assert cuts
    assert [event.sequence for event in heard] == list(range(1, len(heard) + 1))
    assert kinds(heard)[-1] == "run_finished"
