"""Logs as a whole: byte by byte what the hook wrote, whatever that is, and whoever reads it in the meantime."""

import asyncio
import hashlib
from contextlib import AsyncExitStack

import grpc
import pytest

from osa_grpc.client.channel import Stubs
from osa_grpc.server.app import Started
from osa_grpc.wire import pb
from osa_grpc.wire.transport import CLIENT_CHANNEL_OPTIONS
from tests.fixtures.archive import Archive, column, kinds, until

# The hook says itself, as its only row, what it has printed.
PRINT = """
echo "[{\\"label\\": \\"$(sha256sum < /tmp/log | cut -d ' ' -f 1)\\"}]" > /osa/out/features.json
cat /tmp/log
"""
LINES = """
i=0
while [ $i -lt 30000 ]; do
  echo line $i; i=$((i+1))
  [ $((i % 1500)) -ne 0 ] || sleep 0.1
done
"""
"""30000 lines, over some seconds."""
SLOW_READERS = 8


async def whole_log(archive: Archive, execution: str, *, offset: int = 0, follow: bool = False) -> bytes:
    pieces = archive.client.read_run_log(execution, offset=offset, follow=follow)
    return b"".join([piece.data async for piece in pieces])


@pytest.mark.parametrize(
    "write",
    [
        ": > /tmp/log",
        "printf x > /tmp/log",
        "yes 'a line, é' | head -c 5000000 > /tmp/log",
        "head -c 5000000 /dev/zero | tr '\\0' x > /tmp/log",
        "head -c 3000000 /dev/urandom > /tmp/log",
        "yes '' | head -n 100000 > /tmp/log",
        "printf '\\r\\n\\033[31m\\000\\377\\n\\n' > /tmp/log",
    ],
    ids=["nothing", "one byte", "text", "no newline", "random bytes", "empty lines", "control characters"],
)
async def test_a_log_is_byte_by_byte_what_the_hook_wrote(archive: Archive, write: str) -> None:
    hook = archive.hook("check", column("label", pb.JSON_TYPE_STRING))
    run = await archive.finish(await archive.convention(hook), check=f"{write}\n{PRINT}")
    assert run.state == pb.RUN_STATE_COMPLETED, run.failure
    [row] = [row async for row in archive.client.query("featureTables/check", columns=["label"])]
    log = await whole_log(archive, run.executions[0].name)
    assert hashlib.sha256(log).hexdigest() == row["label"]
    assert run.executions[0].log_bytes == len(log)


async def test_followers_see_no_seam_between_what_was_kept_and_what_comes(archive: Archive) -> None:
    expected = b"".join(b"line %d\n" % i for i in range(30000))
    run = await archive.start(await archive.convention(), check=LINES)
    execution = f"{run}/executions/check"
    await archive.until(run, "hook_started")
    from_the_beginning = asyncio.create_task(whole_log(archive, execution, follow=True))
    joined: list[tuple[int, asyncio.Task[bytes]]] = []

    async def join_where_it_is() -> bool:
        """Follow from the last byte that is kept at this moment."""
        kept = await whole_log(archive, execution)
        assert expected.startswith(kept)
        joined.append(
            (len(kept), asyncio.create_task(whole_log(archive, execution, offset=len(kept), follow=True)))
        )
        return from_the_beginning.done()

    await until(join_where_it_is)
    assert await from_the_beginning == expected
    for offset, following in joined:
        assert await following == expected[offset:]
    assert len({offset for offset, _ in joined}) > 2
    assert (await archive.end_of(run)).executions[0].log_bytes == len(expected)


async def test_readers_that_take_nothing_do_not_slow_the_hook(archive: Archive, server: Started) -> None:
    convention = await archive.convention()
    print_much = "head -c 40000000 /dev/zero | tr '\\0' x\n"
    seconds = []
    for readers in (0, SLOW_READERS):
        run = await archive.start(convention, check=print_much)
        async with AsyncExitStack() as stack:
            for _ in range(readers):
                options = (*CLIENT_CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
                channel = await stack.enter_async_context(
                    grpc.aio.insecure_channel(server.address, options=options)
                )
                request = pb.ReadRunLogRequest(name=f"{run}/executions/check", follow=True)
                call = Stubs(channel).runs.ReadRunLog(request)
                await call.wait_for_connection()
                await call.read()
            await archive.end_of(run)
        history = await archive.history(run)
        assert kinds(history)[-3:] == ["hook_finished", "record_published", "run_finished"]
        seconds.append(history[-3].hook_finished.duration.ToTimedelta().total_seconds())
    alone, watched = seconds
    assert watched < 3 * alone + 2
