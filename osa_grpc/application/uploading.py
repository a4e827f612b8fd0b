"""Uploading: what a file must be, before its bytes come and after."""

from collections.abc import AsyncIterator

from osa_grpc.application.depositing import convention_of, draft_of
from osa_grpc.application.ports import StoredFile
from osa_grpc.application.storage_ports import Transaction
from osa_grpc.domain.deposition import DepositionFile, Upload
from osa_grpc.domain.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    PreconditionError,
    PreconditionViolation,
    Violation,
)
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import deposition_name, file_resource_name


async def check_upload(tx: Transaction, upload: Upload) -> int:
    """Refuse what can be refused before the bytes come; return how many bytes the file may have."""
    draft = await draft_of(tx, upload.deposition, etag="", for_update=False)
    rules = (await convention_of(tx, draft.convention)).definition.file_requirements
    if not rules.accepts_name(upload.file_name):
        endings = " or ".join(rules.extensions)
        message = f"expected a name that ends in {endings}, found {upload.file_name!r}"
        raise _refused("file_name", "FILE_EXTENSION", message)
    if await tx.depositions.find_file(upload.deposition, upload.file_name) is not None:
        raise _file_exists(upload)
    if draft.file_count >= rules.max_count:
        raise _too_many_files(upload, rules.max_count)
    if upload.size_bytes is not None and upload.size_bytes > rules.max_size_bytes:
        raise _too_large(rules.max_size_bytes, f"{upload.size_bytes} bytes")
    return rules.max_size_bytes


async def add_file(tx: Transaction, upload: Upload, stored: StoredFile) -> DepositionFile:
    """Make an upload a file of its draft, now that its bytes are there."""
    _check_content(upload, stored)
    draft = await draft_of(tx, upload.deposition, etag="")
    rules = (await convention_of(tx, draft.convention)).definition.file_requirements
    if draft.file_count >= rules.max_count:
        raise _too_many_files(upload, rules.max_count)
    file = await tx.depositions.insert_file(
        DepositionFile(
            deposition=upload.deposition,
            file_name=upload.file_name,
            key=stored.key,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            media_type=upload.media_type,
            created_at=await tx.now(),
        )
    )
    if file is None:
        raise _file_exists(upload)
    return file


async def within_bounds(chunks: AsyncIterator[bytes], upload: Upload, most: int) -> AsyncIterator[bytes]:
    """Hand on the bytes as they come, and refuse the upload as soon as they are too many."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise _too_large(most, "more")
        if upload.size_bytes is not None and size > upload.size_bytes:
            raise _other_size(upload.size_bytes, "more")
        yield chunk


def _check_content(upload: Upload, stored: StoredFile) -> None:
    if upload.size_bytes is not None and stored.size_bytes != upload.size_bytes:
        raise _other_size(upload.size_bytes, f"{stored.size_bytes}")
    if upload.sha256 and stored.sha256 != upload.sha256:
        message = f"expected {upload.sha256}, but the bytes that came have {stored.sha256}"
        raise _refused("sha256", "CHECKSUM_MISMATCH", message)


def _too_large(most: int, found: str) -> InvalidRequestError:
    return _refused("size_bytes", "FILE_TOO_LARGE", f"expected at most {most} bytes, found {found}")


def _other_size(expected: int, found: str) -> InvalidRequestError:
    return _refused("size_bytes", "SIZE_MISMATCH", f"expected {expected} bytes, found {found}")


def _refused(field: str, reason: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(
        [Violation(at=FieldPath("header") / field, message=message, reason=reason)], reason=reason
    )


def _file_exists(upload: Upload) -> AlreadyExistsError:
    name = file_resource_name(upload.deposition, upload.file_name)
    return AlreadyExistsError(
        f"{name} is there already; delete it first",
        reason="FILE_EXISTS",
        resource_type="opensciencearchive.org/DepositionFile",
        name=name,
    )


def _too_many_files(upload: Upload, most: int) -> PreconditionError:
    name = deposition_name(upload.deposition)
    return PreconditionError(
        f"{name} has {most} files, as many as its convention allows",
        reason="TOO_MANY_FILES",
        violations=[
            PreconditionViolation(type="TOO_MANY_FILES", subject=name, message=f"at most {most} files")
        ],
    )
