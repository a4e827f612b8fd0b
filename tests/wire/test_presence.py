"""What does not apply is not sent, which is another thing than 0; and what ran is one of several things."""

import json
import uuid

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from osa_grpc.domain.errors import UnsupportedError
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.hook import OciLimits
from osa_grpc.domain.names import ExecutionId, RunId
from osa_grpc.domain.run import HookExecution, HookProgress, Provenance, Verdict
from osa_grpc.domain.run_event import HookFinished, HookProgressed, RunEvent, RunEventKind
from osa_grpc.wire import pb
from osa_grpc.wire.run_codec import (
    execution_to_proto,
    provenance_from_proto,
    provenance_to_proto,
)
from osa_grpc.wire.run_event_codec import run_event_to_proto
from osa_grpc.wire.times import timestamp_from_proto

AT = FieldPath("provenance")
PROVENANCE = Provenance(
    image="i", digest="d", image_id="x", config_sha256="a", input_sha256="b", output_sha256="c",
    limits=OciLimits(), engine="e",
)  # fmt: skip


def told(body: RunEventKind) -> pb.RunEvent:
    return run_event_to_proto(
        RunEvent(sequence=1, occurred_at=timestamp_from_proto(pb.RunEvent().event_time), body=body)
    )


def with_verdict(verdict: Verdict | None) -> list[Message]:
    """What tells of a hook that ended so, without rows."""
    execution = HookExecution(id=ExecutionId(uuid.uuid4()), hook="h", verdict=verdict)
    messages: list[Message] = [execution_to_proto(execution, run=RunId(str(uuid.uuid4())))]
    if verdict is not None:
        messages.append(told(HookFinished(hook="h", attempt=1, verdict=verdict)).hook_finished)
    return messages


def test_no_rows_of_a_hook_that_passed_are_said_to_be_none() -> None:
    for message in with_verdict(Verdict.PASSED):
        assert message.HasField("row_count")
        assert json.loads(json_format.MessageToJson(message))["rowCount"] == "0"


@pytest.mark.parametrize("verdict", [Verdict.REJECTED, Verdict.FAILED, None])
def test_of_a_hook_that_did_not_pass_no_rows_are_told(verdict: Verdict | None) -> None:
    for message in with_verdict(verdict):
        assert not message.HasField("row_count")


@pytest.mark.parametrize("count", [0, 3])
def test_lines_of_progress_that_were_not_kept_are_told_where_there_are_any(count: int) -> None:
    body = HookProgressed(hook="h", attempt=1, progress=HookProgress(), dropped_count=count)
    message = told(body).hook_progress
    assert message.HasField("dropped_count") is bool(count)
    assert message.dropped_count == count


def test_provenance_has_what_is_of_the_runtime_in_its_arm() -> None:
    message = provenance_to_proto(PROVENANCE)
    assert message.WhichOneof("runtime") == "oci"
    assert (message.oci.image, message.oci.engine, message.input_sha256) == ("i", "e", "b")
    assert provenance_from_proto(message, at=AT) == PROVENANCE


def test_provenance_of_a_runtime_that_is_not_known_is_not_taken_for_an_image() -> None:
    with pytest.raises(UnsupportedError) as caught:
        provenance_from_proto(pb.Provenance(input_sha256="b"), at=AT)
    assert (caught.value.reason, str(caught.value.at)) == ("UNSUPPORTED_VARIANT", "provenance.runtime")
