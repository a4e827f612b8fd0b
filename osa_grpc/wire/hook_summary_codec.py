"""Hooks across conventions, and who uses them."""

from typing import Any

from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.hook_summary import HookSummary, HookUse, VerdictCounts
from osa_grpc.domain.names import feature_table_name, hook_name
from osa_grpc.wire import pb
from osa_grpc.wire.hook_codec import hook_from_proto, hook_to_proto
from osa_grpc.wire.resource_names import convention_ref
from osa_grpc.wire.times import timestamp_from_proto, timestamp_to_proto
from osa_grpc.wire.violations import Violations


def hook_summary_to_proto(hook: HookSummary) -> pb.Hook:
    """Return a hook as a message."""
    counts = hook.verdict_counts
    return pb.Hook(
        name=hook_name(hook.definition.name),
        definition=hook_to_proto(hook.definition),
        feature_table=feature_table_name(hook.definition.name),
        convention_count=hook.convention_count,
        verdict_counts=pb.VerdictCounts(passed=counts.passed, rejected=counts.rejected, failed=counts.failed),
        create_time=timestamp_to_proto(hook.created_at),
        update_time=timestamp_to_proto(hook.updated_at),
    )


def hook_summary_from_proto(msg: pb.Hook, *, at: FieldPath) -> HookSummary:
    """Read a hook that a server sent. Raises InvalidRequestError, UnsupportedError."""
    found = Violations()
    counts = msg.verdict_counts
    values: dict[str, Any] = {
        "convention_count": msg.convention_count,
        "verdict_counts": VerdictCounts(passed=counts.passed, rejected=counts.rejected, failed=counts.failed),
        "created_at": timestamp_from_proto(msg.create_time),
        "updated_at": timestamp_from_proto(msg.update_time),
    }
    with found.collecting():
        values["definition"] = hook_from_proto(msg.definition, at=at / "definition")
    return found.build(HookSummary, values, at=at)


def hook_use_to_proto(use: HookUse) -> pb.HookUse:
    """Return a convention's use of a hook as a message."""
    return pb.HookUse(
        convention=use.convention.name,
        definition=hook_to_proto(use.definition),
        create_time=timestamp_to_proto(use.created_at),
    )


def hook_use_from_proto(msg: pb.HookUse, *, at: FieldPath) -> HookUse:
    """Read a use that a server sent. Raises InvalidRequestError, UnsupportedError."""
    found = Violations()
    values: dict[str, Any] = {"created_at": timestamp_from_proto(msg.create_time)}
    with found.collecting():
        values["convention"] = convention_ref(msg.convention, at=at / "convention")
    with found.collecting():
        values["definition"] = hook_from_proto(msg.definition, at=at / "definition")
    return found.build(HookUse, values, at=at)
