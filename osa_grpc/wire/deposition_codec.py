"""Depositions, their files, and the requests that make and change them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from osa_grpc.domain.deposition import Deposition, DepositionFile, Upload
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import (
    ConventionRef,
    DepositionId,
    deposition_name,
    file_resource_name,
    run_name,
)
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.wire import pb
from osa_grpc.wire.enums import DEPOSITION_STATE
from osa_grpc.wire.resource_names import convention_ref, deposition_id, file_name, record_ref, run_id
from osa_grpc.wire.struct_codec import json_from_struct, struct_from_json
from osa_grpc.wire.times import timestamp_from_proto, timestamp_to_proto
from osa_grpc.wire.violations import Violations

_AT: Final = FieldPath("deposition")


@dataclass(frozen=True, kw_only=True)
class NewDraft:
    """What CreateDeposition asks for."""

    convention: ConventionRef
    metadata: dict[str, JsonValue]


@dataclass(frozen=True, kw_only=True)
class MetadataChange:
    """What UpdateDeposition asks for.

    `fields`: only these change; one that is not in `metadata` is removed. None: all of it is replaced.
    """

    deposition: DepositionId
    etag: str
    fields: Sequence[str] | None
    metadata: dict[str, JsonValue]


def new_draft_from_proto(msg: pb.CreateDepositionRequest) -> NewDraft:
    """Read what is asked for; output-only fields are ignored. Raises InvalidRequestError."""
    found = Violations()
    convention, metadata = None, None
    with found.collecting():
        convention = convention_ref(msg.deposition.convention, at=_AT / "convention")
    with found.collecting():
        metadata = json_from_struct(msg.deposition.metadata, at=_AT / "metadata")
    found.check()
    assert convention is not None
    assert metadata is not None
    return NewDraft(convention=convention, metadata=metadata)


def metadata_change_from_proto(msg: pb.UpdateDepositionRequest) -> MetadataChange:
    """Read what is asked for. The mask has `metadata`, or `metadata.{field}`s. Raises InvalidRequestError.

    With neither a mask nor metadata nothing is asked for that is known here; to take that for "no metadata" would lose it.
    """
    found = Violations()
    if not msg.update_mask.paths and not msg.deposition.HasField("metadata"):
        found.require(_AT / "metadata")
    deposition, metadata, fields = None, None, None
    with found.collecting():
        deposition = deposition_id(msg.deposition.name, at=_AT / "name")
    with found.collecting():
        metadata = json_from_struct(msg.deposition.metadata, at=_AT / "metadata")
    with found.collecting():
        fields = _mask_fields(list(msg.update_mask.paths))
    found.check()
    assert deposition is not None
    assert metadata is not None
    if fields is not None:
        metadata = {field: metadata[field] for field in fields if field in metadata}
    return MetadataChange(deposition=deposition, etag=msg.deposition.etag, fields=fields, metadata=metadata)


def upload_header_from_proto(msg: pb.UploadFileHeader) -> Upload:
    """Read an upload's header. Raises InvalidRequestError."""
    at = FieldPath("header")
    found = Violations()
    values: dict[str, Any] = {
        "file_name": msg.file_name,
        "size_bytes": msg.size_bytes if msg.HasField("size_bytes") else None,
        "sha256": msg.sha256,
        "media_type": msg.media_type,
    }
    if msg.size_bytes < 0:
        found.add(at / "size_bytes", f"expected 0 or more, found {msg.size_bytes}", reason="OUT_OF_RANGE")
    with found.collecting():
        values["deposition"] = deposition_id(msg.parent, at=at / "parent")
    return found.build(Upload, values, at=at)


def deposition_to_proto(deposition: Deposition, authority: SrnAuthority) -> pb.Deposition:
    """Return a deposition as a message."""
    return pb.Deposition(
        name=deposition_name(deposition.id),
        srn=authority.deposition(deposition.id),
        convention=deposition.convention.name,
        metadata=struct_from_json(deposition.metadata, at=_AT / "metadata"),
        file_count=deposition.file_count,
        state=DEPOSITION_STATE.to_proto(deposition.state),
        run="" if deposition.run is None else run_name(deposition.run),
        record="" if deposition.record is None else deposition.record.name,
        rejection_reason=deposition.rejection_reason or "",
        etag=deposition.etag,
        create_time=timestamp_to_proto(deposition.created_at),
        update_time=timestamp_to_proto(deposition.updated_at),
    )


def deposition_from_proto(msg: pb.Deposition, *, at: FieldPath = _AT) -> Deposition:
    """Read a deposition that a server sent. Raises InvalidRequestError, UnsupportedError (the server's contract is newer)."""
    found = Violations()
    values: dict[str, Any] = {
        "file_count": msg.file_count,
        "rejection_reason": msg.rejection_reason or None,
        "revision": msg.etag,
        "created_at": timestamp_from_proto(msg.create_time),
        "updated_at": timestamp_from_proto(msg.update_time),
    }
    with found.collecting():
        values["id"] = deposition_id(msg.name, at=at / "name")
    with found.collecting():
        values["convention"] = convention_ref(msg.convention, at=at / "convention")
    with found.collecting():
        values["metadata"] = json_from_struct(msg.metadata, at=at / "metadata")
    with found.collecting():
        values["state"] = DEPOSITION_STATE.from_proto(msg.state, at=at / "state")
    with found.collecting():
        values["run"] = run_id(msg.run, at=at / "run") if msg.run else None
    with found.collecting():
        values["record"] = record_ref(msg.record, at=at / "record") if msg.record else None
    return found.build(Deposition, values, at=at, paths={"revision": at / "etag"})


def file_to_proto(file: DepositionFile) -> pb.DepositionFile:
    """Return a deposition's file as a message; its key stays inside."""
    return pb.DepositionFile(
        name=file_resource_name(file.deposition, file.file_name),
        file_name=file.file_name,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        media_type=file.media_type,
        create_time=timestamp_to_proto(file.created_at),
    )


def file_from_proto(msg: pb.DepositionFile, *, at: FieldPath) -> DepositionFile:
    """Read a deposition's file that a server sent; its key is empty. Raises InvalidRequestError."""
    found = Violations()
    values: dict[str, Any] = {
        "key": "",
        "size_bytes": msg.size_bytes,
        "sha256": msg.sha256,
        "media_type": msg.media_type,
        "created_at": timestamp_from_proto(msg.create_time),
    }
    with found.collecting():
        values["deposition"], values["file_name"] = file_name(msg.name, at=at / "name")
    return found.build(DepositionFile, values, at=at)


def _mask_fields(paths: Sequence[str]) -> Sequence[str] | None:
    """Return the metadata fields a mask names, or None for all of it."""
    found = Violations()
    fields: list[str] = []
    at = FieldPath("update_mask.paths")
    for index, path in enumerate(paths):
        field = path.removeprefix("metadata.")
        if field == path and path != "metadata":
            found.add(
                at[index],
                f"expected metadata or metadata.{{field}}, found {path[:80]!r}",
                reason="INVALID_MASK",
            )
        elif field != path and ("." in field or not field):
            found.add(
                at[index], f"expected one field of metadata, found {path[:80]!r}", reason="INVALID_MASK"
            )
        elif field != path:
            fields.append(field)
    found.check()
    return None if not paths or "metadata" in paths else list(dict.fromkeys(fields))
