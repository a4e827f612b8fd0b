import itertools
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.application.log_following import LogPiece, as_text

Told = tuple[LogPiece, str | None]

LOGS = st.binary(max_size=12) | st.text("aé漢𝄞", max_size=8).map(str.encode)


@st.composite
def cut_logs(draw: st.DrawFn) -> tuple[bytes, list[int], list[LogPiece]]:
    """A log, the offsets of its gaps, and the pieces that it is read in; none spans a gap."""
    log = draw(LOGS)
    offsets = st.sets(st.integers(0, len(log)), max_size=4)
    gaps = draw(offsets)
    cuts = sorted(draw(offsets) | gaps | {0, len(log)})
    pieces = [
        LogPiece(attempt=1, offset=start, data=log[start:end], is_after_gap=start in gaps)
        for start, end in itertools.pairwise(cuts)
    ]
    end = LogPiece(attempt=1, offset=len(log), data=b"", is_end=True, is_after_gap=len(log) in gaps)
    return log, sorted(gaps), [*pieces, end]


async def told(pieces: list[LogPiece]) -> list[Told]:
    async def read() -> AsyncIterator[LogPiece]:
        for piece in pieces:
            yield piece

    answers: list[Told] = []

    def take(piece: LogPiece, text: str | None) -> bytes:
        answers.append((piece, text))
        return b""

    async for _ in as_text(read(), take):
        pass
    return answers


@given(cut_logs())
async def test_every_byte_is_told_once_and_each_gap_before_the_piece_that_follows_it(
    cut: tuple[bytes, list[int], list[LogPiece]],
) -> None:
    log, gaps, pieces = cut
    answers = await told(pieces)
    assert b"".join(piece.data for piece, _ in answers) == log
    at = 0
    for piece, text in answers:
        assert piece.offset == at
        at += len(piece.data)
        assert text is None or text.encode() == piece.data
    assert [piece.offset for piece, _ in answers if piece.is_after_gap] == gaps


@given(st.text("aé漢𝄞", max_size=8), st.data())
async def test_text_stays_text_wherever_it_is_cut(text: str, data: st.DataObject) -> None:
    log = text.encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(log)))) | {0, len(log)})
    pieces = [LogPiece(attempt=1, offset=a, data=log[a:b]) for a, b in itertools.pairwise(cuts)]
    answers = await told([*pieces, LogPiece(attempt=1, offset=len(log), data=b"", is_end=True)])
    assert "".join(found or "" for _, found in answers) == text


async def test_a_character_that_a_gap_divides_is_told_as_bytes() -> None:
    answers = await told(
        [
            LogPiece(attempt=1, offset=0, data=b"a\xc3"),
            LogPiece(attempt=1, offset=2, data=b"\xa9b", is_after_gap=True),
            LogPiece(attempt=1, offset=4, data=b"", is_end=True),
        ]
    )
    assert [(piece.data, text, piece.is_after_gap) for piece, text in answers] == [
        (b"a", "a", False),
        (b"\xc3", None, False),
        (b"\xa9b", None, True),
    ]


async def test_a_gap_at_the_very_end_and_a_log_that_was_cut_are_told_without_bytes() -> None:
    [(gap, _)] = await told([LogPiece(attempt=1, offset=7, data=b"", is_end=True, is_after_gap=True)])
    assert (gap.offset, gap.data, gap.is_after_gap) == (7, b"", True)
    [(cut, _)] = await told([LogPiece(attempt=1, offset=7, data=b"", is_end=True, is_truncated=True)])
    assert (cut.offset, cut.data, cut.is_truncated) == (7, b"", True)
    assert await told([LogPiece(attempt=1, offset=7, data=b"", is_end=True)]) == []
