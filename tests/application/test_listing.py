"""What lists can be filtered by, beyond what columns of feature tables can: words and names."""

import pytest

from osa_grpc.application.listing import (
    DELIVERY_COLUMNS,
    DEPOSITION_COLUMNS,
    RECORD_COLUMNS,
    RUN_COLUMNS,
    parse_selection,
)
from osa_grpc.domain.column import QueryColumn
from osa_grpc.domain.errors import InvalidRequestError
from osa_grpc.domain.filter import Comparison, Contains, Filter, Operator
from osa_grpc.domain.names import ResourceKind, name_parts
from osa_grpc.wire import pb

ID = "6f1c4a52-6a1f-4f1e-9d7e-0f7b6d5f0a11"
LISTS = (RUN_COLUMNS, DEPOSITION_COLUMNS, RECORD_COLUMNS, DELIVERY_COLUMNS)
WORDS = [(columns, column) for columns in LISTS for column in columns if column.words]
NAMES = [(columns, column) for columns in LISTS for column in columns if column.resource is not None]
A_NAME = {
    ResourceKind.CONVENTION: "conventions/pdb-structures@1.0.0-rc.1",
    ResourceKind.DEPOSITION: f"depositions/{ID}",
    ResourceKind.RUN: f"runs/{ID}",
    ResourceKind.RECORD: f"records/{ID}@12",
    ResourceKind.DELIVERY: "deliveries/9223372036854775807",
}


def read(columns: tuple[QueryColumn, ...], text: str) -> Filter | None:
    return parse_selection(columns, filter=text, order_by="").filter


def refusal(columns: tuple[QueryColumn, ...], text: str) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        read(columns, text)
    return caught.value


@pytest.mark.parametrize(("columns", "column"), WORDS)
def test_every_word_of_an_enum_is_read_with_and_without_quotes(
    columns: tuple[QueryColumn, ...], column: QueryColumn
) -> None:
    for word in column.words:
        equal = Comparison(column=column, operator=Operator.EQUAL, value=word)
        assert read(columns, f"{column.name} = {word}") == read(columns, f'{column.name} = "{word}"') == equal
        assert read(columns, f"{column.name}:{word}") == Contains(column=column, value=word)


@pytest.mark.parametrize(("columns", "column"), WORDS)
def test_a_word_may_be_written_as_answers_show_it(
    columns: tuple[QueryColumn, ...], column: QueryColumn
) -> None:
    for word in column.words:
        shown = f"{column.word_prefix}{word}"
        assert hasattr(pb, shown)
        assert read(columns, f"{column.name} = {shown}") == read(columns, f"{column.name} = {word}")


@pytest.mark.parametrize(("columns", "column"), WORDS)
@pytest.mark.parametrize("operator", ["=", "!=", ":"])
def test_another_word_is_refused_and_all_that_there_are_are_named(
    columns: tuple[QueryColumn, ...], column: QueryColumn, operator: str
) -> None:
    for word in (column.words[0].lower(), f"X_{column.words[0]}", '""'):
        error = refusal(columns, f"{column.name} {operator} {word}")
        assert error.reason == "INVALID_FILTER"
        assert error.metadata["column"] == column.name
        assert error.metadata["expected"] == f"one of {', '.join(column.words)}"


@pytest.mark.parametrize(("columns", "column"), [*WORDS, *NAMES])
@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
def test_words_and_names_have_no_less_and_no_more(
    columns: tuple[QueryColumn, ...], column: QueryColumn, operator: str
) -> None:
    error = refusal(columns, f'{column.name} {operator} "x"')
    assert error.metadata["expected"] == "= or != or :"


@pytest.mark.parametrize(("columns", "column"), NAMES)
def test_a_name_is_compared_whole_and_contains_any_part(
    columns: tuple[QueryColumn, ...], column: QueryColumn
) -> None:
    assert column.resource is not None
    name = A_NAME[column.resource]
    equal = Comparison(column=column, operator=Operator.EQUAL, value=name)
    assert read(columns, f'{column.name} = "{name}"') == equal
    assert read(columns, f'{column.name}:"s/"') == Contains(column=column, value="s/")
    for part in (name.partition("/")[2], name.partition("/")[0] + "/", name + "/", "", name.upper()):
        error = refusal(columns, f'{column.name} != "{part}"')
        assert error.metadata["expected"] == column.resource.value


@pytest.mark.parametrize("kind", ResourceKind)
def test_a_name_is_made_of_its_parts(kind: ResourceKind) -> None:
    parts = name_parts(kind, A_NAME[kind])
    assert f"{kind.value.partition('/')[0]}/{'@'.join(map(str, parts))}" == A_NAME[kind]


@pytest.mark.parametrize(
    "name", ["deliveries/0", "deliveries/01", "deliveries/9223372036854775808", "deliveries/-1"]
)
def test_a_number_that_no_delivery_has_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"deliveries/\{number\}"):
        name_parts(ResourceKind.DELIVERY, name)


@pytest.mark.parametrize("columns", LISTS)
def test_every_field_can_be_sorted_by(columns: tuple[QueryColumn, ...]) -> None:
    text = ", ".join(f"{column.name} desc" for column in columns)
    order = parse_selection(columns, filter="", order_by=text).order
    assert [key.column for key in order] == list(columns)
