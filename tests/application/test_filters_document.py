"""The examples of docs/filters.md, each read as the document says.

`python -m tests.application.test_filters_document` writes the fields of lists into the page.
"""

import re
from pathlib import Path

import pytest

from osa_grpc.application import listing
from osa_grpc.application.filtering import parse_filter, parse_order_by
from osa_grpc.domain.column import SYSTEM_COLUMNS, ColumnType, QueryColumn
from osa_grpc.domain.errors import InvalidRequestError
from osa_grpc.domain.filter import Comparison, Contains, Not

PAGE = Path(__file__).parents[2] / "docs" / "filters.md"
DOCUMENT = PAGE.read_text()
FIELDS = re.compile(
    r"(<!-- fields: compared with osa_grpc.application.listing -->\n)(.*?)(<!-- end of fields -->)", re.DOTALL
)
LISTS = {
    "runs": listing.RUN_COLUMNS,
    "depositions": listing.DEPOSITION_COLUMNS,
    "records": listing.RECORD_COLUMNS,
    "deliveries": listing.DELIVERY_COLUMNS,
}
DECLARED = [
    QueryColumn(name=name, type=ColumnType(kind.split()[0].lower()))
    for name, kind in re.findall(
        r"^\| `(\w+)` \| (.*?) \|$", DOCUMENT.partition("## Filters")[0], re.MULTILINE
    )
]
COLUMNS = (*SYSTEM_COLUMNS, *DECLARED)


def examples(language: str) -> list[str]:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def rows(header: str) -> list[list[str]]:
    table = DOCUMENT.partition(header)[2].partition("\n\n")[0]
    return [re.split(r" \| ", line.strip("| ")) for line in table.splitlines()[2:]]


def test_the_table_is_found() -> None:
    assert [column.name for column in DECLARED] == [
        "resolution", "residue_count", "polymer_type", "is_complete", "deposited_on", "ligands", "cell"
    ]  # fmt: skip
    assert (len(examples("filter")), len(examples("order"))) == (6, 2)


@pytest.mark.parametrize("text", examples("filter"))
def test_a_filter_is_read(text: str) -> None:
    assert parse_filter(text, COLUMNS) is not None


@pytest.mark.parametrize("text", examples("order"))
def test_an_order_is_read(text: str) -> None:
    assert len(parse_order_by(text, COLUMNS)) == 2


@pytest.mark.parametrize(("written", "means"), rows("| written | means |"))
def test_a_filter_means_what_is_said(written: str, means: str) -> None:
    meaning = written if means == "as written" else means
    assert parse_filter(written.strip("`"), COLUMNS) == parse_filter(meaning.strip("`"), COLUMNS)


@pytest.mark.parametrize(("text", "reason", "message"), rows("| filter | reason | message |"))
def test_an_error_is_what_is_said(text: str, reason: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_filter(text.strip("`"), COLUMNS)
    assert caught.value.reason == reason.strip("`")
    assert caught.value.violations[0].message == message
    assert {"position", "expected"} <= set(caught.value.metadata) <= {"position", "expected", "column"}


@pytest.mark.parametrize(("text", "reason", "message"), rows("| filter of depositions | reason | message |"))
def test_an_error_in_the_filter_of_a_list_is_what_is_said(text: str, reason: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_filter(text.strip("`"), listing.DEPOSITION_COLUMNS)
    assert caught.value.reason == reason.strip("`")
    assert caught.value.violations[0].message == message


def test_a_star_in_quotes_and_a_null_are_texts_like_any_other() -> None:
    for text, value in (
        ('polymer_type = "prot*"', "prot*"),
        ('polymer_type:"*"', "*"),
        ("polymer_type = null", "null"),
    ):
        assert f"`{text}`" in DOCUMENT
        found = parse_filter(text, COLUMNS)
        assert isinstance(found, Comparison | Contains)
        assert found.value == value
    assert "`NOT polymer_type:*`" in DOCUMENT
    assert isinstance(parse_filter("NOT polymer_type:*", COLUMNS), Not)


def test_no_list_has_metadata_to_be_found_by() -> None:
    assert "metadata" not in {column.name for columns in LISTS.values() for column in columns}


@pytest.mark.parametrize(("of", "text"), rows("| list | for example |"))
def test_an_example_of_a_list_is_read(of: str, text: str) -> None:
    assert parse_filter(text.strip("`"), LISTS[of]) is not None


def kind_of(column: QueryColumn) -> str:
    if column.resource is not None:
        return f"name, `{column.resource.value}`"
    if column.words:
        return f"word: {', '.join(f'`{word}`' for word in column.words)}"
    return column.type.value


def tables_of_fields() -> str:
    """The tables as they should be."""
    tables = []
    for of, columns in LISTS.items():
        lines = [
            f"| `{column.name}` | {kind_of(column)} | {'' if column.required else 'yes'} |"
            for column in columns
        ]
        tables.append("\n".join([f"| field of {of} | type | may be null |", "|---|---|---|", *lines]))
    return "\n\n".join(tables)


def test_the_page_has_the_fields_of_the_code() -> None:
    found = FIELDS.search(DOCUMENT)
    assert found
    assert found[2].strip() == tables_of_fields()


def test_the_contract_names_the_fields_of_the_code() -> None:
    for service, of in (
        ("run", "runs"),
        ("deposition", "depositions"),
        ("record", "records"),
        ("admin", "deliveries"),
    ):
        proto = (PAGE.parents[1] / f"proto/opensciencearchive/v1/{service}_service.proto").read_text()
        said = re.search(r"The fields are (.*?)\. The\s", proto.replace("\n  //", ""), re.DOTALL)
        assert said
        assert re.findall(r"`(\w+)`", said[1]) == [column.name for column in LISTS[of]]


if __name__ == "__main__":
    PAGE.write_text(FIELDS.sub(lambda found: f"{found[1]}\n{tables_of_fields()}\n\n{found[3]}", DOCUMENT))
