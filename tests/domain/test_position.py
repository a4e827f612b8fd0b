import uuid
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.filter import CellValue, SortKey
from osa_grpc.domain.position import parse_position, position_text

VALUES: dict[ColumnType, st.SearchStrategy[CellValue]] = {
    ColumnType.TEXT: st.text(st.characters(exclude_characters="\x00", codec="utf-8")),
    ColumnType.NUMBER: st.floats(allow_nan=False, allow_infinity=False),
    ColumnType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.TIMESTAMP: st.datetimes(timezones=st.just(UTC)),
    ColumnType.DATE: st.dates(),
    ColumnType.UUID: st.uuids(),
}


def key(kind: ColumnType, *, required: bool = False) -> SortKey:
    return SortKey(column=QueryColumn(name="c", type=kind, required=required))


@given(st.one_of(*(st.tuples(st.just(kind), values) for kind, values in VALUES.items())))
def test_a_position_comes_back_exactly(of: tuple[ColumnType, CellValue]) -> None:
    kind, value = of
    [found] = parse_position([position_text(value)], [key(kind)])
    assert (found, type(found)) == (value, type(value))
    assert parse_position([position_text(None)], [key(kind)]) == [None]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ColumnType.TEXT, "1"),
        (ColumnType.TEXT, '"\\u0000"'),
        (ColumnType.TEXT, 10_000 * "["),
        (ColumnType.NUMBER, "NaN"),
        (ColumnType.NUMBER, "1e999"),
        (ColumnType.NUMBER, '"1"'),
        (ColumnType.INTEGER, "9223372036854775808"),
        (ColumnType.INTEGER, "true"),
        (ColumnType.INTEGER, "1.0"),
        (ColumnType.BOOLEAN, "1"),
        (ColumnType.TIMESTAMP, '"2026-01-01T00:00:00"'),
        (ColumnType.DATE, '"2026-02-30"'),
        (ColumnType.UUID, '"x"'),
        (ColumnType.UUID, ""),
    ],
)
def test_what_no_position_has_is_refused(kind: ColumnType, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        parse_position([text], [key(kind)])


def test_a_position_has_a_value_for_each_key_and_nulls_only_where_there_are_nulls() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        parse_position([], [key(ColumnType.TEXT)])
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        parse_position(["null"], [key(ColumnType.TEXT, required=True)])


def test_a_position_reads_like_json() -> None:
    values = [None, "é", 0.1, 2, True, date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), uuid.UUID(int=1)]
    assert [position_text(value) for value in values] == [
        "null", '"é"', "0.1", "2", "true", '"2026-01-01"', '"2026-01-01T00:00:00+00:00"',
        '"00000000-0000-0000-0000-000000000001"',
    ]  # fmt: skip
