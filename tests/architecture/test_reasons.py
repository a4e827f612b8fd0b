"""docs/contract/errors.md lists the reasons that the code gives, with their statuses and their metadata."""

import ast
import re
from collections.abc import Iterator
from itertools import chain

import pytest

from osa_grpc.application import listing
from osa_grpc.application.filtering import parse_filter, parse_order_by
from osa_grpc.domain.errors import ConflictError, ConventionExistsError, NotFoundError, OsaError
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.wire.enums import unsupported_value
from osa_grpc.wire.rpc_error import INCIDENT_KEY, OMITTED_KEY
from osa_grpc.wire.status import STATUS_CODES
from reference.contract import read_contract
from reference.examples import EXAMPLES
from reference.markdown import Reference
from reference.reasons import KEYS, METADATA
from tests.fixtures.documents import ROOT

FILES = read_contract()
PAGE = Reference(FILES, EXAMPLES).pages()["errors.md"]
LISTED = {
    (reason, code): set(re.findall(r"`(\w+)`", keys))
    for reason, code, keys in re.findall(
        r"^\| `([A-Z_]+)` \| ([A-Z_]+) \| .* \| (.*) \|$", PAGE, re.MULTILINE
    )
}
METADATA_OF = {reason: keys for (reason, _), keys in LISTED.items()}
NEVER_ANSWERED = {("DATABASE_REFUSED", "UNAVAILABLE")}
"""A server that starts ends with it."""


def calls_in_the_code() -> Iterator[tuple[str, dict[str, ast.expr]]]:
    """Each call of something by its name, with its named arguments."""
    layers = ("domain", "application", "server", "storage", "wire")
    for path in chain.from_iterable((ROOT / "osa_grpc" / layer).rglob("*.py") for layer in layers):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield node.func.id, {word.arg: word.value for word in node.keywords if word.arg}


def test_every_reason_that_the_code_gives_is_in_the_table_with_its_status() -> None:
    classes = {kind.__name__: (kind, code.name) for kind, code in STATUS_CODES.items()}
    given = set()
    for name, arguments in calls_in_the_code():
        if name in classes:
            kind, code = classes[name]
            reason = arguments.get("reason", ast.Constant(vars(kind).get("reason")))
            if isinstance(reason, ast.Constant) and reason.value:
                given.add((str(reason.value), code))
    assert {("DATABASE_BUSY", "UNAVAILABLE"), ("ETAG_MISMATCH", "ABORTED")} <= given
    assert given - NEVER_ANSWERED <= set(LISTED)


def test_what_the_contract_says_of_any_call_is_in_the_table() -> None:
    [comment] = [file.comment for file in FILES if file.name == "error_details.proto"]
    said = comment.partition("Any call may be answered")[2]
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", said))
    assert {"INVALID_FIELD", "DATABASE_BUSY", "REQUEST_ID_REUSED"} <= named
    assert named <= set(METADATA_OF)


def refusals_of_queries() -> Iterator[OsaError]:
    for parse, text in (
        (parse_filter, "state = LOST"),
        (parse_order_by, "state desc desc"),
        (parse_filter, "nothing = 1"),
    ):
        with pytest.raises(OsaError) as caught:
            parse(text, listing.RUN_COLUMNS)
        yield caught.value


def test_errors_bring_the_metadata_that_the_table_says() -> None:
    errors: list[OsaError] = [
        NotFoundError(resource_type="opensciencearchive.org/Run", name="runs/1"),
        ConventionExistsError(name="conventions/a@1.0.0", differences=[]),
        ConflictError(hook="chains", columns=[]),
        unsupported_value("ReviewDecision", 7, at=FieldPath("decision")),
    ]
    for error in errors:
        assert set(error.metadata) == METADATA_OF[error.reason]
    refusals = list(refusals_of_queries())
    assert [error.reason for error in refusals] == ["INVALID_FILTER", "INVALID_ORDER_BY", "UNKNOWN_COLUMN"]
    for error in refusals:
        assert {"position", "expected"} <= set(error.metadata) <= METADATA_OF[error.reason]


def test_the_keys_of_metadata_are_those_of_the_code_and_each_is_explained() -> None:
    written = {OMITTED_KEY, INCIDENT_KEY}
    written |= {key for error in refusals_of_queries() for key in error.metadata}
    written |= set(unsupported_value("ReviewDecision", 7, at=FieldPath("decision")).metadata)
    for name, arguments in calls_in_the_code():
        if "metadata" in arguments and name.endswith("Error"):
            written |= keys_in(arguments["metadata"])
    written |= keys_in(ast.parse((ROOT / "osa_grpc" / "domain" / "errors.py").read_text()))
    assert written == set(KEYS)
    assert {key for keys in METADATA.values() for key in keys} == set(KEYS) - {OMITTED_KEY}
    assert set(METADATA) <= set(METADATA_OF)


def keys_in(tree: ast.AST) -> set[str]:
    """The keys of the dictionaries that are written there."""
    dictionaries = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    return {str(key.value) for one in dictionaries for key in one.keys if isinstance(key, ast.Constant)}
