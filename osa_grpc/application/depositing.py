"""Depositing: drafts, their files, and submission."""

import json
import uuid
from collections.abc import AsyncGenerator, Sequence

from pydantic import JsonValue

from osa_grpc.application.ports import FileStore
from osa_grpc.application.storage_ports import Storage, Transaction
from osa_grpc.domain.convention import Convention, ConventionState
from osa_grpc.domain.deposition import (
    MAX_METADATA_BYTES,
    Deposition,
    DepositionFile,
    DepositionState,
)
from osa_grpc.domain.errors import (
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
    draft = await draft_of(tx, deposition, etag=etag)
    convention = await convention_of(tx, draft.convention)
    if fields is None:
        changed = metadata
    else:
        _require_known(fields, convention)
        changed = {name: value for name, value in draft.metadata.items() if name not in fields}
        changed |= {name: metadata[name] for name in fields if name in metadata}
    _require_fit(changed, convention)
    return await tx.depositions.save(draft.model_copy(update={"metadata": changed}))


async def delete_deposition(tx: Transaction, deposition: DepositionId, *, etag: str) -> Sequence[str]:
    """Delete a draft; return its files' keys, to be deleted once the transaction has committed."""
    await draft_of(tx, deposition, etag=etag)
    return await tx.depositions.delete(deposition)


async def delete_file(tx: Transaction, deposition: DepositionId, file_name: str) -> str:
    """Delete a draft's file; return its key, to be deleted once the transaction has committed."""
    await draft_of(tx, deposition, etag="")
    key = await tx.depositions.delete_file(deposition, file_name)
    if key is None:
        raise _no_file(deposition, file_name)
    return key


async def submit(
    tx: Transaction, deposition: DepositionId, *, etag: str, retry_of: RunId | None = None
) -> Run:
    """Start a run that judges the deposition as it is now; `retry_of` is the run that it repeats.

    Raises:
        PreconditionError: metadata or files are missing (`DEPOSITION_INCOMPLETE`), each in a violation.
    """
    draft = await draft_of(tx, deposition, etag=etag)
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
            retry_of=retry_of,
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


async def draft_of(
    tx: Transaction, deposition: DepositionId, *, etag: str, for_update: bool = True
) -> Deposition:
    """Return it, which must be a draft and have that etag, if one is given.

    Raises:
        NotFoundError: there is none.
        PreconditionError: it is SUBMITTED or PUBLISHED (`DEPOSITION_NOT_DRAFT`).
        EtagMismatchError: it has changed.
    """
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
    size = len(
        json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    )
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


def _require_known(fields: Sequence[str], convention: Convention) -> None:
    known = {field.name for field in convention.definition.metadata_schema}
    wrong = [
        Violation(
            at=FieldPath("update_mask.paths")[index],
            message=f"the convention has no metadata field {field[:63]!r}; it has {', '.join(known) or 'none'}",
            reason="UNKNOWN_FIELD",
        )
        for index, field in enumerate(fields)
        if field not in known
    ]
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


def _no_file(deposition: DepositionId, file_name: str) -> NotFoundError:
    return NotFoundError(
        resource_type="opensciencearchive.org/DepositionFile",
        name=file_resource_name(deposition, file_name),
    )
