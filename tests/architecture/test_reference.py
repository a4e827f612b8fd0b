"""The examples of docs/contract are read by the service's own code, and its pages have all of the contract.

That the pages are fresh is asked by `make check`.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from google.api import resource_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from osa_grpc.application import listing
from osa_grpc.application.filtering import parse_filter, parse_order_by
from osa_grpc.domain.errors import Violation
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import RunId
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.wire import deposition_codec, feature_codec, pb, resource_names, run_codec, tokens
from osa_grpc.wire.column_codec import (
    column_from_proto,
    column_to_proto,
    query_column_from_proto,
    query_column_to_proto,
)
from osa_grpc.wire.convention_codec import convention_from_proto, convention_to_proto, definition_from_proto
from osa_grpc.wire.delivery_codec import delivery_from_proto, delivery_to_proto
from osa_grpc.wire.hook_codec import hook_from_proto, hook_to_proto
from osa_grpc.wire.hook_summary_codec import (
    hook_summary_from_proto,
    hook_summary_to_proto,
    hook_use_from_proto,
    hook_use_to_proto,
)
from osa_grpc.wire.record_codec import record_from_proto, record_to_proto
from osa_grpc.wire.run_event_codec import run_event_from_proto, run_event_to_proto
from osa_grpc.wire.times import duration_from_proto
from osa_grpc.wire.violations import REASONS
from reference.contract import Rpc, errors_apart, read_contract
from reference.example_resources import FEATURE_TABLE, RUN_ID
from reference.examples import EXAMPLES
from reference.markdown import Reference
from reference.pages import PAGES
from tests.fixtures.documents import ROOT

MESSAGES = {name: message for file in pb.FILES for name, message in file.message_types_by_name.items()}
FILES = read_contract()
CALLS = [rpc for file in FILES for service in file.services for rpc in service.rpcs]
AT = FieldPath("example")
SRNS = SrnAuthority(domain="archive.example.org")
RUN = RunId(RUN_ID)


def example(name: str) -> Any:
    return json_format.ParseDict(EXAMPLES[name], getattr(pb, name)())


def test_every_message_has_an_example_and_every_example_a_message() -> None:
    assert set(EXAMPLES) == set(MESSAGES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_as_protobuf_writes_it(name: str) -> None:
    assert json_format.MessageToDict(example(name)) == EXAMPLES[name]


def _execution_again(msg: pb.HookExecution) -> pb.HookExecution:
    return run_codec.execution_to_proto(run_codec.execution_from_proto(msg, at=AT), run=RUN)


def _event_again(msg: pb.RunEvent) -> pb.RunEvent:
    event = run_event_from_proto(msg, at=AT)
    assert event is not None
    return run_event_to_proto(event)


def _row_again(msg: pb.Row) -> pb.Row:
    table = json_format.ParseDict(FEATURE_TABLE, pb.FeatureTable())
    columns = feature_codec.feature_table_from_proto(table, at=AT).columns[4:]  # without the system's
    return feature_codec.row_to_proto(feature_codec.row_from_proto(msg, at=AT), columns)


AGAIN: Mapping[str, Callable[[Any], Message]] = {
    "HookDefinition": lambda msg: hook_to_proto(hook_from_proto(msg, at=AT)),
    "ColumnDef": lambda msg: column_to_proto(column_from_proto(msg, at=AT)),
    "ColumnInfo": lambda msg: query_column_to_proto(query_column_from_proto(msg, at=AT)),
    "Convention": lambda msg: convention_to_proto(convention_from_proto(msg, at=AT), SRNS),
    "Deposition": lambda msg: deposition_codec.deposition_to_proto(
        deposition_codec.deposition_from_proto(msg), SRNS
    ),
    "DepositionFile": lambda msg: deposition_codec.file_to_proto(
        deposition_codec.file_from_proto(msg, at=AT)
    ),
    "Run": lambda msg: run_codec.run_to_proto(run_codec.run_from_proto(msg, at=AT), SRNS),
    "HookExecution": _execution_again,
    "RunEvent": _event_again,
    "Record": lambda msg: record_to_proto(record_from_proto(msg, at=AT)),
    "FeatureTable": lambda msg: feature_codec.feature_table_to_proto(
        feature_codec.feature_table_from_proto(msg, at=AT)
    ),
    "Row": _row_again,
    "Hook": lambda msg: hook_summary_to_proto(hook_summary_from_proto(msg, at=AT)),
    "HookUse": lambda msg: hook_use_to_proto(hook_use_from_proto(msg, at=AT)),
    "Delivery": lambda msg: delivery_to_proto(delivery_from_proto(msg, at=AT)),
    "Failure": lambda msg: run_codec.failure_to_proto(run_codec.failure_from_proto(msg, at=AT)),
    "Waiting": lambda msg: run_codec.waiting_to_proto(run_codec.waiting_from_proto(msg, at=AT)),
    "Review": lambda msg: run_codec.review_to_proto(run_codec.review_from_proto(msg, at=AT)),
    "Provenance": lambda msg: run_codec.provenance_to_proto(run_codec.provenance_from_proto(msg, at=AT)),
    "HookProgress": lambda msg: run_codec.progress_to_proto(run_codec.progress_from_proto(msg)),
}
"""What is read by the real codec, and written by it: the same must come out, every default filled in."""

ASKED_FOR = {"RegisterConventionRequest", "CreateDepositionRequest", "UpdateDepositionRequest"}
"""Requests whose resource has only what the caller gives."""


def parts(msg: Message) -> Iterator[Message]:
    """The message and all that are in it."""
    yield msg
    for field, value in msg.ListFields():
        if field.message_type is not None and field.message_type.file.package == "opensciencearchive.v1":
            for one in value if field.is_repeated else [value]:
                yield from parts(one)


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - ASKED_FOR))
def test_an_example_is_what_the_services_codecs_write(name: str) -> None:
    for part in parts(example(name)):
        again = AGAIN.get(part.DESCRIPTOR.name)
        if again is not None:
            assert again(part) == part


NAMES: Mapping[str, Callable[..., object]] = {
    "Convention": resource_names.convention_ref,
    "Deposition": resource_names.deposition_id,
    "DepositionFile": resource_names.file_name,
    "Run": resource_names.run_id,
    "HookExecution": resource_names.execution,
    "Record": resource_names.record_ref,
    "FeatureTable": resource_names.feature_table,
    "Hook": resource_names.hook,
    "Delivery": resource_names.delivery_number,
}


def reference_of(field: FieldDescriptor) -> str:
    return str(field.GetOptions().Extensions[resource_pb2.resource_reference].type).rpartition("/")[2]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_names_in_an_example_are_of_the_resources_they_refer_to(name: str) -> None:
    for part in parts(example(name)):
        for field, value in part.ListFields():
            if kind := reference_of(field):
                for one in value if field.is_repeated else [value]:
                    NAMES[kind](one, at=AT)


def _read_lists(columns: Any) -> Callable[[Any], object]:
    def read(msg: Any) -> None:
        listing.parse_selection(columns, filter=msg.filter, order_by=msg.order_by)
        binding = tokens.page_binding(msg.DESCRIPTOR.name, msg.filter, msg.order_by)
        assert tokens.read_page_token(msg.page_token, binding)

    return read


def _read_page(method: str, *query: str) -> Callable[[Any], object]:
    return lambda msg: tokens.read_page_token(msg.page_token, tokens.page_binding(method, *query))


def _read_query(msg: pb.QueryFeaturesRequest) -> None:
    table = json_format.ParseDict(FEATURE_TABLE, pb.FeatureTable())
    columns = feature_codec.feature_table_from_proto(table, at=AT).columns
    assert parse_filter(msg.filter, columns)
    assert parse_order_by(msg.order_by, columns)
    assert set(msg.columns) <= {column.name for column in columns}
    query = (msg.feature_table, msg.filter, msg.order_by, *msg.columns)
    assert tokens.read_page_token(msg.page_token, tokens.page_binding("QueryFeatures", *query))


def _read_watch(msg: pb.WatchRunRequest) -> None:
    assert tokens.read_resume_token(msg.resume_token, RUN)
    assert duration_from_proto(msg.bookmark_interval)


READ: Mapping[str, Callable[[Any], object]] = {
    "RegisterConventionRequest": definition_from_proto,
    "CreateDepositionRequest": deposition_codec.new_draft_from_proto,
    "UpdateDepositionRequest": deposition_codec.metadata_change_from_proto,
    "UploadFileRequest": lambda msg: deposition_codec.upload_header_from_proto(msg.header),
    "ReviewRunRequest": run_codec.ruling_from_proto,
    "WatchRunRequest": _read_watch,
    "ListRunsRequest": _read_lists(listing.RUN_COLUMNS),
    "ListDepositionsRequest": _read_lists(listing.DEPOSITION_COLUMNS),
    "ListRecordsRequest": _read_lists(listing.RECORD_COLUMNS),
    "ListDeliveriesRequest": _read_lists(listing.DELIVERY_COLUMNS),
    "ListConventionsRequest": _read_page("ListConventions"),
    "ListFeatureTablesRequest": _read_page("ListFeatureTables"),
    "ListHooksRequest": _read_page("ListHooks"),
    "ListHookUsesRequest": _read_page("ListHookUses", "chains"),
    "ListFilesRequest": lambda msg: _read_page("ListFiles", resource_names.deposition_id(msg.parent))(msg),
    "QueryFeaturesRequest": _read_query,
}
"""How servicers read requests, where that is more than reading names."""


@pytest.mark.parametrize("name", READ)
def test_an_example_of_a_request_is_read_as_the_service_reads_it(name: str) -> None:
    assert READ[name](example(name)) is not False


def test_no_request_with_more_than_names_is_left_unread() -> None:
    plain = {"name", "parent", "etag", "request_id", "attempt", "offset", "follow"}
    more = {
        name for name, of in MESSAGES.items() if name.endswith("Request") and set(of.fields_by_name) - plain
    }
    assert set(READ) == more


def test_the_example_of_a_mask_names_the_field_that_is_given() -> None:
    change = deposition_codec.metadata_change_from_proto(example("UpdateDepositionRequest"))
    assert change.fields == ["publication_year"]
    assert change.metadata == {"publication_year": 1996}


def test_every_file_is_on_one_page() -> None:
    assert sorted(name for page in PAGES for name in page.files) == sorted(file.name for file in FILES)


def test_every_heading_is_an_anchor_of_its_own() -> None:
    for name, text in Reference(FILES, EXAMPLES).pages().items():
        headings = re.findall(
            r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
        )
        slugs = [heading.lower().replace(" ", "-") for heading in headings]
        assert len(slugs) == len(set(slugs)), name


def test_the_pages_have_every_field_value_and_call() -> None:
    pages = Reference(FILES, EXAMPLES).pages()
    text = "\n".join(pages.values())
    for name, message in MESSAGES.items():
        page = next(page for page in pages.values() if re.search(rf"^#+ {name}$", page, re.MULTILINE))
        for field in message.fields:
            assert re.search(
                rf"^\| (?:↳ )?`{field.name}` \| {field.number} \| .* \| .+ \|$", page, re.MULTILINE
            )
    for file in pb.FILES:
        for enum in file.enum_types_by_name.values():
            for value in enum.values:
                assert f"| `{value.name}` | {value.number} | " in text
    for rpc in CALLS:
        assert text.count(f"\n### {rpc.name}\n") == 1


def test_errors_are_read_from_a_comment() -> None:
    comment = (
        "Does it.\n\nTwice. Errors: INVALID_ARGUMENT `BAD` and `WORSE`\n(at once, NEVER later), `WORST`, NOT_FOUND\n"
        "`GONE` (see SOMETHING, ABORTED or not)."
    )
    assert errors_apart(comment) == (
        "Does it.\n\nTwice.",
        (
            ("INVALID_ARGUMENT", "`BAD` and `WORSE` (at once, NEVER later), `WORST`"),
            ("NOT_FOUND", "`GONE` (see SOMETHING, ABORTED or not)"),
        ),
    )
    assert errors_apart("Does it.") == ("Does it.", ())
    with pytest.raises(ValueError, match="expected errors as in"):
        errors_apart("Errors: sometimes.")


def reasons_of(rpc: Rpc) -> set[str]:
    return {reason for _, said in rpc.errors for reason in re.findall(r"`([A-Z_]+)`", said)}


@pytest.mark.parametrize("rpc", CALLS, ids=lambda rpc: rpc.name)
def test_a_call_says_what_its_request_makes_possible(rpc: Rpc) -> None:
    request = MESSAGES["UploadFileHeader" if rpc.takes_stream else rpc.request]
    fields = {field.name: field for field in request.fields}
    expected = set()
    if any(reference_of(field) for field in fields.values()):
        expected |= {"RESOURCE_NOT_FOUND"}
    if "page_token" in fields:
        expected |= {"INVALID_PAGE_TOKEN"}
    if "filter" in fields:
        expected |= {"INVALID_FILTER", "INVALID_ORDER_BY", "UNKNOWN_COLUMN"}
    if "etag" in fields:
        expected |= {"ETAG_MISMATCH"}
    if "offset" in fields:
        expected |= {"OFFSET_OUT_OF_RANGE"}
    assert expected <= reasons_of(rpc)
    assert all(re.findall(r"`[A-Z_]+`", said) for _, said in rpc.errors), "each status with its reasons"


def test_every_reason_that_errors_have_is_in_the_contract() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "osa_grpc").rglob("*.py"))
    raised = re.findall(
        r"(?:Precondition|Unavailable|ResourceExhausted|AlreadyExists)Error\((?:[^()]|\([^()]*\))*reason=\"([A-Z_]+)\"",
        sources,
    )
    assert len(set(raised)) > 10, "the sources are read as they are written"
    contract = "\n".join(path.read_text() for path in (ROOT / "proto").rglob("*.proto"))
    at_start_only = {"DATABASE_REFUSED"}
    assert {reason for reason in raised if f"`{reason}`" not in contract} == at_start_only


def reasons_of_fields() -> set[str]:
    """Every reason that the sources give to what is wrong with one field."""
    calls = {"Violation", "add"}
    found = set(REASONS.values()) | {Violation(at=FieldPath("x"), message="").reason}
    for path in (ROOT / "osa_grpc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", getattr(node.func, "attr", "")) in calls
            ):
                values = [word.value for word in node.keywords if word.arg == "reason"]
                found |= {str(value.value) for value in values if isinstance(value, ast.Constant)}
    return found


def test_the_contract_lists_the_reasons_that_fields_have() -> None:
    contract = (ROOT / "proto" / "opensciencearchive" / "v1" / "error_details.proto").read_text()
    [listed] = re.findall(r"with a `reason`: (.*?);\n", contract, re.DOTALL)
    of_the_error = {"UNKNOWN_COLUMN", "MALFORMED_MESSAGE", "REQUEST_ID_REUSED", "INVALID_RESUME_TOKEN"}
    assert set(re.findall("`([A-Z_]+)`", listed)) - {"INVALID_FIELD"} == reasons_of_fields() - of_the_error
