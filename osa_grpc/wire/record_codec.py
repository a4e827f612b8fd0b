"""Records."""

from typing import Any

from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import deposition_name, run_name
from osa_grpc.domain.record import Record
from osa_grpc.wire import pb
from osa_grpc.wire.resource_names import convention_ref, deposition_id, record_ref, run_id
from osa_grpc.wire.struct_codec import json_from_struct, struct_from_json
from osa_grpc.wire.times import timestamp_from_proto, timestamp_to_proto
from osa_grpc.wire.violations import Violations


def record_to_proto(record: Record) -> pb.Record:
    """Return a record as a message."""
    return pb.Record(
        name=record.ref.name,
        srn=record.srn,
        deposition=deposition_name(record.deposition),
        run=run_name(record.run),
        convention=record.convention.name,
        metadata=struct_from_json(record.metadata, at=FieldPath("record.metadata")),
        file_count=record.file_count,
        create_time=timestamp_to_proto(record.created_at),
    )


def record_from_proto(msg: pb.Record, *, at: FieldPath) -> Record:
    """Read a record that a server sent. Raises InvalidRequestError."""
    found = Violations()
    values: dict[str, Any] = {
        "srn": msg.srn,
        "file_count": msg.file_count,
        "created_at": timestamp_from_proto(msg.create_time),
    }
    with found.collecting():
        values["ref"] = record_ref(msg.name, at=at / "name")
    with found.collecting():
        values["deposition"] = deposition_id(msg.deposition, at=at / "deposition")
    with found.collecting():
        values["run"] = run_id(msg.run, at=at / "run")
    with found.collecting():
        values["convention"] = convention_ref(msg.convention, at=at / "convention")
    with found.collecting():
        values["metadata"] = json_from_struct(msg.metadata, at=at / "metadata")
    return found.build(Record, values, at=at, paths={"ref": at / "name"})
