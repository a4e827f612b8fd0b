"""Joining the log of an adopted container: exactly, or with a gap that is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.runtimes.docker_logs import LogLines
from osa_grpc.runtimes.log_mark import LogMark, marked_position
from osa_grpc.runtimes.log_position import GAP, STDERR, STDOUT, LogPiece, LogPosition, StreamPosition
from osa_grpc.runtimes.log_replay import LogEntry, LogReplay, LogUnreadableError

BEGAN_AT = datetime(2026, 1, 1, tzinfo=UTC)

pieces_of_both_streams = st.lists(
    st.builds(LogPiece, st.sampled_from([STDOUT, STDERR]), st.binary(min_size=1, max_size=5)), max_size=30
)


def entries_of(pieces: Sequence[LogPiece]) -> list[LogEntry]:
    return [
        LogEntry(piece.stream, BEGAN_AT + timedelta(seconds=second), piece.data)
        for second, piece in enumerate(pieces)
    ]


def position_after(pieces: Sequence[LogPiece], at: datetime | None = None) -> LogPosition:
    streams = {STDOUT: StreamPosition(), STDERR: StreamPosition()}
    for piece in pieces:
        streams[piece.stream] = streams[piece.stream].after(piece.data)
    return LogPosition(stdout=streams[STDOUT], stderr=streams[STDERR], at=at)


def bytes_of(pieces: Sequence[LogPiece], stream: int) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.stream == stream)


class EngineLog:
    """What an engine answers, reading after reading; it has ended when there is only one left."""

    def __init__(self, *readings: Sequence[LogEntry] | Exception) -> None:
        self._readings = list(readings)

    async def has_ended(self) -> bool:
        return len(self._readings) == 1

    async def entries(self, follow: bool, newer_than: datetime | None) -> AsyncGenerator[LogEntry]:  # noqa: FBT001 - as it is called
        assert follow == (len(self._readings) > 1)
        reading = self._readings.pop(0) if follow else self._readings[0]
        if isinstance(reading, Exception):
            raise reading
        for entry in reading:
            if newer_than is None or entry.at > newer_than:
                yield entry


async def replayed(position: LogPosition, *readings: Sequence[LogEntry] | Exception) -> list[LogPiece]:
    log = EngineLog(*readings)
    replay = LogReplay(entries=log.entries, has_ended=log.has_ended, position=position)
    return [piece async for piece in replay.pieces()]


@given(pieces_of_both_streams, st.data())
async def test_what_was_taken_comes_no_more_in_whatever_order_it_was_taken(
    written: list[LogPiece], data: st.DataObject
) -> None:
    out_bytes = data.draw(st.integers(0, len(bytes_of(written, STDOUT))))
    err_bytes = data.draw(st.integers(0, len(bytes_of(written, STDERR))))
    taken = [
        LogPiece(STDERR, bytes_of(written, STDERR)[:err_bytes]),
        LogPiece(STDOUT, bytes_of(written, STDOUT)[:out_bytes]),
    ]
    followed = entries_of(written)[: data.draw(st.integers(0, len(written)))]
    came = await replayed(position_after(taken), followed, entries_of(written))
    assert GAP not in came
    for stream in (STDOUT, STDERR):
        assert bytes_of([*taken, *came], stream) == bytes_of(written, stream)


async def test_what_following_lost_in_the_middle_is_a_gap() -> None:
    written = [LogPiece(STDOUT, b"a"), LogPiece(STDOUT, b"b"), LogPiece(STDOUT, b"c"), LogPiece(STDOUT, b"d")]
    entries = entries_of(written)
    came = await replayed(LogPosition(), [entries[0], entries[2]], entries)
    assert came == [LogPiece(STDOUT, b"a"), LogPiece(STDOUT, b"c"), GAP, LogPiece(STDOUT, b"d")]


async def test_a_log_whose_beginning_is_gone_goes_on_behind_a_gap_with_what_is_newer() -> None:
    written = [LogPiece(STDOUT, bytes([n])) for n in range(10)]
    position = position_after(written[:3], at=BEGAN_AT + timedelta(seconds=2))
    came = await replayed(position, entries_of(written)[5:])
    assert came == [GAP, *written[5:]]


async def test_a_log_that_is_shorter_than_what_was_taken_of_it_has_a_gap() -> None:
    written = [LogPiece(STDOUT, b"a"), LogPiece(STDOUT, b"b")]
    position = position_after(written, at=BEGAN_AT + timedelta(seconds=9))
    assert await replayed(position, entries_of(written)[:1]) == [GAP]


async def test_after_a_gap_bytes_are_not_counted_any_more() -> None:
    position = LogPosition(at=BEGAN_AT + timedelta(seconds=1), is_exact=False)
    written = [LogPiece(STDOUT, b"a"), LogPiece(STDERR, b"b"), LogPiece(STDOUT, b"c")]
    assert await replayed(position, entries_of(written)) == [GAP, written[2]]


async def test_a_log_that_cannot_be_followed_is_read_when_the_container_has_ended() -> None:
    written = [LogPiece(STDOUT, b"a")]
    assert await replayed(LogPosition(), LogUnreadableError("no"), entries_of(written)) == written


async def test_a_log_that_cannot_be_read_at_all_is_a_gap() -> None:
    assert await replayed(LogPosition(), LogUnreadableError("no")) == [GAP]


def frame(time: int, data: bytes, stream: int = STDOUT) -> bytes:
    payload = b"2026-01-01T00:00:00.%09dZ " % time + data
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    ("frames", "written", "surmise"),
    [
        ([(1, b"a\n"), (2, b"\n"), (3, b"b\n")], b"a\n\nb\n", b""),
        ([(1, b"a\n"), (2, b"b")], b"a\nb", b""),
        ([(1, b"long"), (1, b"er"), (2, b"b\n")], b"longer\nb\n", b""),
        ([(1, b"long"), (1, b"er\n"), (2, b"b\n")], b"longer\nb\n", b""),
        ([(1, b"long"), (1, b""), (2, b"long"), (2, b"")], b"long\nlong\n", b""),
        ([(1, b"long"), (1, b"er")], b"longer", b"\n"),
    ],
    ids=["lines", "open", "long", "long, by a newer engine", "long and empty", "long at the end"],
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_newlines_that_the_engine_leaves_out_come_back(
    frames: list[tuple[int, bytes]], written: bytes, surmise: bytes, step: int
) -> None:
    sent = b"".join(frame(time, data) for time, data in frames)
    lines = LogLines(loses_newlines=True)
    entries = [
        entry for begin in range(0, len(sent), step) for entry in lines.feed(sent[begin : begin + step])
    ]
    entries += lines.end()
    assert b"".join(entry.data for entry in entries if not entry.is_surmise) == written
    assert b"".join(entry.data for entry in entries if entry.is_surmise) == surmise


def test_an_engine_that_keeps_newlines_gets_none_added() -> None:
    lines = LogLines(loses_newlines=False)
    entries = list(lines.feed(frame(1, b"long") + frame(2, b"er") + frame(3, b"b\n")))
    assert b"".join(entry.data for entry in [*entries, *lines.end()]) == b"longerb\n"


def test_what_the_engine_says_of_its_trouble_is_no_output() -> None:
    lines = LogLines(loses_newlines=True)
    with pytest.raises(LogUnreadableError, match="disk"):
        list(lines.feed(frame(1, b"disk", stream=3)))


@pytest.mark.parametrize("committed", [True, False])
def test_the_mark_knows_both_sides_of_the_chunk_that_was_under_way(
    tmp_path: Path, *, committed: bool
) -> None:
    path = tmp_path / "mark"
    mark = LogMark(path=path, cap_bytes=100, kept_bytes=0, position=LogPosition())
    first = [LogPiece(STDOUT, b"abc"), LogPiece(STDERR, b"d")]
    second = [LogPiece(STDERR, b"e")]
    mark.goes_to(first)
    mark.goes_to(second)
    mark.close()
    found = marked_position(path, kept_bytes=5 if committed else 4, cap_bytes=100)
    expected = position_after([*first, *second] if committed else first)
    assert (found.stdout, found.stderr) == (expected.stdout, expected.stderr)
    assert found.is_exact


def test_who_held_the_log_before_does_not_write_to_the_mark_of_who_holds_it_now(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    before = LogMark(path=path, cap_bytes=100, kept_bytes=0, position=LogPosition())
    now = LogMark(path=path, cap_bytes=100, kept_bytes=0, position=LogPosition())
    now.goes_to([LogPiece(STDOUT, b"a")])
    before.goes_to([LogPiece(STDOUT, b"another")])
    assert marked_position(path, kept_bytes=1, cap_bytes=100).is_exact
    before.close()
    now.close()


def test_a_log_of_which_no_more_is_kept_goes_on_before_what_was_too_much(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    mark = LogMark(path=path, cap_bytes=10, kept_bytes=0, position=LogPosition())
    for _ in range(5):
        mark.goes_to([LogPiece(STDOUT, b"abcd")])
    mark.close()
    assert marked_position(path, kept_bytes=10, cap_bytes=10).stdout.size_bytes == 8


@pytest.mark.parametrize("content", [None, b"", b"[1]", b'[{"kept": "x"}]', b"[[]]", b"\xff"])
def test_a_mark_that_cannot_be_read_leaves_a_gap_unless_nothing_was_kept(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "mark"
    if content is not None:
        path.write_bytes(content)
    assert marked_position(path, kept_bytes=0, cap_bytes=100) == LogPosition()
    assert not marked_position(path, kept_bytes=7, cap_bytes=100).is_exact


def test_a_gap_is_never_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    mark = LogMark(path=path, cap_bytes=100, kept_bytes=0, position=LogPosition())
    mark.goes_to([LogPiece(STDOUT, b"a")])
    mark.passes_gap()
    mark.goes_to([LogPiece(STDOUT, b"b")])
    mark.close()
    assert not marked_position(path, kept_bytes=2, cap_bytes=100).is_exact
