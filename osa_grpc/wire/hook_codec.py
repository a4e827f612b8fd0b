"""Hook definitions: the contract's oneofs ↔ the domain's unions.

A new arm is a new `case` in each `match` here; `assert_never` makes the type checker ask for it.
"""

from typing import Any, assert_never

from osa_grpc.domain.column import RESERVED_COLUMN_NAMES
from osa_grpc.domain.errors import InvalidRequestError, Violation
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.hook import (
    FeatureSpec,
    HookDefinition,
    OciConfig,
    OciLimits,
    RuntimeConfig,
    TableFeatureSpec,
)
from osa_grpc.wire import pb
from osa_grpc.wire.column_codec import columns_from_proto, columns_to_proto
from osa_grpc.wire.enums import CARDINALITY
from osa_grpc.wire.struct_codec import json_from_struct, struct_from_json
from osa_grpc.wire.unknown_parts import refuse_unknown_parts
from osa_grpc.wire.violations import Violations


def hook_from_proto(msg: pb.HookDefinition, *, at: FieldPath) -> HookDefinition:
    """Read a hook definition.

    Raises:
        InvalidRequestError: an oneof is empty, or some content is not valid; every violation with its field path.
        UnsupportedError: it has an arm, a field or a value of a newer contract.
    """
    refuse_unknown_parts(msg, at=at)
    found = Violations()
    values: dict[str, Any] = {"name": msg.name}
    with found.collecting():
        values["runtime"] = runtime_from_proto(msg, at=at)
    with found.collecting():
        values["feature"] = feature_from_proto(msg, at=at)
    return found.build(HookDefinition, values, at=at)


def hook_to_proto(hook: HookDefinition) -> pb.HookDefinition:
    """Return a hook definition as a message, with every default filled in."""
    msg = pb.HookDefinition(name=hook.name)
    match hook.runtime:
        case OciConfig():
            msg.oci.CopyFrom(oci_to_proto(hook.runtime))
        case unhandled_runtime:
            assert_never(unhandled_runtime)
    match hook.feature:
        case TableFeatureSpec():
            msg.table.CopyFrom(table_to_proto(hook.feature))
        case unhandled_feature:
            assert_never(unhandled_feature)
    return msg


def runtime_from_proto(msg: pb.HookDefinition, *, at: FieldPath) -> RuntimeConfig:
    """Read the `runtime` oneof; `at` is the definition's path. Raises InvalidRequestError, UnsupportedError."""
    match msg.WhichOneof("runtime"):
        case "oci":
            return oci_from_proto(msg.oci, at=at / "oci")
        case None:
            raise _nothing_set(msg, oneof="runtime", at=at)
        case unhandled:
            assert_never(unhandled)


def feature_from_proto(msg: pb.HookDefinition | pb.FeatureTable, *, at: FieldPath) -> FeatureSpec:
    """Read the `feature` oneof; `at` is the path of the message that has it. Raises InvalidRequestError, UnsupportedError."""
    match msg.WhichOneof("feature"):
        case "table":
            return table_from_proto(msg.table, at=at / "table")
        case None:
            raise _nothing_set(msg, oneof="feature", at=at)
        case unhandled:
            assert_never(unhandled)


def oci_from_proto(msg: pb.OciConfig, *, at: FieldPath) -> OciConfig:
    """Read an `OciConfig`. Raises InvalidRequestError."""
    found = Violations()
    values: dict[str, Any] = {"image": msg.image, "digest": msg.digest}
    with found.collecting():
        values["config"] = json_from_struct(msg.config, at=at / "config")
    with found.collecting():
        values["limits"] = limits_from_proto(msg.limits, at=at / "limits")
    return found.build(OciConfig, values, at=at)


def oci_to_proto(config: OciConfig) -> pb.OciConfig:
    """Return an `OciConfig` as a message; without `config` when it is empty."""
    return pb.OciConfig(
        image=config.image,
        digest=config.digest,
        config=struct_from_json(config.config, at=FieldPath("config")) if config.config else None,
        limits=limits_to_proto(config.limits),
    )


def limits_from_proto(msg: pb.OciLimits, *, at: FieldPath) -> OciLimits:
    """Read limits; what is not given gets its default. Raises InvalidRequestError."""
    values: dict[str, Any] = {}
    if msg.HasField("timeout_seconds"):
        values["timeout_seconds"] = msg.timeout_seconds
    if msg.HasField("memory"):
        values["memory"] = msg.memory
    if msg.HasField("cpu"):
        values["cpu"] = msg.cpu
    return Violations().build(OciLimits, values, at=at)


def limits_to_proto(limits: OciLimits) -> pb.OciLimits:
    """Return limits as a message, every one of them given."""
    return pb.OciLimits(timeout_seconds=limits.timeout_seconds, memory=limits.memory, cpu=limits.cpu)


def table_from_proto(msg: pb.TableFeatureSpec, *, at: FieldPath) -> TableFeatureSpec:
    """Read a `TableFeatureSpec`. Raises InvalidRequestError, UnsupportedError."""
    found = Violations()
    values: dict[str, Any] = {}
    with found.collecting():
        values["cardinality"] = CARDINALITY.from_proto(msg.cardinality, at=at / "cardinality")
    with found.collecting():
        values["columns"] = columns_from_proto(msg.columns, at=at / "columns", reserved=RESERVED_COLUMN_NAMES)
    return found.build(TableFeatureSpec, values, at=at)


def table_to_proto(spec: TableFeatureSpec) -> pb.TableFeatureSpec:
    """Return a `TableFeatureSpec` as a message."""
    return pb.TableFeatureSpec(
        cardinality=CARDINALITY.to_proto(spec.cardinality), columns=columns_to_proto(spec.columns)
    )


def _nothing_set(
    msg: pb.HookDefinition | pb.FeatureTable, *, oneof: str, at: FieldPath
) -> InvalidRequestError:
    arms = ", ".join(field.name for field in msg.DESCRIPTOR.oneofs_by_name[oneof].fields)
    message = f"expected one of {arms}, found nothing"
    return InvalidRequestError([Violation(at=at / oneof, message=message, reason="REQUIRED")])
