"""What goes over the wire comes back as it was: domain → message → bytes → message → domain."""

from typing import TypeVar

from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.domain.column import ColumnDef, ColumnType, QueryColumn
from osa_grpc.domain.convention import Convention, ConventionDefinition
from osa_grpc.domain.delivery import Delivery
from osa_grpc.domain.deposition import Deposition, DepositionFile
from osa_grpc.domain.feature import FeatureTable
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.filter import CellValue, FeatureRow
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.hook_summary import HookSummary, HookUse
from osa_grpc.domain.record import Record
from osa_grpc.domain.run import Run
from osa_grpc.domain.run_event import RunEvent
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.wire import pb
from osa_grpc.wire.column_codec import (
    column_from_proto,
    column_to_proto,
    query_column_from_proto,
    query_column_to_proto,
)
from osa_grpc.wire.convention_codec import convention_from_proto, convention_to_proto, definition_from_proto
from osa_grpc.wire.delivery_codec import delivery_from_proto, delivery_to_proto
from osa_grpc.wire.deposition_codec import (
    deposition_from_proto,
    deposition_to_proto,
    file_from_proto,
    file_to_proto,
)
from osa_grpc.wire.feature_codec import (
    feature_table_from_proto,
    feature_table_to_proto,
    row_from_proto,
    row_to_proto,
)
from osa_grpc.wire.hook_codec import hook_from_proto, hook_to_proto
from osa_grpc.wire.hook_summary_codec import (
    hook_summary_from_proto,
    hook_summary_to_proto,
    hook_use_from_proto,
    hook_use_to_proto,
)
from osa_grpc.wire.record_codec import record_from_proto, record_to_proto
from osa_grpc.wire.run_codec import run_from_proto, run_to_proto
from osa_grpc.wire.run_event_codec import run_event_from_proto, run_event_to_proto
from osa_grpc.wire.struct_codec import json_from_struct, struct_from_json
from tests.wire import domain_values as some

M = TypeVar("M", bound=Message)
AT = FieldPath("x")
SRNS = SrnAuthority(domain="archive.example.org")


def sent(msg: M) -> M:
    """Return what arrives."""
    return type(msg).FromString(msg.SerializeToString())


@given(some.hooks)
def test_a_hook_definition_comes_back(hook: HookDefinition) -> None:
    assert hook_from_proto(sent(hook_to_proto(hook)), at=AT) == hook


@given(some.columns())
def test_a_column_comes_back(column: ColumnDef) -> None:
    assert column_from_proto(sent(column_to_proto(column)), at=AT) == column
    seen = QueryColumn.of(column)
    assert query_column_from_proto(sent(query_column_to_proto(seen)), at=AT) == seen


@given(some.conventions)
def test_a_convention_comes_back(convention: Convention) -> None:
    assert convention_from_proto(sent(convention_to_proto(convention, SRNS)), at=AT) == convention


@given(some.definitions)
def test_a_convention_that_is_shown_can_be_registered_as_it_is(definition: ConventionDefinition) -> None:
    shown = convention_to_proto(
        Convention(definition=definition, state="READY", created_at=0, updated_at=0),  # type: ignore[arg-type]
        SRNS,
    )
    request = pb.RegisterConventionRequest(convention_id=definition.ref.id, convention=shown)
    assert definition_from_proto(sent(request)) == definition


@given(some.depositions)
def test_a_deposition_comes_back(deposition: Deposition) -> None:
    assert deposition_from_proto(sent(deposition_to_proto(deposition, SRNS)), at=AT) == deposition


@given(some.deposition_files)
def test_a_file_comes_back(file: DepositionFile) -> None:
    assert file_from_proto(sent(file_to_proto(file)), at=AT) == file


@given(some.records)
def test_a_record_comes_back(record: Record) -> None:
    assert record_from_proto(sent(record_to_proto(record)), at=AT) == record


@given(some.runs)
def test_a_run_comes_back(run: Run) -> None:
    assert run_from_proto(sent(run_to_proto(run, SRNS)), at=AT) == run


@given(some.run_events)
def test_a_run_event_comes_back(event: RunEvent) -> None:
    assert run_event_from_proto(sent(run_event_to_proto(event)), at=AT) == event


@given(some.hook_summaries)
def test_a_hook_of_conventions_comes_back(hook: HookSummary) -> None:
    assert hook_summary_from_proto(sent(hook_summary_to_proto(hook)), at=AT) == hook


@given(some.hook_uses)
def test_the_use_of_a_hook_comes_back(use: HookUse) -> None:
    assert hook_use_from_proto(sent(hook_use_to_proto(use)), at=AT) == use


@given(some.deliveries)
def test_a_delivery_comes_back(delivery: Delivery) -> None:
    assert delivery_from_proto(sent(delivery_to_proto(delivery)), at=AT) == delivery


@given(some.feature_tables)
def test_a_feature_table_comes_back(table: FeatureTable) -> None:
    assert feature_table_from_proto(sent(feature_table_to_proto(table)), at=AT) == table


@given(some.json_objects)
def test_json_comes_back_with_its_types(value: dict[str, object]) -> None:
    back = json_from_struct(sent(struct_from_json(value, at=AT)), at=AT)  # type: ignore[arg-type]
    assert repr(back) == repr(value) or back == value
    assert _types(back) == _types(value)


def _types(value: object) -> object:
    if isinstance(value, dict):
        return {key: _types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_types(item) for item in value]
    return type(value)


CELLS: dict[ColumnType, st.SearchStrategy[CellValue]] = {
    ColumnType.TEXT: some.plain_text,
    ColumnType.NUMBER: st.floats(allow_nan=False, allow_infinity=False),
    ColumnType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.TIMESTAMP: some.instants,
    ColumnType.DATE: st.dates(),
    ColumnType.UUID: st.uuids(),
    ColumnType.JSON: st.sampled_from(["[]", '{"a": 1}']),
}


@given(st.data())
def test_a_row_comes_back_by_its_columns_types(data: st.DataObject) -> None:
    types = data.draw(st.lists(st.sampled_from(ColumnType), max_size=5))
    columns = [QueryColumn(name=f"c{i}", type=kind) for i, kind in enumerate(types)]
    row = FeatureRow(values=tuple(data.draw(st.none() | CELLS[kind]) for kind in types))
    assert row_from_proto(sent(row_to_proto(row, columns)), at=AT) == row


def test_every_column_type_has_a_cell_here() -> None:
    assert set(CELLS) == set(ColumnType)


def test_an_event_of_a_newer_contract_is_passed_over() -> None:
    newer = pb.RunEvent.FromString(b"\x08\x07" + b"\xa2\x01\x00")  # sequence 7; field 20, which nobody has
    assert run_event_from_proto(newer, at=AT) is None


def test_limits_are_echoed_with_every_default_filled_in() -> None:
    msg = pb.HookDefinition(name="h")
    msg.oci.image = "i"
    msg.oci.digest = "sha256:" + "0" * 64
    msg.table.cardinality = pb.CARDINALITY_ONE
    echoed = hook_to_proto(hook_from_proto(msg, at=AT)).oci.limits
    assert (echoed.timeout_seconds, echoed.memory, echoed.cpu) == (300, "2g", "2.0")
    assert echoed.HasField("timeout_seconds")
