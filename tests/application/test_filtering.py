import json
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.application.filtering import parse_filter, parse_order_by
from osa_grpc.domain.column import SYSTEM_COLUMNS, ColumnType, QueryColumn
from osa_grpc.domain.errors import InvalidRequestError
from osa_grpc.domain.filter import And, Comparison, Contains, Filter, Not, Operator, Or, Present, SortKey

DECLARED = {kind: QueryColumn(name=f"{kind.value}_column", type=kind) for kind in ColumnType}
A, B, C = (QueryColumn(name=name, type=ColumnType.INTEGER) for name in "abc")
SCORE = QueryColumn(name="score", type=ColumnType.NUMBER)
COLUMNS = (*SYSTEM_COLUMNS, *DECLARED.values(), A, B, C, SCORE)


def is_equal(column: QueryColumn, value: Any) -> Comparison:
    return Comparison(column=column, operator=Operator.EQUAL, value=value)


A1, B2, C3 = is_equal(A, 1), is_equal(B, 2), is_equal(C, 3)


def refusal(text: str) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse_filter(text, COLUMNS)
    [violation] = caught.value.violations
    assert str(violation.at) == "filter"
    assert violation.reason == caught.value.reason
    assert f"position {caught.value.metadata['position']}:" in violation.message
    return caught.value


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_blank_filter_is_none(text: str) -> None:
    assert parse_filter(text, COLUMNS) is None


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a = 1", A1),
        ("a=1", A1),
        ("a = 1 AND b = 2", And(operands=(A1, B2))),
        ("a = 1 OR b = 2", Or(operands=(A1, B2))),
        ("a = 1 AND b = 2 OR c = 3", And(operands=(A1, Or(operands=(B2, C3))))),
        ("a = 1 OR b = 2 AND c = 3", And(operands=(Or(operands=(A1, B2)), C3))),
        ("(a = 1 AND b = 2) OR c = 3", Or(operands=(And(operands=(A1, B2)), C3))),
        ("a = 1 b = 2", And(operands=(A1, B2))),
        ("a = 1 b = 2 OR c = 3", And(operands=(A1, Or(operands=(B2, C3))))),
        ("NOT a = 1", Not(operand=A1)),
        ("-a = 1", Not(operand=A1)),
        ("NOT (a = 1 OR b = 2)", Not(operand=Or(operands=(A1, B2)))),
        ("NOT a = 1 AND b = 2", And(operands=(Not(operand=A1), B2))),
        ("a = -1", is_equal(A, -1)),
        ("a:*", Present(column=A)),
        ("((a = 1))", A1),
    ],
)
def test_operators_bind_as_in_aip_160(text: str, tree: Filter) -> None:
    assert parse_filter(text, COLUMNS) == tree


@pytest.mark.parametrize("operator", Operator)
def test_every_comparison_is_read(operator: Operator) -> None:
    assert parse_filter(f"score {operator.value} 2.5", COLUMNS) == Comparison(
        column=SCORE, operator=operator, value=2.5
    )


@pytest.mark.parametrize(
    ("kind", "literal", "value"),
    [
        ("text", '"protein"', "protein"),
        ("text", "'a\"b'", 'a"b'),
        ("text", '"a\\"b\\\\c"', 'a"b\\c'),
        ("text", "x-ray", "x-ray"),
        ("text", "5", "5"),
        ("text", '"*"', "*"),
        ("number", "2", 2.0),
        ("number", "-1.5e3", -1500.0),
        ("integer", "2.0", 2),
        ("integer", "-9223372036854775808", -(2**63)),
        ("boolean", "true", True),
        ("timestamp", '"2026-01-01"', datetime(2026, 1, 1, tzinfo=UTC)),
        ("timestamp", "2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("timestamp", "2026-01-01T01:00:00.5+01:00", datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("uuid", '"12345678-1234-5678-1234-567812345678"', uuid.UUID("12345678-1234-5678-1234-567812345678")),
    ],
)
def test_a_literal_has_its_columns_type(kind: ColumnType, literal: str, value: object) -> None:
    found = parse_filter(f"{kind}_column = {literal}", COLUMNS)
    assert isinstance(found, Comparison)
    assert (found.value, type(found.value)) == (value, type(value))


@pytest.mark.parametrize(
    ("literal", "value"), [('"5"', "5"), ("5", 5), ("2.0", 2.0), ("true", True), ("x", "x")]
)
def test_what_json_contains_is_of_the_literals_own_form(literal: str, value: object) -> None:
    found = parse_filter(f"json_column:{literal}", COLUMNS)
    assert isinstance(found, Contains)
    assert (found.value, type(found.value)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("a", 2, "= != < <= > >= :"),
        ("a =", 4, "a value"),
        ("a = AND", 5, "a value"),
        ("a = 1 AND", 10, "a column"),
        ("a = 1 OR OR b = 2", 10, "a column"),
        ("(a = 1", 7, "')'"),
        ("a = 1)", 6, "AND, OR"),
        ("a = 1, b = 2", 6, "AND, OR"),
        ("5 < a", 1, "a column"),
        ("a ~ 1", 3, "= != < <= > >= :"),
        ("a = 1 and b = 2", 11, "AND is written in capitals"),
        ("not a = 1", 5, "NOT is written in capitals"),
        ("a = X-RAY DIFFRACTION", 22, "a text of several words is written in quotes"),
        ("é = 1", 1, "a column"),
        ("NOT NOT a = 1", 5, "a column"),
        ('text_column = "x', 15, "a value"),
        ('text_column = "\\n"', 16, "in a string"),
        ("text_column = *", 15, "a value"),
        ("text_column = x*", 16, "AND, OR"),
        ("text_column = (x)", 15, "a value"),
        ("a = 1\x00", 6, "NUL"),
    ],
)
def test_what_does_not_parse_is_named_with_its_position(text: str, position: int, expected: str) -> None:
    error = refusal(text)
    assert (error.reason, error.metadata["position"]) == ("INVALID_FILTER", str(position))
    assert expected in error.metadata["expected"]


@pytest.mark.parametrize(
    ("kind", "rest", "expected"),
    [
        ("number", '>= "abc"', "a number"),
        ("number", '= "1"', "a number"),
        ("number", "= 1e999", "a number"),
        ("number", "= NaN", "a number"),
        ("integer", "= 2.7", "an integer"),
        ("integer", "= 9223372036854775808", "an integer"),
        ("integer", "= 9007199254740993.0", "an integer"),
        ("boolean", "= 1", "true or false"),
        ("boolean", '= "true"', "true or false"),
        ("boolean", "< true", "= or != or :"),
        ("timestamp", '= "2026-01-01T00:00:00"', "a time"),
        ("timestamp", "= yesterday", "a time"),
        ("timestamp", "= 0001-01-01T00:00:00+01:00", "a time"),
        ("timestamp", "= 2026-01-01T00:00:61Z", "a time"),
        ("date", "= 2026-02-30", "a date"),
        ("date", "= 2026-01-01T00:00:00Z", "a date"),
        ("uuid", "= 123", "a UUID"),
        ("json", "= 1", ":"),
        ("json", ":1e999", "a number"),
    ],
)
def test_what_does_not_fit_its_column_is_named_with_column_and_expected_type(
    kind: str, rest: str, expected: str
) -> None:
    error = refusal(f"{kind}_column {rest}")
    assert error.reason == "INVALID_FILTER"
    assert error.metadata["column"] == f"{kind}_column"
    assert expected in error.metadata["expected"]
    assert int(error.metadata["position"]) > len(kind)


def test_an_unknown_column_is_named_with_the_one_that_may_be_meant() -> None:
    error = refusal("a = 1 AND scor > 1")
    assert (error.reason, error.metadata["column"], error.metadata["position"]) == (
        "UNKNOWN_COLUMN",
        "scor",
        "11",
    )
    assert "did you mean score?" in error.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'text_column = "{8192 * "x"}"', "8192 characters"),
        (33 * "(" + "a = 1" + 33 * ")", "32 levels"),
        (4000 * "(" + "a=1" + 4000 * ")", "32 levels"),
        (" ".join(101 * ["a=1"]), "100 comparisons"),
    ],
)
def test_a_filter_is_bounded_in_length_depth_and_terms(text: str, expected: str) -> None:
    assert expected in refusal(text).metadata["expected"]


def test_a_filter_may_be_as_large_as_its_bounds() -> None:
    assert parse_filter(32 * "(" + "a = 1" + 32 * ")", COLUMNS) == A1
    assert parse_filter(" OR ".join(100 * ["a = 1"]), COLUMNS) == Or(operands=100 * (A1,))


PIECES = [column.name for column in COLUMNS] + [
    "AND", "OR", "NOT", "-", "(", ")", "=", "!=", "<", ":", "*", "1", "2.5", "-1e400", "true", '"x"', "'", '"', "\\", ".", ",",
    "2026-01-01", "é", "\x00", " ",
]  # fmt: skip


@given(
    st.text()
    | st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join)
    | st.lists(st.sampled_from(PIECES)).map("".join)
)
def test_whatever_is_written_is_a_filter_or_an_invalid_request(text: str) -> None:
    for parse in (parse_filter, parse_order_by):
        try:
            parse(text, COLUMNS)
        except InvalidRequestError as error:
            assert 1 <= int(error.metadata["position"]) <= len(text) + 1  # noqa: PT017 - other errors come out


VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    ColumnType.TEXT: st.text(st.characters(exclude_characters="\x00")),
    ColumnType.NUMBER: st.floats(allow_nan=False, allow_infinity=False),
    ColumnType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.TIMESTAMP: st.datetimes(timezones=st.just(UTC)),
    ColumnType.DATE: st.dates(),
    ColumnType.UUID: st.uuids(),
    ColumnType.JSON: st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00")),
}  # fmt: skip


@st.composite
def terms(draw: st.DrawFn) -> Filter:
    column = draw(st.sampled_from(COLUMNS))
    value: Any = draw(VALUES[column.type])
    if draw(st.booleans()) or column.type is ColumnType.JSON:
        return Present(column=column) if draw(st.booleans()) else Contains(column=column, value=value)
    allowed = [Operator.EQUAL] if column.type is ColumnType.BOOLEAN else list(Operator)
    return Comparison(column=column, operator=draw(st.sampled_from(allowed)), value=value)


TREES: st.SearchStrategy[Filter] = st.recursive(
    terms(),
    lambda inner: (
        inner.map(lambda f: Not(operand=f))
        | st.lists(inner, min_size=2, max_size=3).map(lambda fs: And(operands=_flat(fs, And)))
        | st.lists(inner, min_size=2, max_size=3).map(lambda fs: Or(operands=_flat(fs, Or)))
    ),
    max_leaves=10,
)


def _flat(operands: Sequence[Filter], kind: type[And] | type[Or]) -> tuple[Filter, ...]:
    return tuple(g for f in operands for g in (f.operands if isinstance(f, kind) else (f,)))


def as_written(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return json.dumps(value)
        case datetime() | date():
            return f'"{value.isoformat()}"'
        case _:
            escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'


def written(tree: Filter) -> str:
    match tree:
        case Comparison():
            return f"{tree.column.name} {tree.operator.value} {as_written(tree.value)}"
        case Contains():
            return f"{tree.column.name}:{as_written(tree.value)}"
        case Present():
            return f"{tree.column.name}:*"
        case Not():
            return f"NOT ({written(tree.operand)})"
        case And():
            return " AND ".join(f"({written(operand)})" for operand in tree.operands)
        case Or():
            return " OR ".join(f"({written(operand)})" for operand in tree.operands)


@given(TREES)
def test_what_is_written_from_a_tree_is_read_as_that_tree(tree: Filter) -> None:
    assert parse_filter(written(tree), COLUMNS) == tree


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", []),
        (" ", []),
        ("score", [("score", False)]),
        ("score desc, record_srn", [("score", True), ("record_srn", False)]),
        (" a  asc ,b desc", [("a", False), ("b", True)]),
    ],
)
def test_an_order_is_read(text: str, keys: list[tuple[str, bool]]) -> None:
    by_name = {column.name: column for column in COLUMNS}
    assert parse_order_by(text, COLUMNS) == [
        SortKey(column=by_name[name], descending=descending) for name, descending in keys
    ]


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("scor desc", "UNKNOWN_COLUMN", 1),
        ("a, scor", "UNKNOWN_COLUMN", 4),
        ("a descending", "INVALID_ORDER_BY", 1),
        ("a,", "INVALID_ORDER_BY", 3),
        (",a", "INVALID_ORDER_BY", 1),
        ("a, b, a desc", "INVALID_ORDER_BY", 7),
        ("json_column", "INVALID_ORDER_BY", 1),
        (2049 * " ", "INVALID_ORDER_BY", 2049),
    ],
)
def test_an_order_that_is_none_is_named_with_its_position(text: str, reason: str, position: int) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_order_by(text, COLUMNS)
    assert (caught.value.reason, caught.value.metadata["position"]) == (reason, str(position))
    assert str(caught.value.violations[0].at) == "order_by"
