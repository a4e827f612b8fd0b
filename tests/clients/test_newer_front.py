"""What a newer server in front of today's says beside, so that whoever goes on at it has met something to go on from."""

from collections.abc import AsyncIterator

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from osa_grpc.client import Client, Interruption
from osa_grpc.server.app import Started
from osa_grpc.wire import pb
from osa_grpc.wire.transport import STATUS_DETAILS_KEY
from tests.clients.foreign_contract import PACKAGE
from tests.clients.newer_contract import LATER
from tests.clients.newer_front import newer_front
from tests.fixtures.archive import Archive, progress, refusal


@pytest.fixture
async def front(server: Started) -> AsyncIterator[str]:
    async with newer_front(server.address) as address:
        yield address


@pytest.fixture
async def newer(front: str) -> AsyncIterator[Client]:
    async with Client(front) as client:
        yield client


async def test_every_event_has_one_of_an_unknown_kind_before_it_and_run_finished_is_the_last(
    archive: Archive, newer: Client
) -> None:
    run = await archive.start(await archive.convention(), check=progress("on"))
    events = [event async for event in newer.watch_run(run)]
    assert [event.sequence for event in events] == list(range(1, 13))
    assert {event.WhichOneof("kind") for event in events[::2]} == {None}
    assert [event.WhichOneof("kind") for event in events[1::2]] == [
        "run_started",
        "hook_started",
        "hook_progress",
        "hook_finished",
        "record_published",
        "run_finished",
    ]
    assert events[-1].run_finished.state == LATER


async def test_a_watch_that_was_cut_is_closed_once_for_an_unknown_reason_and_goes_on_exactly(
    archive: Archive, newer: Client
) -> None:
    over = await archive.finish(await archive.convention(), check=progress("on"))
    interruptions: list[Interruption] = []
    async for _ in newer.watch_run(over.name):
        break
    events = [event async for event in newer.watch_run(over.name, on_interruption=interruptions.append)]
    assert [event.sequence for event in events] == list(range(1, 13))
    assert [interruption.error for interruption in interruptions] == [None]


async def test_errors_have_a_detail_of_an_unknown_type_before_their_own(front: str, newer: Client) -> None:
    async with grpc.aio.insecure_channel(front) as channel:
        ask = channel.unary_unary(f"/{PACKAGE}.RunService/GetRun")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await ask(pb.GetRunRequest(name="runs/nobody-s").SerializeToString())
    trailers = dict(iter(raised.value.trailing_metadata()))
    first, *others = Status.FromString(trailers[STATUS_DETAILS_KEY]).details
    assert first.TypeName() == f"{PACKAGE}.LaterDetail"
    assert any(other.Is(ErrorInfo.DESCRIPTOR) for other in others)
    assert (await refusal(newer.get_run("runs/nobody-s"))).reason != ""
