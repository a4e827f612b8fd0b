"""The log of a container: every byte, in order, in bounded memory."""

from __future__ import annotations

import asyncio

import pytest

from osa_grpc.runtimes.log_pump import MAX_CHUNK_BYTES, LogPump

PIECE = bytes(range(256)) * 128


async def test_every_byte_arrives_in_order_in_chunks_of_bounded_size() -> None:
    pieces = [bytes([n % 251]) * (n * 997 % 40_000) for n in range(1, 400)] + [PIECE * 10]
    waiting = iter([*pieces, b""])
    kept = bytearray()

    async def read() -> bytes:
        return next(waiting)

    async def keep(chunk: bytes) -> None:
        assert 0 < len(chunk) <= MAX_CHUNK_BYTES
        kept.extend(chunk)

    pump = LogPump(read=read, keep=keep)
    await asyncio.gather(pump.fill(), pump.drain())
    assert bytes(kept) == b"".join(pieces)


async def test_a_slow_keeper_slows_the_reading_and_does_not_grow_the_memory() -> None:
    read_bytes = 0
    stalled, goes_on = asyncio.Event(), asyncio.Event()

    async def read() -> bytes:
        nonlocal read_bytes
        if read_bytes >= 100 * 2**20:
            return b""
        read_bytes += len(PIECE)
        await asyncio.sleep(0)
        return PIECE

    async def keep(_: bytes) -> None:
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
    kept: asyncio.Queue[bytes] = asyncio.Queue()
    ended = asyncio.Event()
    waiting = iter([b"a", b"b"])

    async def read() -> bytes:
        if (piece := next(waiting, None)) is not None:
            return piece
        await ended.wait()
        return b""

    pump = LogPump(read=read, keep=kept.put)
    both = asyncio.gather(pump.fill(), pump.drain())
    assert await asyncio.wait_for(kept.get(), 5) == b"ab"
    ended.set()
    await both


async def test_what_reading_raises_is_raised_after_what_was_read_is_kept() -> None:
    kept: list[bytes] = []
    waiting = iter([b"last words"])

    async def read() -> bytes:
        try:
            return next(waiting)
        except StopIteration:
            raise ConnectionError from None

    async def keep(chunk: bytes) -> None:
        kept.append(chunk)

    pump = LogPump(read=read, keep=keep)
    results = await asyncio.gather(pump.fill(), pump.drain(), return_exceptions=True)
    assert isinstance(results[0], ConnectionError)
    assert kept == [b"last words"]
    with pytest.raises(ConnectionError):
        await pump.fill()
