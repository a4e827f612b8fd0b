"""The contract, read from its descriptors: everything is explained, and every arm of a oneof is there all the way down."""

from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from osa_grpc.domain.column import ColumnType
from osa_grpc.domain.errors import InvalidRequestError
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.hook import FeatureSpec, RuntimeConfig
from osa_grpc.domain.run import RunSource
from osa_grpc.domain.run_event import RunEventKind
from osa_grpc.server import app
from osa_grpc.wire import pb
from osa_grpc.wire.hook_codec import hook_from_proto
from tests.fixtures.contract_sources import comments, contract_files

READS = ("Get", "List", "Watch", "Read", "Query", "Download")

METHODS = [
    method for file in pb.FILES for service in file.services_by_name.values() for method in service.methods
]
by_name = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name.split(".", 2)[2])


def test_everything_in_the_contract_has_a_comment() -> None:
    explained = [entry for file in contract_files() for entry in comments(file).items()]
    assert [name for name, text in explained if len(text) < len("Why.")] == []
    assert len(explained) > 300, "the walk found the contract"


def test_nothing_in_the_contract_is_nested_where_the_comment_test_does_not_look() -> None:
    nested = [
        message.name
        for file in contract_files()
        for message in file.message_type
        if message.enum_type or [n for n in message.nested_type if not n.options.map_entry]
    ]
    assert nested == []


def test_no_two_java_classes_of_the_contract_have_one_name() -> None:
    files = contract_files()
    classes = [file.options.java_outer_classname for file in files]
    classes += [message.name for file in files for message in file.message_type]
    classes += [enum.name for file in files for enum in file.enum_type]
    classes += [f"{service.name}Grpc" for file in files for service in file.service]
    assert "" not in classes
    assert len({name.lower() for name in classes}) == len(classes), "also on a file system that has one case"


def test_the_python_knows_every_file_of_the_contract() -> None:
    assert {file.name for file in contract_files()} == {file.name for file in pb.FILES}


def _members(union: Any) -> list[Any]:
    """Return the classes of an annotated union, of one member or more."""
    while get_origin(union) is Annotated:
        union = get_args(union)[0]
    if get_origin(union) is Union or type(union).__name__ == "UnionType":
        return [member for part in get_args(union) for member in _members(part)]
    return [union]


def _tags(union: Any, tag: str) -> set[str]:
    return {member.model_fields[tag].default for member in _members(union)}


def _arms(message: Any, oneof: str) -> dict[str, int]:
    return {field.name: field.number for field in message.DESCRIPTOR.oneofs_by_name[oneof].fields}


def test_every_arm_of_runtime_is_in_the_domain_and_can_run() -> None:
    arms = set(_arms(pb.HookDefinition, "runtime"))
    assert arms == _tags(RuntimeConfig, "type") == set(app.RUNTIME_TYPES)


def test_every_arm_of_feature_is_in_the_domain_and_can_be_stored() -> None:
    arms = set(_arms(pb.HookDefinition, "feature"))
    assert arms == _tags(FeatureSpec, "kind") == set(app.FEATURE_KINDS)
    assert _arms(pb.FeatureTable, "feature") == _arms(pb.HookDefinition, "feature")


def test_arms_keep_to_their_bands() -> None:
    assert all(10 <= number < 50 for number in _arms(pb.HookDefinition, "runtime").values())
    assert all(50 <= number < 90 for number in _arms(pb.HookDefinition, "feature").values())
    others = {f.number for f in pb.HookDefinition.DESCRIPTOR.fields if f.containing_oneof is None}
    assert all(number < 10 or number >= 90 for number in others)


@pytest.mark.parametrize("oneof", ["runtime", "feature"])
def test_every_arm_of_a_hook_definition_has_its_codec(oneof: str) -> None:
    for arm in _arms(pb.HookDefinition, oneof):
        msg = pb.HookDefinition(name="h")
        getattr(msg, arm).SetInParent()
        with pytest.raises(InvalidRequestError) as caught:  # the arm is read, and found empty
            hook_from_proto(msg, at=FieldPath())
        assert any(str(v.at).startswith(f"{arm}.") for v in caught.value.violations), arm
        assert not any(str(v.at) == oneof for v in caught.value.violations)


def test_run_events_and_sources_are_the_same_on_both_sides() -> None:
    assert set(_arms(pb.RunEvent, "kind")) == _tags(RunEventKind, "kind")
    assert set(_arms(pb.Run, "source")) == _tags(RunSource, "kind")


def test_every_column_type_has_an_arm_of_value() -> None:
    assert set(_arms(pb.Value, "kind")) == {"null", *(kind.value for kind in ColumnType)}


@by_name
def test_a_call_without_side_effects_is_called_so(method: MethodDescriptor) -> None:
    is_read = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    assert is_read == method.name.startswith(READS)


@by_name
def test_every_change_takes_a_request_id_and_no_read_does(method: MethodDescriptor) -> None:
    is_read = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    first = method.input_type
    if method.client_streaming:
        first = first.fields_by_name["header"].message_type
    assert ("request_id" in first.fields_by_name) != is_read


@by_name
def test_a_call_has_messages_of_its_own(method: MethodDescriptor) -> None:
    assert (method.input_type.name, method.output_type.name) == (
        f"{method.name}Request",
        f"{method.name}Response",
    )


@by_name
def test_a_listing_has_pages(method: MethodDescriptor) -> None:
    if method.name.startswith(("List", "Query")):
        assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
        assert "next_page_token" in method.output_type.fields_by_name
