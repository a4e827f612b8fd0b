"""A newer contract's client: nothing in a hook definition is ever dropped (rule 4). Bytes are built by hand."""

import pytest
from google.protobuf import struct_pb2

from osa_grpc.domain.errors import InvalidRequestError, UnsupportedError
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.wire import pb
from osa_grpc.wire.convention_codec import definition_from_proto
from osa_grpc.wire.hook_codec import hook_from_proto

AT = FieldPath("convention.hooks[1]")


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes | int) -> bytes:
    """Return one field as the wire has it: a varint, or length-delimited bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


OCI = field(1, b"image") + field(2, b"sha256:" + b"0" * 64)
TABLE = field(1, 1)
NAME = field(1, b"h")


def read(*parts: bytes) -> None:
    hook_from_proto(pb.HookDefinition.FromString(b"".join(parts)), at=AT)


def unsupported(*parts: bytes) -> tuple[str, str]:
    with pytest.raises(UnsupportedError) as caught:
        read(*parts)
    return caught.value.reason, str(caught.value.at)


@pytest.mark.parametrize(
    ("part", "number"),
    [
        (field(11, b""), "11"),
        (field(2, 1), "2"),
        (field(10, OCI + field(99, 1)), "99"),
        (field(10, OCI) + field(50, field(1, 7)), "7"),
    ],
    ids=["arm", "field", "field inside", "value"],
)
def test_a_sender_is_told_the_number_of_what_is_unsupported(part: bytes, number: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        read(NAME, part)
    assert caught.value.metadata["number"] == number


def test_a_whole_definition_is_read() -> None:
    read(NAME, field(10, OCI), field(50, TABLE))


@pytest.mark.parametrize(
    ("number", "oneof"), [(11, "runtime"), (49, "runtime"), (51, "feature"), (89, "feature")]
)
def test_an_arm_of_a_newer_contract_is_unsupported(number: int, oneof: str) -> None:
    expected = ("UNSUPPORTED_VARIANT", f"convention.hooks[1].{oneof}")
    assert unsupported(NAME, field(number, b""), field(50, TABLE)) == expected
    assert unsupported(NAME, field(10, OCI), field(50, TABLE), field(number, b"")) == expected


@pytest.mark.parametrize("number", [2, 9, 90, 5000])
def test_another_field_of_the_definition_is_unsupported(number: int) -> None:
    assert unsupported(NAME, field(10, OCI), field(50, TABLE), field(number, 1)) == (
        "UNSUPPORTED_FIELD",
        "convention.hooks[1]",
    )


@pytest.mark.parametrize(
    ("definition", "path"),
    [
        (field(10, OCI + field(99, 1)), ".oci"),
        (field(10, OCI + field(4, field(1, 60) + field(4, 3))), ".oci.limits"),
        (field(10, OCI + field(3, field(7, b""))), ".oci.config"),
        (field(10, OCI + field(3, field(1, field(1, b"k") + field(2, field(9, 1))))), ".oci.config.k"),
        (field(10, OCI) + field(50, TABLE + field(3, b"")), ".table"),
        (
            field(10, OCI)
            + field(50, TABLE + field(2, field(1, b"a")) + field(2, field(1, b"b") + field(7, 1))),
            ".table.columns[1]",
        ),
    ],
)
def test_an_unknown_field_anywhere_inside_is_unsupported(definition: bytes, path: str) -> None:
    assert unsupported(NAME, definition) == ("UNSUPPORTED_FIELD", f"convention.hooks[1]{path}")


@pytest.mark.parametrize(
    ("table", "path"),
    [
        (field(1, 3), ".table.cardinality"),
        (TABLE + field(2, field(1, b"a") + field(2, 42)), ".table.columns[0].json_type"),
    ],
)
def test_an_unknown_number_of_an_enum_is_unsupported(table: bytes, path: str) -> None:
    assert unsupported(NAME, field(10, OCI), field(50, table)) == (
        "UNSUPPORTED_VALUE",
        f"convention.hooks[1]{path}",
    )


def test_an_empty_oneof_is_a_violation() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(NAME)
    assert [str(v.at) for v in caught.value.violations] == [f"{AT}.runtime", f"{AT}.feature"]


def test_outside_of_conventions_unknown_fields_are_ignored() -> None:
    convention = field(3, b"title") + field(5, b"1.0.0")
    request = field(1, b"id") + field(2, convention) + field(77, 1)
    assert definition_from_proto(pb.RegisterConventionRequest.FromString(request)).title == "title"


def test_in_a_convention_unknown_fields_are_refused() -> None:
    requirements = field(7, field(88, b"newer"))
    for unknown, at in ((field(99, b"newer"), "convention"), (requirements, "convention.file_requirements")):
        convention = field(3, b"title") + field(5, b"1.0.0") + unknown
        request = pb.RegisterConventionRequest.FromString(field(1, b"id") + field(2, convention))
        with pytest.raises(UnsupportedError) as caught:
            definition_from_proto(request)
        assert (str(caught.value.at), caught.value.reason) == (at, "UNSUPPORTED_FIELD")


def test_an_unsupported_hook_wins_over_violations_elsewhere() -> None:
    bad = pb.HookDefinition(name="Not A Name")
    newer = pb.HookDefinition.FromString(NAME + field(11, b""))
    request = pb.RegisterConventionRequest(convention=pb.Convention(hooks=[bad, newer]))
    with pytest.raises(UnsupportedError) as caught:
        definition_from_proto(request)
    assert str(caught.value.at) == "convention.hooks[1].runtime"


def test_a_null_in_a_config_is_known() -> None:
    config = struct_pb2.Struct()
    config.fields["a"].null_value = struct_pb2.NULL_VALUE
    read(NAME, field(10, OCI + field(3, config.SerializeToString())), field(50, TABLE))
