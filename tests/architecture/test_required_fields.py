"""What buf does not see: a field that a released client may leave out is never required later."""

from collections.abc import Iterator

from google.api import field_behavior_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from osa_grpc.wire.contract_files import descriptor_set
from tests.fixtures.documents import ROOT

RELEASES = sorted((ROOT / "proto" / "released").glob("*.binpb"))
REQUIRED = field_behavior_pb2.FieldBehavior.REQUIRED


def required_fields(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for message in file.message_type:
        for field in message.field:
            if REQUIRED in field.options.Extensions[field_behavior_pb2.field_behavior]:
                yield message.name, field.name


def newly_required(released: FileDescriptorSet, now: FileDescriptorSet) -> set[tuple[str, str]]:
    """The fields that a message of a release requires now, and did not then: new ones too."""
    messages = {message.name for file in released.file for message in file.message_type}
    then = {one for file in released.file for one in required_fields(file)}
    required = {one for file in now.file for one in required_fields(file)}
    return {(message, field) for message, field in required - then if message in messages}


def test_no_released_message_requires_more_than_it_did() -> None:
    found = {
        release.stem: newly_required(FileDescriptorSet.FromString(release.read_bytes()), descriptor_set())
        for release in RELEASES
    }
    assert not any(found.values()), found


def test_a_field_that_became_required_is_found() -> None:
    now = descriptor_set()
    for file in now.file:
        for message in file.message_type:
            if message.name == "UploadFileHeader":
                (field,) = (one for one in message.field if one.name == "sha256")
                field.options.Extensions[field_behavior_pb2.field_behavior].append(REQUIRED)
                new = message.field.add(name="licence", number=99)
                new.options.Extensions[field_behavior_pb2.field_behavior].append(REQUIRED)
    expected = {("UploadFileHeader", "sha256"), ("UploadFileHeader", "licence")}
    assert newly_required(descriptor_set(), now) == expected
    assert newly_required(now, descriptor_set()) == set(), "what is required no more breaks nobody"


def test_a_new_message_may_require_what_it_likes() -> None:
    released = descriptor_set()
    for file in released.file:
        kept = [message for message in file.message_type if message.name != "UploadFileHeader"]
        del file.message_type[:]
        file.message_type.extend(kept)
    assert newly_required(released, descriptor_set()) == set()
