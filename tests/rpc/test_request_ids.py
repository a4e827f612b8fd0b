"""A request id makes a change happen once, however often it is asked for."""

import asyncio
from pathlib import Path

import grpc

from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, refusal


async def test_the_same_request_again_gets_the_same_answer(archive: Archive) -> None:
    client = archive.client
    convention = await archive.convention()
    first = await client.create_deposition(convention, request_id="one")
    again = await client.create_deposition(convention, request_id="one")
    assert again == first
    assert len([draft async for draft in client.list_depositions()]) == 1


async def test_another_request_under_the_same_id_is_refused(archive: Archive) -> None:
    client = archive.client
    convention = await archive.convention()
    draft = await client.create_deposition(convention, request_id="one")
    other = await archive.convention(version="2.0.0")
    error = await refusal(client.create_deposition(other, request_id="one"))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert [violation.field for violation in error.violations] == ["request_id"]
    assert [found.name async for found in client.list_depositions()] == [draft.name]


async def test_the_same_request_many_times_at_once_happens_once(archive: Archive) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention(), scripts={"check": ""})
    runs = await asyncio.gather(*(client.submit_deposition(draft, request_id="go") for _ in range(6)))
    assert len({run.name for run in runs}) == 1
    assert len([run async for run in client.list_runs()]) == 1
    await archive.end_of(runs[0].name)
    assert (await client.submit_deposition(draft, request_id="go")) == runs[0]


async def test_a_refusal_is_not_kept_for_a_request_id(archive: Archive) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention())
    assert (await refusal(client.submit_deposition(draft, request_id="go"))).reason == "DEPOSITION_INCOMPLETE"
    await client.upload_file(draft, b"", file_name="check.sh")
    await archive.end_of((await client.submit_deposition(draft, request_id="go")).name)


async def test_an_upload_again_is_the_same_file_and_other_bytes_are_refused(
    archive: Archive, tmp_path: Path
) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention())
    first = await client.upload_file(draft, b"one", file_name="a", request_id="up")
    assert await client.upload_file(draft, b"one", file_name="a", request_id="up") == first
    error = await refusal(client.upload_file(draft, b"two", file_name="a", request_id="up"))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert [file.name async for file in client.list_files(draft)] == [first.name]
    await client.download_file(first.name, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"one"
    stored = [path for path in (archive.data_directory / "files").rglob("*") if path.is_file()]
    assert len(stored) == 1


async def test_a_deletion_again_is_answered_and_deletes_nothing_new(archive: Archive) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention(), scripts={"check": ""})
    name = f"{draft}/files/check.sh"
    await client.delete_file(name, request_id="away")
    await client.upload_file(draft, b"new", file_name="check.sh")
    await client.delete_file(name, request_id="away")
    assert [file.name async for file in client.list_files(draft)] == [name]


async def test_an_id_that_is_too_long_is_refused(archive: Archive) -> None:
    convention = await archive.convention()
    error = await refusal(archive.client.create_deposition(convention, request_id="x" * 129))
    assert [violation.field for violation in error.violations] == ["request_id"]
    registered = pb.Convention(title="Other", version="1.0.0")
    same = await archive.client.register_convention("other", registered, request_id="x" * 128)
    assert same.name == "conventions/other@1.0.0"
