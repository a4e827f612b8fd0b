"""The examples of docs/filters.md, each read as the document says."""

import re
from pathlib import Path

import pytest

from osa_grpc.application.filtering import parse_filter, parse_order_by
from osa_grpc.domain.column import SYSTEM_COLUMNS, ColumnType, QueryColumn
from osa_grpc.domain.errors import InvalidRequestError

DOCUMENT = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()
DECLARED = [
    QueryColumn(name=name, type=ColumnType(kind.split()[0].lower()))
    for name, kind in re.findall(
        r"^\| `(\w+)` \| ((?:number|integer|text|boolean|date|JSON)\b.*?) \|$", DOCUMENT, re.MULTILINE
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
