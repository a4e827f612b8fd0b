"""Requests that are wrong: every violation of one, at the path that the contract calls it by."""

from datetime import timedelta

import pytest
from google.protobuf import struct_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict

from osa_grpc.domain.convention import ReviewMode
from osa_grpc.domain.errors import InvalidRequestError, UnsupportedError
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.run import ReviewDecision, Ruling
from osa_grpc.wire import pb, resource_names
from osa_grpc.wire.convention_codec import definition_from_proto
from osa_grpc.wire.deposition_codec import (
    metadata_change_from_proto,
    new_draft_from_proto,
    upload_header_from_proto,
)
from osa_grpc.wire.run_codec import ruling_from_proto
from osa_grpc.wire.struct_codec import MAX_DEPTH, json_from_struct, struct_from_json
from osa_grpc.wire.times import duration_from_proto

DEPOSITION = "depositions/6b3f7c52-7a5e-4a94-8d9b-111111111111"


def register(body: dict[str, object]) -> pb.RegisterConventionRequest:
    return ParseDict(body, pb.RegisterConventionRequest())


def hook(name: str = "h", **changes: object) -> dict[str, object]:
    fine = {
        "name": name,
        "oci": {"image": "i", "digest": "sha256:" + "0" * 64},
        "table": {"cardinality": "CARDINALITY_ONE"},
    }
    return fine | changes


def violations(call: object, *args: object) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        call(*args)  # type: ignore[operator]
    return {str(v.at): v.reason for v in caught.value.violations}


def test_every_violation_of_a_registration_is_told_at_once() -> None:
    request = register(
        {
            "conventionId": "Not_An_Id",
            "convention": {
                "name": "conventions/other@1.0.0",
                "version": "1",
                "metadataSchema": [
                    {"name": "a", "jsonType": "JSON_TYPE_NUMBER", "format": "date"},
                    {"name": "b", "jsonType": "JSON_TYPE_STRING"},
                    {"name": "b", "jsonType": "JSON_TYPE_STRING", "format": "colour"},
                ],
                "fileRequirements": {"minCount": -1, "extensions": [".cif", "pdb"]},
                "hooks": [
                    {"name": "empty"},
                    {
                        "name": "2nd",
                        "oci": {
                            "image": "has a space",
                            "digest": "latest",
                            "config": {"seeds": [1, 1e17]},
                            "limits": {"timeoutSeconds": 0, "memory": "2GB", "cpu": "many"},
                        },
                        "table": {
                            "columns": [
                                {"name": "xmin", "jsonType": "JSON_TYPE_STRING"},
                                {"name": "Upper", "jsonType": "JSON_TYPE_STRING", "unit": "u" * 65},
                                {"name": "untyped"},
                                {"name": "untyped", "jsonType": "JSON_TYPE_STRING"},
                            ]
                        },
                    },
                    hook("empty"),
                ],
            },
        }
    )
    assert violations(definition_from_proto, request) == {
        "convention_id": "INVALID_FORMAT",
        "convention.version": "INVALID_VALUE",
        "convention.title": "REQUIRED",
        "convention.metadata_schema[0].format": "INVALID_VALUE",
        "convention.metadata_schema[2].format": "UNKNOWN_VALUE",
        "convention.metadata_schema[2].name": "DUPLICATE_NAME",
        "convention.file_requirements.min_count": "OUT_OF_RANGE",
        "convention.file_requirements.extensions[1]": "INVALID_VALUE",
        "convention.hooks[0].runtime": "REQUIRED",
        "convention.hooks[0].feature": "REQUIRED",
        "convention.hooks[1].name": "INVALID_FORMAT",
        "convention.hooks[1].oci.image": "INVALID_FORMAT",
        "convention.hooks[1].oci.digest": "INVALID_FORMAT",
        "convention.hooks[1].oci.config.seeds[1]": "OUT_OF_RANGE",
        "convention.hooks[1].oci.limits.timeout_seconds": "OUT_OF_RANGE",
        "convention.hooks[1].oci.limits.memory": "INVALID_VALUE",
        "convention.hooks[1].oci.limits.cpu": "INVALID_VALUE",
        "convention.hooks[1].table.cardinality": "REQUIRED",
        "convention.hooks[1].table.columns[0].name": "RESERVED_NAME",
        "convention.hooks[1].table.columns[1].name": "INVALID_FORMAT",
        "convention.hooks[1].table.columns[1].unit": "TOO_LONG",
        "convention.hooks[1].table.columns[2].json_type": "REQUIRED",
        "convention.hooks[1].table.columns[3].name": "DUPLICATE_NAME",
        "convention.hooks[2].name": "DUPLICATE_NAME",
    }


def test_a_registration_without_a_convention_says_so() -> None:
    assert violations(definition_from_proto, pb.RegisterConventionRequest())["convention"] == "REQUIRED"


def test_a_name_must_be_what_id_and_version_make() -> None:
    body: dict[str, object] = {"title": "t", "version": "1.0.0", "name": "conventions/x@1.0.1"}
    request = register({"conventionId": "x", "convention": body})
    assert violations(definition_from_proto, request) == {"convention.name": "NAME_MISMATCH"}
    request.convention.name = "conventions/x@1.0.0"
    assert definition_from_proto(request).ref.name == "conventions/x@1.0.0"


def test_too_many_hooks_and_columns_are_refused_where_they_are() -> None:
    columns = [{"name": f"c{i}", "jsonType": "JSON_TYPE_STRING"} for i in range(257)]
    body = {
        "title": "t",
        "version": "1.0.0",
        "hooks": [hook(f"h{i}") for i in range(64)]
        + [hook("last", table={"cardinality": 1, "columns": columns})],
    }
    found = violations(definition_from_proto, register({"conventionId": "x", "convention": body}))
    assert found == {"convention.hooks[64].table.columns": "TOO_MANY"}


def test_a_json_type_of_a_newer_contract_is_unsupported_in_a_metadata_schema_too() -> None:
    request = pb.RegisterConventionRequest(convention_id="x")
    request.convention.metadata_schema.add(name="a", json_type=99)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError) as caught:
        definition_from_proto(request)
    assert (caught.value.reason, str(caught.value.at)) == (
        "UNSUPPORTED_VALUE",
        "convention.metadata_schema[0].json_type",
    )


def test_a_convention_that_says_nothing_of_review_is_reviewed_by_nobody() -> None:
    request = register({"conventionId": "x", "convention": {"title": "t", "version": "1.0.0"}})
    assert definition_from_proto(request).review is ReviewMode.AUTO
    request.convention.review = pb.REVIEW_MODE_MANUAL
    assert definition_from_proto(request).review is ReviewMode.MANUAL


def test_a_review_mode_of_a_newer_contract_is_unsupported() -> None:
    request = register({"conventionId": "x", "convention": {"title": "t", "version": "1.0.0", "review": 3}})
    with pytest.raises(UnsupportedError) as caught:
        definition_from_proto(request)
    assert (caught.value.reason, str(caught.value.at)) == ("UNSUPPORTED_VALUE", "convention.review")


def test_a_review_says_what_is_decided_and_why() -> None:
    request = pb.ReviewRunRequest(decision=pb.REVIEW_DECISION_REJECT, reason="the scale is wrong")
    assert ruling_from_proto(request) == Ruling(decision=ReviewDecision.REJECT, reason="the scale is wrong")
    request = pb.ReviewRunRequest(decision=pb.REVIEW_DECISION_APPROVE)
    assert ruling_from_proto(request) == Ruling(decision=ReviewDecision.APPROVE)


@pytest.mark.parametrize(
    ("decision", "reason", "found"),
    [
        (pb.REVIEW_DECISION_REJECT, "", {"reason": "REQUIRED"}),
        (pb.REVIEW_DECISION_REJECT, " \n", {"reason": "INVALID_VALUE"}),
        (pb.REVIEW_DECISION_REJECT, "x" * 4097, {"reason": "TOO_LONG"}),
        (pb.REVIEW_DECISION_APPROVE, "fine\x00", {"reason": "INVALID_VALUE"}),
        (pb.REVIEW_DECISION_UNSPECIFIED, "x" * 4097, {"decision": "REQUIRED", "reason": "TOO_LONG"}),
    ],
)
def test_a_review_that_is_wrong_is_refused_at_its_fields(
    decision: pb.ReviewDecision, reason: str, found: dict[str, str]
) -> None:
    assert violations(ruling_from_proto, pb.ReviewRunRequest(decision=decision, reason=reason)) == found


def test_a_decision_of_a_newer_contract_is_unsupported() -> None:
    with pytest.raises(UnsupportedError) as caught:
        ruling_from_proto(pb.ReviewRunRequest(decision=3))  # type: ignore[arg-type]
    assert (caught.value.reason, str(caught.value.at)) == ("UNSUPPORTED_VALUE", "decision")


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (2.0**53 + 2, "x.v", "OUT_OF_RANGE"),
        (-1e300, "x.v", "OUT_OF_RANGE"),
        (float("nan"), "x.v", "OUT_OF_RANGE"),
        (float("-inf"), "x.v", "OUT_OF_RANGE"),
        ("a\x00b", "x.v", "INVALID_VALUE"),
        ([1, {"deep": ["\x00"]}], "x.v[1].deep[0]", "INVALID_VALUE"),
    ],
)
def test_what_json_cannot_keep_is_refused_with_its_path(value: object, path: str, reason: str) -> None:
    message = struct_pb2.Struct()
    message.update({"v": value})
    assert violations(lambda: json_from_struct(message, at=FieldPath("x"))) == {path: reason}
    assert violations(lambda: struct_from_json({"v": value}, at=FieldPath("x"))) == {path: reason}  # type: ignore[dict-item]


@pytest.mark.parametrize("number", [2**53, -(2**53), 0, 4])
def test_integral_numbers_within_a_doubles_reach_are_integers(number: int) -> None:
    message = struct_pb2.Struct()
    message.update({"v": float(number)})
    value = json_from_struct(message, at=FieldPath("x"))["v"]
    assert (value, type(value)) == (number, int)


def test_an_integer_no_double_can_hold_is_refused_before_it_is_sent() -> None:
    assert violations(lambda: struct_from_json({"v": 10**400}, at=FieldPath())) == {"v": "OUT_OF_RANGE"}


@pytest.mark.parametrize("nest", [lambda inner: {"a": inner}, lambda inner: [inner]])
def test_what_nests_too_deep_is_refused_both_ways(nest: object) -> None:
    value: object = 1
    for _ in range(MAX_DEPTH - 1):
        value = nest(value)  # type: ignore[operator]
    json_from_struct(struct_from_json({"v": value}, at=FieldPath("x")), at=FieldPath("x"))  # type: ignore[dict-item]
    deeper = {"v": nest(value)}  # type: ignore[operator]
    message = struct_pb2.Struct()
    message.update(deeper)
    assert set(violations(lambda: json_from_struct(message, at=FieldPath("x"))).values()) == {"TOO_DEEP"}
    assert set(violations(lambda: struct_from_json(deeper, at=FieldPath("x"))).values()) == {"TOO_DEEP"}


def test_json_as_deep_as_allowed_fits_the_deepest_message_it_is_in() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH - 1):
        value = {"a": value}
    config = struct_from_json({"v": value}, at=FieldPath())  # type: ignore[dict-item]
    page = pb.ListConventionsResponse()
    page.conventions.add().hooks.add().oci.config.CopyFrom(config)
    assert pb.ListConventionsResponse.FromString(page.SerializeToString()) == page


def test_a_value_without_a_kind_is_refused() -> None:
    message = struct_pb2.Struct()
    message.fields["v"].Clear()
    assert violations(lambda: json_from_struct(message, at=FieldPath("x"))) == {"x.v": "REQUIRED"}


def test_a_new_draft_names_convention_and_metadata_where_they_are_wrong() -> None:
    request = ParseDict(
        {"deposition": {"convention": "conventions/x", "metadata": {"n": 1e300}}},
        pb.CreateDepositionRequest(),
    )
    assert violations(new_draft_from_proto, request) == {
        "deposition.convention": "INVALID_NAME",
        "deposition.metadata.n": "OUT_OF_RANGE",
    }


def change(*paths: str) -> pb.UpdateDepositionRequest:
    request = ParseDict(
        {"deposition": {"name": DEPOSITION, "metadata": {"a": 1, "b": 2}, "etag": "3"}},
        pb.UpdateDepositionRequest(),
    )
    request.update_mask.paths.extend(paths)
    return request


@pytest.mark.parametrize("paths", [(), ("metadata",), ("metadata", "metadata.a")])
def test_without_a_mask_or_with_all_of_metadata_it_is_replaced(paths: tuple[str, ...]) -> None:
    wanted = metadata_change_from_proto(change(*paths))
    assert (wanted.fields, wanted.metadata, wanted.etag) == (None, {"a": 1, "b": 2}, "3")


def test_a_mask_of_fields_changes_these_and_no_other() -> None:
    wanted = metadata_change_from_proto(change("metadata.a", "metadata.gone", "metadata.a"))
    assert (wanted.fields, wanted.metadata) == (["a", "gone"], {"a": 1})


def test_a_mask_that_names_something_else_is_refused() -> None:
    assert violations(
        metadata_change_from_proto, change("metadata", "state", "metadata.a.b", "metadata.")
    ) == {
        "update_mask.paths[1]": "INVALID_MASK",
        "update_mask.paths[2]": "INVALID_MASK",
        "update_mask.paths[3]": "INVALID_MASK",
    }


def test_an_upload_header_is_checked_whole() -> None:
    header = pb.UploadFileHeader(
        parent="runs/x", file_name="../etc/passwd", size_bytes=-1, sha256="ab", media_type="m" * 256
    )
    assert violations(upload_header_from_proto, header) == {
        "header.parent": "INVALID_NAME",
        "header.file_name": "INVALID_VALUE",
        "header.size_bytes": "OUT_OF_RANGE",
        "header.sha256": "INVALID_FORMAT",
        "header.media_type": "TOO_LONG",
    }
    fine = upload_header_from_proto(
        pb.UploadFileHeader(parent=DEPOSITION, file_name="a.cif", size_bytes=0, sha256="AB" * 32)
    )
    assert (fine.size_bytes, fine.sha256) == (0, "ab" * 32)


@pytest.mark.parametrize(
    ("parse", "wrong"),
    [
        (resource_names.convention_ref, "conventions/x@1.0.0-" + "a" * 80),
        (resource_names.convention_ref, "conventions/x"),
        (resource_names.deposition_id, "depositions/../x"),
        (resource_names.file_name, f"{DEPOSITION}/files/a\x00b"),
        (resource_names.run_id, "runs/1\n"),
        (resource_names.execution, "runs/1/executions/h"),
        (resource_names.record_ref, "records/1@1"),
        (resource_names.feature_table, "featureTables/Upper"),
    ],
)
def test_a_name_of_something_else_is_refused_at_its_path(parse: object, wrong: str) -> None:
    assert violations(parse, wrong) == {"name": "INVALID_NAME"}
    assert violations(parse, "") == {"name": "REQUIRED"}


def test_page_sizes_are_taken_into_their_bounds_and_negative_ones_refused() -> None:
    assert [resource_names.page_size(n) for n in (0, 7, 5000)] == [50, 7, 1000]
    assert violations(resource_names.page_size, -1) == {"page_size": "OUT_OF_RANGE"}
    assert violations(resource_names.offset, -1) == {"offset": "OUT_OF_RANGE"}


@pytest.mark.parametrize(
    ("seconds", "duration"),
    [(2**62, timedelta.max), (-(2**63), timedelta.min), (90, timedelta(seconds=90))],
)
def test_a_duration_of_any_length_can_be_read(seconds: int, duration: timedelta) -> None:
    assert duration_from_proto(Duration(seconds=seconds)) == duration
