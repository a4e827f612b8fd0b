import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Final

import grpc.aio

from osa_grpc.application import depositing, uploading
from osa_grpc.application.depositing import deposition_of
from osa_grpc.application.listing import DEPOSITION_COLUMNS
from osa_grpc.application.ports import FileStore
from osa_grpc.application.requests import check_request_id
from osa_grpc.application.storage_ports import Storage, Transaction
from osa_grpc.domain.convention import MAX_FILE_BYTES
from osa_grpc.domain.deposition import Upload
from osa_grpc.domain.errors import (
    InvalidRequestError,
    OsaError,
    ResourceExhaustedError,
    UnavailableError,
    Violation,
)
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.server.servicers.answering import (
    answer_content,
    answer_list,
    answer_mutation,
    answer_page,
)
from osa_grpc.wire import pb, resource_names, tokens
from osa_grpc.wire.deposition_codec import (
    deposition_to_proto,
    file_to_proto,
    metadata_change_from_proto,
    new_draft_from_proto,
    upload_header_from_proto,
)
from osa_grpc.wire.run_codec import run_to_proto

_UPLOAD: Final = "UploadFile"
_HEADER: Final = FieldPath("header")


class DepositionServicer(pb.DepositionServiceServicer):
    """Serves DepositionService."""

    def __init__(
        self, *, storage: Storage, files: FileStore, authority: SrnAuthority, idle_upload: timedelta
    ) -> None:
        self._idle_upload = idle_upload
        self._storage = storage
        self._files = files
        self._authority = authority

    async def CreateDeposition(
        self, request: pb.CreateDepositionRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.CreateDepositionResponse:
        """Make a draft."""
        draft = new_draft_from_proto(request)

        async def act(tx: Transaction) -> pb.CreateDepositionResponse:
            made = await depositing.create_deposition(tx, draft.convention, draft.metadata)
            return pb.CreateDepositionResponse(deposition=deposition_to_proto(made, self._authority))

        return await answer_mutation(self._storage, request, pb.CreateDepositionResponse, act)

    async def UpdateDeposition(
        self, request: pb.UpdateDepositionRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.UpdateDepositionResponse:
        """Change a draft's metadata."""
        change = metadata_change_from_proto(request)

        async def act(tx: Transaction) -> pb.UpdateDepositionResponse:
            changed = await depositing.update_metadata(
                tx, change.deposition, etag=change.etag, fields=change.fields, metadata=change.metadata
            )
            return pb.UpdateDepositionResponse(deposition=deposition_to_proto(changed, self._authority))

        return await answer_mutation(self._storage, request, pb.UpdateDepositionResponse, act)

    async def GetDeposition(
        self, request: pb.GetDepositionRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.GetDepositionResponse:
        """Return it."""
        deposition = resource_names.deposition_id(request.name)
        async with self._storage.reading() as tx:
            found = await deposition_of(tx, deposition)
        return pb.GetDepositionResponse(deposition=deposition_to_proto(found, self._authority))

    async def ListDepositions(
        self, request: pb.ListDepositionsRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ListDepositionsResponse:
        """Return a page."""
        async with self._storage.reading() as tx:
            depositions, token = await answer_list(
                request,
                DEPOSITION_COLUMNS,
                tx.depositions.list,
                lambda found: deposition_to_proto(found, self._authority),
            )
        return pb.ListDepositionsResponse(depositions=depositions, next_page_token=token)

    async def DeleteDeposition(
        self, request: pb.DeleteDepositionRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.DeleteDepositionResponse:
        """Delete a draft; its files' bytes go once that is committed."""
        deposition = resource_names.deposition_id(request.name)
        keys: list[str] = []

        async def act(tx: Transaction) -> pb.DeleteDepositionResponse:
            keys.extend(await depositing.delete_deposition(tx, deposition, etag=request.etag))
            return pb.DeleteDepositionResponse()

        answer = await answer_mutation(self._storage, request, pb.DeleteDepositionResponse, act)
        for key in keys:
            await self._files.delete(key)
        return answer

    async def UploadFile(
        self,
        request_iterator: AsyncIterator[pb.UploadFileRequest],
        context: "grpc.aio.ServicerContext[object, object]",
    ) -> pb.UploadFileResponse:
        """Store the bytes, then make them a file; if that is refused, remove them."""
        requests = _coming(request_iterator, at_most=self._idle_upload)
        header = await _header(requests)
        upload = upload_header_from_proto(header)
        check_request_id(header.request_id, at=_HEADER / "request_id")
        most = await self._check(upload, header.request_id)
        stored = await self._files.put_stream(uploading.within_bounds(_chunks(requests), upload, most))
        if context.done():  # the requests of a client that has gone end like those of one that has finished
            await self._files.delete(stored.key)
            raise asyncio.CancelledError

        is_kept = False

        async def act(tx: Transaction) -> pb.UploadFileResponse:
            nonlocal is_kept
            file = await uploading.add_file(tx, upload, stored)
            is_kept = True
            return pb.UploadFileResponse(file=file_to_proto(file))

        content = pb.UploadFileHeader()
        content.CopyFrom(header)
        content.ClearField("request_id")
        try:
            answer = await answer_content(
                self._storage,
                method=_UPLOAD,
                request_id=header.request_id,
                content=content.SerializeToString(deterministic=True) + bytes.fromhex(stored.sha256),
                answer=pb.UploadFileResponse,
                act=act,
                at=_HEADER / "request_id",
            )
        except UnavailableError:
            raise  # perhaps it was committed; the sweep will know
        except OsaError:
            await self._files.delete(stored.key)
            raise
        if not is_kept:
            await self._files.delete(stored.key)
        return answer

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        """Send the bytes."""
        deposition, file_name = resource_names.file_name(request.name)
        offset = resource_names.offset(request.offset)
        file, chunks = await depositing.stream_file(
            self._storage, self._files, deposition, file_name, offset=offset
        )
        yield pb.DownloadFileResponse(file=file_to_proto(file), offset=offset)
        async with aclosing(chunks) as stream:
            async for chunk in stream:
                yield pb.DownloadFileResponse(offset=offset, data=chunk)
                offset += len(chunk)

    async def ListFiles(
        self, request: pb.ListFilesRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ListFilesResponse:
        """Return a page."""
        deposition = resource_names.deposition_id(request.parent, at=resource_names.PARENT)
        listing = tokens.page_binding("ListFiles", deposition)
        async with self._storage.reading() as tx:
            await deposition_of(tx, deposition)
            files, token = await answer_page(
                request, listing, lambda page: tx.depositions.list_files(deposition, page), file_to_proto
            )
        return pb.ListFilesResponse(files=files, next_page_token=token)

    async def DeleteFile(
        self, request: pb.DeleteFileRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.DeleteFileResponse:
        """Delete a draft's file; its bytes go once that is committed."""
        deposition, file_name = resource_names.file_name(request.name)
        keys: list[str] = []

        async def act(tx: Transaction) -> pb.DeleteFileResponse:
            keys.append(await depositing.delete_file(tx, deposition, file_name))
            return pb.DeleteFileResponse()

        answer = await answer_mutation(self._storage, request, pb.DeleteFileResponse, act)
        for key in keys:
            await self._files.delete(key)
        return answer

    async def SubmitDeposition(
        self, request: pb.SubmitDepositionRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.SubmitDepositionResponse:
        """Start a run."""
        deposition = resource_names.deposition_id(request.name)

        async def act(tx: Transaction) -> pb.SubmitDepositionResponse:
            run = await depositing.submit(tx, deposition, etag=request.etag)
            return pb.SubmitDepositionResponse(
                run=run_to_proto(run, self._authority),
                resume_token=tokens.resume_token(run.id, run.last_sequence),
            )

        return await answer_mutation(self._storage, request, pb.SubmitDepositionResponse, act)

    async def _check(self, upload: Upload, request_id: str) -> int:
        """Refuse what can be refused now; return how many bytes may come."""
        async with self._storage.reading() as tx:
            if request_id and await tx.requests.find(_UPLOAD, request_id) is not None:
                return MAX_FILE_BYTES  # sent again: only its digest is asked for
            return await uploading.check_upload(tx, upload)


async def _coming(
    requests: AsyncIterator[pb.UploadFileRequest], *, at_most: timedelta
) -> AsyncIterator[pb.UploadFileRequest]:
    """Hand on the requests; one that does not come for long ends the upload."""
    iterator = aiter(requests)
    while True:
        try:
            async with asyncio.timeout(at_most.total_seconds()):
                request = await anext(iterator, None)
        except TimeoutError as error:
            raise ResourceExhaustedError(
                f"nothing came for {at_most.total_seconds():g} s; upload again", reason="UPLOAD_IDLE"
            ) from error
        if request is None:
            return
        yield request


async def _chunks(requests: AsyncIterator[pb.UploadFileRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("payload") != "chunk":
            raise InvalidRequestError(
                [Violation(at=FieldPath("chunk"), message="expected a chunk after the header")]
            )
        yield request.chunk


async def _header(requests: AsyncIterator[pb.UploadFileRequest]) -> pb.UploadFileHeader:
    async for request in requests:
        if request.WhichOneof("payload") == "header":
            return request.header
        break
    raise InvalidRequestError([Violation(at=_HEADER, message="expected a header first", reason="REQUIRED")])
