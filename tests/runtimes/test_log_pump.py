"""The log of a container: every byte, in order, in bounded memory."""

from __future__ import annotations

import asyncio

import pytest

from osa_grpc.runtimes.log_position import GAP, STDERR, STDOUT, LogPiece
from osa_grpc.runtimes.log_pump import MAX_CHUNK_BYTES, LogChunk, LogPump

PIECE = bytes(range(256)) * 128


async def test_every_byte_arrives_in_order_in_chunks_of_bounded_size() -> None:
    pieces = [bytes([n % 251]) * (n * 997 % 40_000) for n in range(1, 400)] + [PIECE * 10]
    waiting = iter([LogPiece(STDOUT, piece) for piece in pieces])
    kept = bytearray()

    async def read() -> LogPiece | None:
        return next(waiting, None)

    async def keep(chunk: LogChunk) -> None:
        assert 0 < len(chunk.data) <= MAX_CHUNK_BYTES
        kept.extend(chunk.data)

    pump = LogPump(read=read, keep=keep)
    await asyncio.gather(pump.fill(), pump.drain())
    assert bytes(kept) == b"".join(pieces)


async def test_a_slow_keeper_slows_the_reading_and_does_not_grow_the_memory() -> None:
    read_bytes = 0
    stalled, goes_on = asyncio.Event(), asyncio.Event()

    async def read() -> LogPiece | None:
        nonlocal read_bytes
        if read_bytes >= 100 * 2**20:
            return None
        read_bytes += len(PIECE)
        await asyncio.sleep(0)
        return LogPiece(STDOUT, PIECE)

    async def keep(_: LogChunk) -> None:
        stalled.set()
        await goes_on.wait()

    pump = LogPump(read=read, keep=keep)
    both = asyncio.gather(pump.fill(), pump.drain())
    await stalled.wait()
    before = -1
    while before != read_bytes:  # until reading has come to a stand
        before = read_bytes
        for _ in range(10):
            await asyncio.sleep(0)
    assert read_bytes <= 5 * 2**20
    assert pump.is_keeping
    goes_on.set()
    await both
    assert read_bytes == 100 * 2**20
    assert pump.moved_bytes == 2 * read_bytes


async def test_the_first_byte_does_not_wait_for_a_full_chunk() -> None:
    kept: asyncio.Queue[LogChunk] = asyncio.Queue()
    ended = asyncio.Event()
    waiting = iter([LogPiece(STDOUT, b"a"), LogPiece(STDOUT, b"b")])

    async def read() -> LogPiece | None:
        if (piece := next(waiting, None)) is not None:
            return piece
        await ended.wait()
        return None

    pump = LogPump(read=read, keep=kept.put)
    both = asyncio.gather(pump.fill(), pump.drain())
    assert (await asyncio.wait_for(kept.get(), 5)).data == b"ab"
    ended.set()
    await both


async def test_what_reading_raises_is_raised_after_what_was_read_is_kept() -> None:
    kept: list[bytes] = []
    waiting = iter([LogPiece(STDOUT, b"last words")])

    async def read() -> LogPiece:
        try:
            return next(waiting)
        except StopIteration:
            raise ConnectionError from None

    async def keep(chunk: LogChunk) -> None:
        kept.append(chunk.data)

    pump = LogPump(read=read, keep=keep)
    results = await asyncio.gather(pump.fill(), pump.drain(), return_exceptions=True)
    assert isinstance(results[0], ConnectionError)
    assert kept == [b"last words"]
    with pytest.raises(ConnectionError):
        await pump.fill()


async def test_a_chunk_says_which_stream_its_bytes_are_of_and_a_gap_stands_alone() -> None:
    written = [(STDOUT, b"a"), (STDOUT, b"b"), (STDERR, b"c"), GAP, (STDOUT, b"d"), GAP]
    waiting = iter([LogPiece(*piece) for piece in written])
    chunks: list[list[LogPiece]] = []

    async def read() -> LogPiece | None:
        return next(waiting, None)

    async def keep(chunk: LogChunk) -> None:
        assert chunk.is_gap == (GAP in chunk.pieces)
        chunks.append(list(chunk.pieces))

    pump = LogPump(read=read, keep=keep)
    await asyncio.gather(pump.fill(), pump.drain())
    assert chunks == [
        [LogPiece(STDOUT, b"ab"), LogPiece(STDERR, b"c")],
        [GAP],
        [LogPiece(STDOUT, b"d")],
        [GAP],
    ]


async def test_bytes_that_come_one_by_one_do_not_take_a_hundred_times_their_size() -> None:
    read_bytes = 0
    stalled = asyncio.Event()

    async def read() -> LogPiece | None:
        nonlocal read_bytes
        read_bytes += 1
        return LogPiece(read_bytes % 2 + 1, b"x")

    async def keep(_: LogChunk) -> None:
        stalled.set()
        await asyncio.Event().wait()

    pump = LogPump(read=read, keep=keep)
    both = asyncio.gather(pump.fill(), pump.drain())
    await stalled.wait()
    before = -1
    while before != read_bytes:  # until reading has come to a stand
        before = read_bytes
        await asyncio.sleep(0)
    assert read_bytes < 150_000
    both.cancel()
    await asyncio.gather(both, return_exceptions=True)
