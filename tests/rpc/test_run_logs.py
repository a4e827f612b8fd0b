"""Logs: every byte that a hook wrote, in order, from anywhere, also while it runs."""

import asyncio
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from osa_grpc.client import Client
from osa_grpc.client.channel import Stubs
from osa_grpc.server.app import Started
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, refusal

MOST = 200_000


@pytest.fixture
def server_settings(server_settings: Settings) -> Settings:
    return server_settings.model_copy(update={"max_log_bytes": MOST})


async def log(client: Client, run: str, **parts: Any) -> bytes:
    return b"".join([piece.data async for piece in client.read_run_log(f"{run}/executions/check", **parts)])


async def answers(server: Started, **request: Any) -> list[pb.ReadRunLogResponse]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        return [answer async for answer in Stubs(channel).runs.ReadRunLog(pb.ReadRunLogRequest(**request))]


async def test_a_log_is_what_the_hook_wrote_from_every_offset(archive: Archive, server: Started) -> None:
    script = "for i in $(seq 1 2000); do echo \"line $i é\"; done; printf '\\377\\000\\376'\n"
    run = await archive.finish(await archive.convention(), check=script)
    expected = b"".join(b"line %d \xc3\xa9\n" % i for i in range(1, 2001)) + b"\xff\x00\xfe"
    assert await log(archive.client, run.name) == expected
    assert run.executions[0].log_bytes == len(expected)
    for offset in (1, 8, 9, 4096, len(expected) - 1, len(expected)):
        assert await log(archive.client, run.name, offset=offset) == expected[offset:]

    pieces = await answers(server, name=f"{run.name}/executions/check")
    assert {piece.WhichOneof("content") for piece in pieces} == {"text", "data"} or len(pieces) == 1
    assert not any(piece.truncated for piece in pieces)
    at = 0
    for piece in pieces:
        assert piece.offset == at
        at += len(piece.text.encode() or piece.data)
    assert at == len(expected)


async def test_a_log_is_followed_while_the_hook_runs(archive: Archive) -> None:
    run = await archive.start(await archive.convention(), check=f"echo before\n{WAIT}echo after\n")
    await archive.until(run, "hook_started")
    pieces = archive.client.read_run_log(f"{run}/executions/check", follow=True)
    async with aclosing(pieces):
        heard = (await anext(pieces)).data
        assert heard == b"before\n"
        assert await log(archive.client, run) == b"before\n"
        archive.go(run)
        heard += b"".join([piece.data async for piece in pieces])
    assert heard == b"before\nafter\n"


async def test_a_log_of_a_hook_that_has_not_begun_is_waited_for(archive: Archive, server: Started) -> None:
    convention = await archive.convention(archive.hook("first"), archive.hook("check"))
    run = await archive.start(convention, first=WAIT, check="echo hello\n")
    await archive.until(run, "hook_started")
    name = f"{run}/executions/check"
    assert await answers(server, name=name) == []
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = Stubs(channel).runs.ReadRunLog(pb.ReadRunLogRequest(name=name, follow=True))
        heard = asyncio.create_task(call.read())
        archive.go(run)
        assert (await heard).text == "hello\n"
        assert await call.read() is grpc.aio.EOF
    await archive.end_of(run)


async def test_a_log_of_a_hook_that_is_skipped_ends(archive: Archive, server: Started) -> None:
    convention = await archive.convention(archive.hook("first"), archive.hook("check"))
    run = await archive.start(convention, first=WAIT + "exit 1\n")
    await archive.until(run, "hook_started")
    async with grpc.aio.insecure_channel(server.address) as channel:
        request = pb.ReadRunLogRequest(name=f"{run}/executions/check", follow=True)
        heard = asyncio.create_task(Stubs(channel).runs.ReadRunLog(request).read())
        archive.go(run)
        assert await heard is grpc.aio.EOF


async def test_a_log_beyond_its_cap_is_cut_with_a_mark_and_never_grows_the_server(
    archive: Archive, server: Started
) -> None:
    run = await archive.finish(await archive.convention(), check="head -c 20000000 /dev/zero | tr '\\0' y\n")
    assert run.state == pb.RUN_STATE_COMPLETED
    pieces = await answers(server, name=f"{run.name}/executions/check")
    assert "".join(piece.text for piece in pieces) == "y" * MOST
    assert [piece.truncated for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert run.executions[0].log_bytes == MOST


@pytest.mark.parametrize(
    ("request_parts", "code", "reason"),
    [
        ({"offset": 7}, grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE"),
        ({"offset": -1}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"attempt": 2}, grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
        ({"attempt": -1}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
        ({"hook": "none"}, grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
    ],
)
async def test_what_no_log_has_is_refused(
    archive: Archive, server: Started, request_parts: dict[str, Any], code: grpc.StatusCode, reason: str
) -> None:
    run = await archive.finish(await archive.convention(), check="echo hello\n")
    hook = request_parts.pop("hook", "check")
    error = await refusal(answers(server, name=f"{run.name}/executions/{hook}", **request_parts))
    assert (error.code, error.reason) == (code, reason)
