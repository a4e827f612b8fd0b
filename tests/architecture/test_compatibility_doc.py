"""docs/compatibility.md claims what tests hold, and all that they hold."""

import re
from collections.abc import Iterator

import pytest

from tests.fixtures.documents import ROOT

PAGE = ROOT / "docs" / "compatibility.md"
ROW = re.compile(r"^\| (?P<claim>[^|]+) \| (?P<test>[^|]*) \|$", re.MULTILINE)


def sections() -> Iterator[tuple[str, list[str], str]]:
    """For each section that links a file of tests: the file, the last cells of its rows, and the file's text."""
    for section in PAGE.read_text().split("\n## ")[1:]:
        if linked := re.search(r"\]\(\.\./(tests/\S+\.py)\)", section):
            cells = [row["test"] for row in ROW.finditer(section) if row["claim"] not in {"claim", "---"}]
            yield linked[1], cells, (ROOT / linked[1]).read_text()


def test_there_are_claims() -> None:
    assert [name for name, cells, _ in sections() if not cells] == []
    assert {name for name, _, _ in sections()} >= {
        "tests/clients/test_newer_client.py",
        "tests/clients/test_newer_server.py",
        "tests/clients/test_released_contracts.py",
    }


@pytest.mark.parametrize(("file", "cells", "text"), [pytest.param(*s, id=s[0]) for s in sections()])
def test_every_claim_names_a_test_that_is_there_and_every_test_has_its_claim(
    file: str, cells: list[str], text: str
) -> None:
    there = re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)
    assert sorted(cell.strip("`") for cell in cells) == sorted(there), file
