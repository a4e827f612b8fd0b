"""Files: what is refused, and that nothing of it is seen or left."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from osa_grpc.client import Client
from osa_grpc.client.channel import Stubs
from osa_grpc.server.app import Started, running
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, refusal, until

RULES = pb.FileRequirements(min_count=1, max_count=2, max_size_bytes=1000, extensions=[".cif"])


@pytest.fixture
async def draft(archive: Archive) -> str:
    return await archive.draft(await archive.convention(files=RULES))


@pytest.fixture
async def stubs(server: Started) -> AsyncIterator[Stubs]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield Stubs(channel)


def upload(stubs: Stubs, draft: str, *chunks: bytes, file_name: str = "a.cif", **header: Any) -> Any:
    async def requests() -> AsyncIterator[pb.UploadFileRequest]:
        yield pb.UploadFileRequest(header=pb.UploadFileHeader(parent=draft, file_name=file_name, **header))
        for chunk in chunks:
            yield pb.UploadFileRequest(chunk=chunk)

    return stubs.depositions.UploadFile(requests())


def on_disk(archive: Archive) -> list[Path]:
    """Every file that the server keeps for depositions, finished or not."""
    return [path for path in (archive.data_directory / "files").rglob("*") if path.is_file()]


async def listed(archive: Archive, draft: str) -> list[str]:
    return [file.file_name async for file in archive.client.list_files(draft)]


@pytest.mark.parametrize(
    ("chunks", "header", "reason", "field"),
    [
        ([b"x" * 600, b"x" * 600], {}, "FILE_TOO_LARGE", "header.size_bytes"),
        ([b"x"], {"size_bytes": 1001}, "FILE_TOO_LARGE", "header.size_bytes"),
        ([b"x"], {"file_name": "a.pdb"}, "FILE_EXTENSION", "header.file_name"),
        ([b"x"], {"sha256": hashlib.sha256(b"y").hexdigest()}, "CHECKSUM_MISMATCH", "header.sha256"),
        ([b"x"], {"size_bytes": 2}, "SIZE_MISMATCH", "header.size_bytes"),
        ([b"xxx"], {"size_bytes": 2}, "SIZE_MISMATCH", "header.size_bytes"),
        ([b"x"], {"sha256": "no digest"}, "INVALID_FIELD", "header.sha256"),
        ([b"x"], {"file_name": "../../x.cif"}, "INVALID_FIELD", "header.file_name"),
    ],
)
async def test_a_file_that_may_not_be_is_refused_and_leaves_nothing(
    archive: Archive,
    stubs: Stubs,
    draft: str,
    chunks: list[bytes],
    header: dict[str, Any],
    reason: str,
    field: str,
) -> None:
    error = await refusal(upload(stubs, draft, *chunks, **header))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert [violation.field for violation in error.violations] == [field]
    assert await listed(archive, draft) == []
    assert on_disk(archive) == []


async def test_a_file_twice_is_refused_and_the_first_stays(
    archive: Archive, stubs: Stubs, draft: str, tmp_path: Path
) -> None:
    await upload(stubs, draft, b"first")
    error = await refusal(upload(stubs, draft, b"second"))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "FILE_EXISTS")
    await archive.client.download_file(f"{draft}/files/a.cif", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert len(on_disk(archive)) == 1


async def test_of_two_uploads_of_one_name_at_once_one_is_kept(
    archive: Archive, stubs: Stubs, draft: str
) -> None:
    answers = await asyncio.gather(
        *(upload(stubs, draft, b"%d" % i) for i in range(4)), return_exceptions=True
    )
    assert len([answer for answer in answers if isinstance(answer, pb.UploadFileResponse)]) == 1
    assert await listed(archive, draft) == ["a.cif"]
    assert len(on_disk(archive)) == 1


async def test_more_files_than_the_convention_allows_are_refused(
    archive: Archive, stubs: Stubs, draft: str
) -> None:
    for name in ("a.cif", "b.cif"):
        await upload(stubs, draft, b"x", file_name=name)
    error = await refusal(upload(stubs, draft, b"x", file_name="c.cif"))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_FILES")
    assert len(on_disk(archive)) == 2


@pytest.mark.parametrize("ending", ["cancelled", "vanished"])
async def test_an_upload_that_is_cut_off_is_never_seen_and_leaves_nothing(
    archive: Archive, server: Started, ending: str
) -> None:
    draft = await archive.draft(await archive.convention())
    channel = grpc.aio.insecure_channel(server.address)
    call = Stubs(channel).depositions.UploadFile()
    await call.write(
        pb.UploadFileRequest(header=pb.UploadFileHeader(parent=draft, file_name="a.cif", size_bytes=2**30))
    )
    for _ in range(8):
        await call.write(pb.UploadFileRequest(chunk=bytes(2**20)))
    await until(lambda: on_disk(archive))
    if ending == "cancelled":
        call.cancel()
    await channel.close()
    await until(lambda: not on_disk(archive))
    assert await listed(archive, draft) == []


async def test_an_upload_of_unknown_size_that_is_cut_off_is_never_taken_for_complete(
    archive: Archive, server: Started
) -> None:
    draft = await archive.draft(await archive.convention())
    for i in range(10):
        channel = grpc.aio.insecure_channel(server.address)
        call = Stubs(channel).depositions.UploadFile()
        await call.write(pb.UploadFileRequest(header=pb.UploadFileHeader(parent=draft, file_name=f"{i}.cif")))
        await call.write(pb.UploadFileRequest(chunk=b"the first half"))
        if i % 2:
            call.cancel()
        await channel.close()
    await until(lambda: not on_disk(archive))
    assert await listed(archive, draft) == []


@pytest.mark.parametrize("first", [None, pb.UploadFileRequest(), pb.UploadFileRequest(chunk=b"x")])
async def test_an_upload_begins_with_its_header(
    archive: Archive, stubs: Stubs, first: pb.UploadFileRequest | None
) -> None:
    async def requests() -> AsyncIterator[pb.UploadFileRequest]:
        if first is not None:
            yield first

    error = await refusal(stubs.depositions.UploadFile(requests()))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == ["header"]


async def test_a_download_starts_where_it_is_asked_to(archive: Archive, stubs: Stubs) -> None:
    draft = await archive.draft(await archive.convention())
    content = bytes(range(256)) * 4096
    await upload(stubs, draft, content[:700_000], content[700_000:])
    name = f"{draft}/files/a.cif"
    for offset in (0, 1, 262_143, len(content) - 1, len(content)):
        answers = [
            answer
            async for answer in stubs.depositions.DownloadFile(
                pb.DownloadFileRequest(name=name, offset=offset)
            )
        ]
        assert answers[0].file.sha256 == hashlib.sha256(content).hexdigest()
        assert b"".join(answer.data for answer in answers) == content[offset:]
        at = offset
        for answer in answers:
            assert answer.offset == at
            at += len(answer.data)


@pytest.mark.parametrize("offset", [-1, 2])
async def test_an_offset_beyond_the_end_is_out_of_range(stubs: Stubs, draft: str, offset: int) -> None:
    await upload(stubs, draft, b"x")
    call = stubs.depositions.DownloadFile(pb.DownloadFileRequest(name=f"{draft}/files/a.cif", offset=offset))
    error = await refusal(call.read())
    expected = grpc.StatusCode.OUT_OF_RANGE if offset > 0 else grpc.StatusCode.INVALID_ARGUMENT
    assert error.code is expected
    assert error.reason


async def test_a_file_of_an_unknown_name_is_not_found(stubs: Stubs, draft: str) -> None:
    call = stubs.depositions.DownloadFile(pb.DownloadFileRequest(name=f"{draft}/files/none.cif"))
    error = await refusal(call.read())
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")


async def test_an_empty_file_is_a_file(archive: Archive, stubs: Stubs, draft: str, tmp_path: Path) -> None:
    await upload(stubs, draft, size_bytes=0)
    file = await archive.client.download_file(f"{draft}/files/a.cif", tmp_path / "a")
    assert (file.size_bytes, (tmp_path / "a").read_bytes()) == (0, b"")


async def test_an_upload_that_a_stopping_server_cuts_off_leaves_nothing(
    server_settings: Settings, obedient_image: str
) -> None:
    settings = server_settings.model_copy(update={"drain_seconds": 0.2})
    async with AsyncExitStack() as stack:
        async with running(settings) as (server, _):
            async with Client(server.address) as client:
                archive = Archive(
                    client=client, data_directory=settings.data_directory, image_id=obedient_image
                )
                draft = await archive.draft(await archive.convention())
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
            call = Stubs(channel).depositions.UploadFile()
            header = pb.UploadFileHeader(parent=draft, file_name="a.cif", size_bytes=2**30)
            await call.write(pb.UploadFileRequest(header=header))
            for _ in range(8):
                await call.write(pb.UploadFileRequest(chunk=bytes(2**20)))
            await until(lambda: on_disk(archive))
        assert on_disk(archive) == []
        error = await refusal(call)
    assert error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
