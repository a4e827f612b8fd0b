"""Conventions, and the request that registers one."""

from typing import Any

from osa_grpc.domain.convention import (
    MAX_CONVENTION_BYTES,
    Convention,
    ConventionDefinition,
    FileRequirements,
    ReviewMode,
)
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.names import ConventionRef, feature_table_name
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.wire import pb
from osa_grpc.wire.column_codec import columns_from_proto, columns_to_proto
from osa_grpc.wire.enums import CONVENTION_STATE, REVIEW_MODE
from osa_grpc.wire.hook_codec import hook_from_proto, hook_to_proto
from osa_grpc.wire.resource_names import convention_ref
from osa_grpc.wire.times import timestamp_from_proto, timestamp_to_proto
from osa_grpc.wire.unknown_parts import refuse_unknown_fields
from osa_grpc.wire.violations import Violations


def definition_from_proto(msg: pb.RegisterConventionRequest) -> ConventionDefinition:
    """Read the convention that a request registers; output-only fields are ignored.

    Raises:
        InvalidRequestError: every violation of the request, each with its field path.
        UnsupportedError: the convention has a part of a newer contract.
    """
    at = FieldPath("convention")
    refuse_unknown_fields(msg.convention, at=at)
    found = Violations()
    if not msg.HasField("convention"):
        found.require(at)
    size = msg.convention.ByteSize()
    if size > MAX_CONVENTION_BYTES:
        found.add(at, f"expected at most {MAX_CONVENTION_BYTES} bytes, found {size}", reason="TOO_LARGE")
    values: dict[str, Any] = {}
    with found.collecting():
        values["ref"] = found_ref = _ref_from_proto(msg, at=at)
        if msg.convention.name and msg.convention.name != found_ref.name:
            found.add(
                at / "name",
                f"expected {found_ref.name} or nothing, found {msg.convention.name[:80]!r}",
                reason="NAME_MISMATCH",
            )
    return _definition(msg.convention, values, found=found, at=at)


def convention_to_proto(convention: Convention, authority: SrnAuthority) -> pb.Convention:
    """Return a convention as a message, with every default filled in."""
    definition = convention.definition
    return pb.Convention(
        name=convention.ref.name,
        srn=authority.convention(convention.ref),
        title=definition.title,
        description=definition.description,
        version=convention.ref.version,
        metadata_schema=columns_to_proto(definition.metadata_schema),
        file_requirements=file_requirements_to_proto(definition.file_requirements),
        hooks=[hook_to_proto(hook) for hook in definition.hooks],
        state=CONVENTION_STATE.to_proto(convention.state),
        failure=None if convention.failure is None else pb.ConventionFailure(message=convention.failure),
        feature_tables=[feature_table_name(hook.name) for hook in definition.hooks],
        create_time=timestamp_to_proto(convention.created_at),
        update_time=timestamp_to_proto(convention.updated_at),
        review=REVIEW_MODE.to_proto(definition.review),
    )


def convention_from_proto(msg: pb.Convention, *, at: FieldPath) -> Convention:
    """Read a convention that a server sent. Raises InvalidRequestError, UnsupportedError (the server's contract is newer)."""
    found = Violations()
    values: dict[str, Any] = {
        "failure": msg.failure.message if msg.HasField("failure") else None,
        "created_at": timestamp_from_proto(msg.create_time),
        "updated_at": timestamp_from_proto(msg.update_time),
    }
    with found.collecting():
        values["state"] = CONVENTION_STATE.from_proto(msg.state, at=at / "state")
    with found.collecting():
        ref = convention_ref(msg.name, at=at / "name")
        values["definition"] = _definition(msg, {"ref": ref}, found=Violations(), at=at)
    return found.build(Convention, values, at=at)


def file_requirements_from_proto(msg: pb.FileRequirements, *, at: FieldPath) -> FileRequirements:
    """Read file requirements; what is not given gets its default. Raises InvalidRequestError."""
    values: dict[str, Any] = {"extensions": tuple(msg.extensions)}
    if msg.HasField("min_count"):
        values["min_count"] = msg.min_count
    if msg.HasField("max_count"):
        values["max_count"] = msg.max_count
    if msg.HasField("max_size_bytes"):
        values["max_size_bytes"] = msg.max_size_bytes
    return Violations().build(FileRequirements, values, at=at)


def file_requirements_to_proto(requirements: FileRequirements) -> pb.FileRequirements:
    """Return file requirements as a message, every one of them given."""
    return pb.FileRequirements(
        min_count=requirements.min_count,
        max_count=requirements.max_count,
        max_size_bytes=requirements.max_size_bytes,
        extensions=requirements.extensions,
    )


def _ref_from_proto(msg: pb.RegisterConventionRequest, *, at: FieldPath) -> ConventionRef:
    return Violations().build(
        ConventionRef,
        {"id": msg.convention_id, "version": msg.convention.version},
        at=at,
        paths={"id": FieldPath("convention_id")},
    )


def _definition(
    msg: pb.Convention, values: dict[str, Any], *, found: Violations, at: FieldPath
) -> ConventionDefinition:
    values |= {"title": msg.title, "description": msg.description}
    with found.collecting():
        values["metadata_schema"] = columns_from_proto(msg.metadata_schema, at=at / "metadata_schema")
    with found.collecting():
        values["file_requirements"] = file_requirements_from_proto(
            msg.file_requirements, at=at / "file_requirements"
        )
    with found.collecting():
        values["hooks"] = _hooks_from_proto(msg, at=at / "hooks")
    values["review"] = REVIEW_MODE.from_proto(msg.review, at=at / "review") if msg.review else ReviewMode.AUTO
    return found.build(ConventionDefinition, values, at=at)


def _hooks_from_proto(msg: pb.Convention, *, at: FieldPath) -> tuple[HookDefinition, ...]:
    found = Violations()
    hooks: list[HookDefinition] = []
    seen: set[str] = set()
    for index, hook in enumerate(msg.hooks):
        with found.collecting():
            hooks.append(hook_from_proto(hook, at=at[index]))
        if hook.name and hook.name in seen:
            found.add(at[index] / "name", f"two hooks are called {hook.name[:80]}", reason="DUPLICATE_NAME")
        seen.add(hook.name)
    found.check()
    return tuple(hooks)
