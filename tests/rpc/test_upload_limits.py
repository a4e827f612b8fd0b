"""Uploads that send nothing more: they end, and crowd out nobody else."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from osa_grpc.wire.rpc_error import error_from_rpc
from tests.fixtures.archive import Archive


@pytest.fixture
def server_settings(server_settings: Settings) -> Settings:
    return server_settings.model_copy(update={"max_concurrent_uploads": 1, "idle_upload_seconds": 2})


def _upload(archive: Archive, draft: str, *chunks: bytes, then: asyncio.Event | None = None) -> grpc.aio.Call:
    async def requests() -> AsyncIterator[pb.UploadFileRequest]:
        yield pb.UploadFileRequest(header=pb.UploadFileHeader(parent=draft, file_name="a.txt"))
        for chunk in chunks:
            yield pb.UploadFileRequest(chunk=chunk)
        if then is not None:
            await then.wait()

    return pb.DepositionServiceStub(archive.client._channel).UploadFile(requests())


async def test_an_upload_that_sends_nothing_more_is_ended_and_leaves_nothing(archive: Archive) -> None:
    draft = await archive.draft(await archive.convention())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _upload(archive, draft, b"abc", then=asyncio.Event())
    assert error_from_rpc(caught.value).reason == "UPLOAD_IDLE"
    assert [file async for file in archive.client.list_files(draft)] == []


async def test_uploads_have_places_of_their_own(archive: Archive) -> None:
    convention = await archive.convention()
    draft, other = await archive.draft(convention), await archive.draft(convention)
    first = _upload(archive, draft, b"abc", then=asyncio.Event())
    reasons: set[str] = set()
    while "TOO_MANY_UPLOADS" not in reasons:  # until the first has its place
        try:
            await _upload(archive, other)
        except grpc.aio.AioRpcError as error:
            reasons.add(error_from_rpc(error).reason)
    assert (await archive.client.get_deposition(draft)).name == draft  # everything else is served
    first.cancel()
