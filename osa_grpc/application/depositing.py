"""Depositing: drafts, their files, and submission."""

import json
import uuid
from collections.abc import AsyncGenerator, Sequence

from pydantic import JsonValue

from osa_grpc.application.ports import FileStore, StoredFile
from osa_grpc.application.storage_ports import Storage, Transaction
from osa_grpc.domain.convention import Convention, ConventionState
from osa_grpc.domain.deposition import (
    MAX_METADATA_BYTES,
    Deposition,
    DepositionFile,
    DepositionState,
    Upload,
)
from osa_grpc.domain.errors import (
    AlreadyExistsError,
    EtagMismatchError,
    InvalidRequestError,
    NotFoundError,
    OutOfRangeError,
    PreconditionError,
    PreconditionViolation,
    Violation,
)
from osa_grpc.domain.events import DepositionSubmitted
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.metadata import check_metadata
from osa_grpc.domain.names import (
    ConventionRef,
    DepositionId,
    ExecutionId,
    RunId,
    deposition_name,
    file_resource_name,
    new_id,
    run_name,
)
from osa_grpc.domain.run import DepositionSource, HookExecution, Run

_METADATA = FieldPath("deposition.metadata")


async def convention_of(tx: Transaction, ref: ConventionRef) -> Convention:
    """Return it. Raises NotFoundError."""
    convention = await tx.conventions.find(ref)
    if convention is None:
        raise NotFoundError(resource_type="opensciencearchive.org/Convention", name=ref.name)
    return convention


async def deposition_of(tx: Transaction, deposition: DepositionId, *, for_update: bool = False) -> Deposition:
    """Return it. Raises NotFoundError."""
    found = await tx.depositions.find(deposition, for_update=for_update)
    if found is None:
        raise NotFoundError(
            resource_type="opensciencearchive.org/Deposition", name=deposition_name(deposition)
        )
    return found


async def create_deposition(
    tx: Transaction, convention: ConventionRef, metadata: dict[str, JsonValue]
) -> Deposition:
    """Make a draft against a convention that is READY."""
    found = await convention_of(tx, convention)
    if found.state is not ConventionState.READY:
        raise PreconditionError(
            f"{convention.name} is {found.state.value}; depositions need one that is READY",
            reason="CONVENTION_NOT_READY",
            violations=[
                PreconditionViolation(
                    type="CONVENTION_NOT_READY", subject=convention.name, message=f"it is {found.state.value}"
                )
            ],
        )
    _require_fit(metadata, found)
    return await tx.depositions.insert(DepositionId(new_id()), convention, metadata)


async def update_metadata(
    tx: Transaction,
    deposition: DepositionId,
    *,
    etag: str,
    fields: Sequence[str] | None,
    metadata: dict[str, JsonValue],
) -> Deposition:
    """Replace a draft's metadata; or just `fields` of it, where one that `metadata` does not have is removed."""
    draft = await _draft(tx, deposition, etag=etag)
    if fields is None:
        changed = metadata
    else:
        changed = {name: value for name, value in draft.metadata.items() if name not in fields}
        changed |= {name: metadata[name] for name in fields if name in metadata}
    _require_fit(changed, await convention_of(tx, draft.convention))
    return await tx.depositions.save(draft.model_copy(update={"metadata": changed}))


async def delete_deposition(tx: Transaction, deposition: DepositionId, *, etag: str) -> Sequence[str]:
    """Delete a draft; return its files' keys, to be deleted once the transaction has committed."""
    await _draft(tx, deposition, etag=etag)
    return await tx.depositions.delete(deposition)


async def delete_file(tx: Transaction, deposition: DepositionId, file_name: str) -> str:
    """Delete a draft's file; return its key, to be deleted once the transaction has committed."""
    await _draft(tx, deposition, etag="")
    key = await tx.depositions.delete_file(deposition, file_name)
    if key is None:
        raise _no_file(deposition, file_name)
    return key


async def check_upload(tx: Transaction, upload: Upload) -> int:
    """Refuse what can be refused before the bytes come; return how many bytes the file may have."""
    draft = await _draft(tx, upload.deposition, etag="", for_update=False)
    rules = (await convention_of(tx, draft.convention)).definition.file_requirements
    if not rules.accepts_name(upload.file_name):
        raise InvalidRequestError(
            [
                Violation(
                    at=FieldPath("header.file_name"),
                    message=f"expected a name that ends in {' or '.join(rules.extensions)}, found {upload.file_name!r}",
                    reason="FILE_EXTENSION",
                )
            ],
            reason="FILE_EXTENSION",
        )
    if await tx.depositions.find_file(upload.deposition, upload.file_name) is not None:
        raise _file_exists(upload)
    if draft.file_count >= rules.max_count:
        raise _too_many_files(upload, rules.max_count)
    if upload.size_bytes is not None and upload.size_bytes > rules.max_size_bytes:
        raise file_too_large(rules.max_size_bytes, f"{upload.size_bytes} bytes")
    return rules.max_size_bytes


async def add_file(tx: Transaction, upload: Upload, stored: StoredFile) -> DepositionFile:
    """Make an upload a file of its draft, now that its bytes are there."""
    _check_content(upload, stored)
    draft = await _draft(tx, upload.deposition, etag="")
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


async def submit(tx: Transaction, deposition: DepositionId, *, etag: str) -> Run:
    """Start a run that judges the deposition.

    Raises:
        PreconditionError: metadata or files are missing (`DEPOSITION_INCOMPLETE`), each in a violation.
    """
    draft = await _draft(tx, deposition, etag=etag)
    convention = await convention_of(tx, draft.convention)
    missing = _missing(draft, convention)
    if missing:
        raise PreconditionError(
            f"{deposition_name(deposition)} is not complete: {missing[0].subject}: {missing[0].message}",
            reason="DEPOSITION_INCOMPLETE",
            violations=missing,
        )
    run = await tx.runs.insert(
        Run(
            id=RunId(new_id()),
            source=DepositionSource(deposition=deposition),
            convention=draft.convention,
            executions=tuple(
                HookExecution(id=ExecutionId(uuid.uuid4()), hook=hook.name)
                for hook in convention.definition.hooks
            ),
            created_at=await tx.now(),
        )
    )
    await tx.depositions.save(
        draft.model_copy(update={"state": DepositionState.SUBMITTED, "run": run.id, "rejection_reason": None})
    )
    await tx.events.append(DepositionSubmitted(deposition=deposition, run=run.id))
    return run


async def stream_file(
    storage: Storage, files: FileStore, deposition: DepositionId, file_name: str, *, offset: int
) -> tuple[DepositionFile, AsyncGenerator[bytes, None]]:
    """Return a file and its bytes from `offset` on. Raises NotFoundError, OutOfRangeError."""
    async with storage.reading() as tx:
        file = await tx.depositions.find_file(deposition, file_name)
    if file is None:
        raise _no_file(deposition, file_name)
    if not 0 <= offset <= file.size_bytes:
        raise OutOfRangeError(f"expected an offset from 0 to {file.size_bytes}, found {offset}")
    return file, files.open_stream(file.key, offset=offset)


def file_too_large(most: int, found: str) -> InvalidRequestError:
    """Return the error of a file that is larger than the convention allows."""
    return InvalidRequestError(
        [
            Violation(
                at=FieldPath("header.size_bytes"),
                message=f"expected at most {most} bytes, found {found}",
                reason="FILE_TOO_LARGE",
            )
        ],
        reason="FILE_TOO_LARGE",
    )


def size_mismatch(expected: int, found: str) -> InvalidRequestError:
    """Return the error of a file whose bytes are more or fewer than was said."""
    return InvalidRequestError(
        [
            Violation(
                at=FieldPath("header.size_bytes"),
                message=f"expected {expected} bytes, found {found}",
                reason="SIZE_MISMATCH",
            )
        ],
        reason="SIZE_MISMATCH",
    )


async def _draft(
    tx: Transaction, deposition: DepositionId, *, etag: str, for_update: bool = True
) -> Deposition:
    found = await deposition_of(tx, deposition, for_update=for_update)
    name = deposition_name(deposition)
    if found.state is not DepositionState.DRAFT:
        run = "" if found.run is None else run_name(found.run)
        raise PreconditionError(
            f"{name} is {found.state.value}; only a DRAFT can be changed or submitted",
            reason="DEPOSITION_NOT_DRAFT",
            violations=[
                PreconditionViolation(
                    type="DEPOSITION_NOT_DRAFT", subject=name, message=f"it is {found.state.value}"
                )
            ],
            metadata={"state": found.state.value, **({"run": run} if run else {})},
        )
    if etag and etag != found.etag:
        raise EtagMismatchError(
            f"{name} has changed: expected the etag {found.etag}, found {etag}", metadata={"etag": found.etag}
        )
    return found


def _require_fit(metadata: dict[str, JsonValue], convention: Convention) -> None:
    wrong = check_metadata(metadata, convention.definition.metadata_schema, at=_METADATA, complete=False)
    size = len(json.dumps(metadata, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MAX_METADATA_BYTES:
        wrong.append(
            Violation(
                at=_METADATA,
                message=f"expected at most {MAX_METADATA_BYTES} bytes as JSON, found {size}",
                reason="TOO_LARGE",
            )
        )
    if wrong:
        raise InvalidRequestError(wrong)


def _missing(draft: Deposition, convention: Convention) -> list[PreconditionViolation]:
    wrong = check_metadata(draft.metadata, convention.definition.metadata_schema, at=_METADATA, complete=True)
    missing = [PreconditionViolation(type="METADATA", subject=str(v.at), message=v.message) for v in wrong]
    rules = convention.definition.file_requirements
    if draft.file_count < rules.min_count:
        missing.append(
            PreconditionViolation(
                type="FILES",
                subject=deposition_name(draft.id),
                message=f"expected at least {rules.min_count} files, found {draft.file_count}",
            )
        )
    return missing


def _check_content(upload: Upload, stored: StoredFile) -> None:
    if upload.size_bytes is not None and stored.size_bytes != upload.size_bytes:
        raise size_mismatch(upload.size_bytes, f"{stored.size_bytes}")
    if upload.sha256 and stored.sha256 != upload.sha256:
        raise InvalidRequestError(
            [
                Violation(
                    at=FieldPath("header.sha256"),
                    message=f"expected {upload.sha256}, but the bytes that came have {stored.sha256}",
                    reason="CHECKSUM_MISMATCH",
                )
            ],
            reason="CHECKSUM_MISMATCH",
        )


def _no_file(deposition: DepositionId, file_name: str) -> NotFoundError:
    return NotFoundError(
        resource_type="opensciencearchive.org/DepositionFile",
        name=file_resource_name(deposition, file_name),
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
