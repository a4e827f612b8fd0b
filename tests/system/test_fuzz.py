"""Whatever is sent to a server, it answers in time what is wrong, and stays as it was.

Every method of every service gets requests that fit, that nearly fit, that do not, and bytes that are none; some connections keep
to no protocol at all. `OSA_TEST_FUZZ_SECONDS` says for how long (`make test-fuzz`: ten minutes), `OSA_TEST_FUZZ_SEED` which round
is the first: what fails says which it was.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from osa_grpc.client import OsaRpcError
from osa_grpc.wire import pb
from tests.fixtures.addresses import free_address
from tests.fixtures.archive import Archive, until
from tests.fixtures.fuzz_answers import Tally, is_path_in, judge, make
from tests.fixtures.fuzz_calls import Call, Calls, Grade, path_of
from tests.fixtures.fuzz_connections import (
    ASKING,
    GOAWAY,
    START,
    WRONG,
    Connection,
    Ending,
    connect,
    connections,
    frame,
    headers,
    message,
)
from tests.fixtures.fuzz_frames import LARGE, filling
from tests.fixtures.fuzz_world import World, WorldMaking
from tests.fixtures.request_places import METHODS
from tests.fixtures.server_footprint import Footprint, footprint
from tests.fixtures.server_process import ServerProcess, Serving

SECONDS: Final = float(os.environ.get("OSA_TEST_FUZZ_SECONDS", "30"))
SEED: Final = int(os.environ.get("OSA_TEST_FUZZ_SEED", random.randrange(10**6)))

AT_ONCE: Final = 8
EXAMPLES: Final = 100
"""Of a round; each is a few calls at once."""
PROMPT_SECONDS: Final = 10.0
REASONS: Final = 20
"""So many there are at least, or the requests are not good enough."""
GROWTH_BYTES: Final = 64 * 2**20
"""What a server may have in memory more than after it has seen a bit of everything."""
LATEST: Final = 5
"""Of so many rounds one at least finds it back at what it needs: what is freed goes back to the machine later, if at all."""
MORE_FILES: Final = 20
"""Of them twelve are connections to the database, made when there is more to do."""
LOG_BYTES_PER_CALL: Final = 600
LONGEST_LINE: Final = 2_000

INFO: Final = next(method for method in METHODS if method.name == "GetServerInfo")

MAKERS: Final[Mapping[str, Sequence[str]]] = {
    "convention": ["RegisterConvention"],
    "deposition": ["CreateDeposition"],
    "deposition_file": ["UploadFile"],
    "run": ["SubmitDeposition", "RetryRun"],
    "request": [method.name for method in METHODS if "request_id" in method.input_type.fields_by_name]
    + ["UploadFile"],
}
"""What adds a row to a table, at most one."""


@dataclass(kw_only=True)
class Fuzzing:
    """A server, and what it was sent so far."""

    server: ServerProcess
    channel: grpc.aio.Channel
    database: asyncpg.Connection[asyncpg.Record]
    metrics_address: str
    tally: Tally = field(default_factory=Tally)
    connections: int = 0

    async def ask(self, method: MethodDescriptor, request: Message) -> Any:
        """The first answer to a request that is not fuzz."""
        data = request.SerializeToString()
        call = self.channel.unary_stream(path_of(method))(data, timeout=PROMPT_SECONDS)
        return message_factory.GetMessageClass(method.output_type).FromString(await call.read())

    async def send(self, batch: Sequence[Call | Connection]) -> None:
        """Send all of these at once, and judge each answer."""
        ends = await asyncio.gather(*(self._send(one) for one in batch), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _send(self, one: Call | Connection) -> None:
        if isinstance(one, Connection):
            self.connections += 1
            await connect(one, self.server.address)
            return
        answer = await make(one, self.channel)
        self.tally.note(one, answer)
        judge(one, answer)

    async def send_what_fits(self, world: World) -> None:
        """Send every request that should succeed, one after the other, and every connection that there is."""
        for method in METHODS:
            for request in world.requests[method.full_name]:
                data = (request.SerializeToString(),)
                await self._send(
                    Call(path=path_of(method), method=method, grade=Grade.FITTING, data=data, stays_for=1)
                )
        info = path_of(INFO)
        for size in LARGE:
            data = (filling(INFO.input_type, size),)
            await self.send([Call(path=info, method=INFO, grade=Grade.GARBAGE, data=data)] * AT_ONCE)
        for sent in (*ASKING, *WRONG):
            await self._send(Connection(sent=(sent,), ending=Ending.CLOSED, asks=sent in ASKING))

    async def round(self, making: WorldMaking, number: int) -> None:
        """Send what is drawn from a seed; it leaves no more rows than it asked for."""
        world = await making.world()
        rows = await self.rows()
        may_be = {
            table: -sum(self.tally.effects[maker] for maker in makers) for table, makers in MAKERS.items()
        }
        await asyncio.to_thread(send_drawn, self, world, number, asyncio.get_running_loop())
        for table, count in (await self.rows()).items():
            most = rows[table] + may_be[table] + sum(self.tally.effects[maker] for maker in MAKERS[table])
            assert count <= most, f"{table} has {count} rows, and {most} at most were asked for"
        await making.end()

    async def rows(self) -> dict[str, int]:
        """How many rows each table has."""
        return {table: await self.database.fetchval(f"SELECT count(*) FROM osa.{table}") for table in MAKERS}

    async def settled(self) -> Footprint:
        """What the server takes once nothing is under way any more. It answers promptly."""
        async with asyncio.timeout(PROMPT_SECONDS):
            health = health_pb2_grpc.HealthStub(self.channel)
            found = await health.Check(health_pb2.HealthCheckRequest())
            assert found.status == health_pb2.HealthCheckResponse.SERVING
            assert (await self.ask(INFO, pb.GetServerInfoRequest())).HasField("server_info")

        async def idle() -> Footprint | None:
            found = await footprint(self.server, self.metrics_address)
            return found if found.under_way == 0 else None

        found: Footprint = await until(idle)
        return found


@asynccontextmanager
async def fuzzing(
    serving: Serving, database: asyncpg.Connection[asyncpg.Record]
) -> AsyncIterator[tuple[Fuzzing, Archive]]:
    """A server to be fuzzed."""
    metrics = free_address()
    server = await serving.start(
        "--idle-upload-seconds=1", "--max-running-hooks=4", f"--metrics-listen={metrics}"
    )
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with (
        serving.archive(server) as archive,
        grpc.aio.insecure_channel(server.address, options) as channel,
    ):
        yield Fuzzing(server=server, channel=channel, database=database, metrics_address=metrics), archive
    assert await server.signalled(signal.SIGTERM) == 0


def send_drawn(fuzz: Fuzzing, world: World, number: int, loop: asyncio.AbstractEventLoop) -> None:
    """Draw what is sent, and send it; in a thread, because hypothesis knows of no loop."""
    calls = Calls(world)
    acts = st.integers(0, 9).flatmap(lambda n: connections() if n == 0 else calls.drawn())

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.generate],  # an example that is not answered would be tried for ever
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    @given(st.lists(acts, min_size=1, max_size=AT_ONCE))
    def send(batch: list[Call | Connection]) -> None:
        asyncio.run_coroutine_threadsafe(fuzz.send(batch), loop).result()

    send()


def check_log(log: str, calls: int) -> None:
    """The log grew by a line for each call at most, short ones, and tells of nothing that went wrong here."""
    lines = log.splitlines()
    assert "Traceback" not in log
    assert [line for line in lines if "[error" in line] == []
    assert [line for line in lines if len(line) > LONGEST_LINE] == []
    assert [line for line in lines if not line.replace("\t", " ").isprintable()] == []
    assert len(log) <= LOG_BYTES_PER_CALL * calls, f"{len(log)} bytes for {calls} calls"


@pytest.mark.timeout(2 * SECONDS + 240)
async def test_whatever_is_sent_is_answered_and_nothing_is_left_of_it(
    serving: Serving, connection: asyncpg.Connection[asyncpg.Record]
) -> None:
    say = sys.stdout.write
    async with fuzzing(serving, connection) as (fuzz, archive):
        making = WorldMaking(archive, fuzz.ask, connection)
        await making.once()
        await fuzz.send_what_fits(await making.world())
        await making.end()
        number, end = SEED, time.monotonic() + SECONDS
        try:
            await fuzz.round(making, number)
            first = last = await fuzz.settled()
            resident = [first.resident_bytes]
            say(f"\nafter a first round: {first}\n")
            while time.monotonic() < end:
                number += 1
                await fuzz.round(making, number)
                last = await fuzz.settled()
                say(f"after {number}, {fuzz.tally.calls} calls: {last}\n")
                resident.append(last.resident_bytes)
                assert last.open_files <= first.open_files + MORE_FILES, f"{first}, then {last}"
        except BaseException:
            say(f"OSA_TEST_FUZZ_SEED={number}\n")
            raise
        finally:
            say(f"{fuzz.tally}")
        log = serving.said()
        calls = fuzz.tally.calls + fuzz.connections + WorldMaking.CALLS * (number - SEED + 2)
        say(
            f"seeds {SEED} to {number}; {fuzz.connections} connections; in the end {last}; "
            f"{len(log) / calls:.0f} bytes of log a call\n"
        )
        check_log(log, calls)
        assert min(resident[-LATEST:]) <= first.resident_bytes + GROWTH_BYTES, f"{first}, then {resident}"
        assert len(fuzz.tally.reasons) >= REASONS
        for method in METHODS:
            assert fuzz.tally.codes[path_of(method)]["OK"], f"{method.full_name} was never answered OK"


async def test_what_a_client_says_as_it_goes_makes_no_line_in_the_log(serving: Serving) -> None:
    server = await serving.start()
    last_words = bytes(7) + b"\7\n2026-11-24 [error] forged \x1b[2J"
    await connect(
        Connection(sent=(START + frame(GOAWAY, 0, 0, last_words),), ending=Ending.CLOSED), server.address
    )
    async with serving.archive(server) as archive:
        await archive.client.server_info()
    assert await server.signalled(signal.SIGTERM) == 0
    assert "forged" not in serving.said()


async def test_a_method_whose_name_is_no_text_does_not_end_the_server(serving: Serving) -> None:
    server = await serving.start()
    block = headers("/opensciencearchive.v1.ServerService/GetServerInfo").replace(b"/opens", b"/open\xf3")
    async with serving.archive(server) as archive:
        for _ in range(2):
            call = START + frame(1, 4, 1, block) + frame(0, 1, 1, message(b""))
            await connect(Connection(sent=(call,), ending=Ending.CLOSED, asks=True), server.address)
            await until(lambda: "another takes its place" in serving.said())

            async def answers() -> bool:
                try:
                    return bool((await archive.client.server_info()).version)
                except (grpc.RpcError, OsaRpcError):
                    return False

            await until(answers)
    assert await server.signalled(signal.SIGTERM) == 0


def test_a_path_is_one_of_the_request_or_it_is_none() -> None:
    request = pb.RegisterConventionRequest.DESCRIPTOR
    for path in (
        "convention_id", "convention.hooks[1].oci.digest", "convention.hooks[1].runtime", "convention.hooks",
        "convention.hooks[0].oci.config.a[0].b", "convention.metadata_schema[63].name",
    ):  # fmt: skip
        assert is_path_in(request, path), path
    for path in (
        "",
        "name",
        "convention.",
        "convention[0].title",
        "convention.hooks[1].none",
        "convention_id.x",
        "runtime",
    ):
        assert not is_path_in(request, path), path
