"""Depositions: drafts of metadata and files, against one convention."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, JsonValue, StringConstraints

from osa_grpc.domain.column import PlainText
from osa_grpc.domain.names import ConventionRef, DepositionId, FileName, RecordRef, RunId
from osa_grpc.domain.value import Value

MAX_METADATA_BYTES: Final = 2**20


class DepositionState(StrEnum):
    """Where a deposition stands."""

    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    PUBLISHED = "PUBLISHED"


class Deposition(Value):
    """A deposition. `revision` rises with every change of it or of its files; the etag is made of it."""

    id: DepositionId
    convention: ConventionRef
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    file_count: int = 0
    state: DepositionState = DepositionState.DRAFT
    run: RunId | None = None
    record: RecordRef | None = None
    rejection_reason: str | None = None
    revision: int = 1
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Changes whenever the deposition or its files change."""
        return str(self.revision)


class DepositionFile(Value):
    """A file that was uploaded whole. `key` is where the file store keeps it; nobody outside sees it."""

    deposition: DepositionId
    file_name: FileName
    key: str
    size_bytes: int
    sha256: str
    media_type: Annotated[PlainText, StringConstraints(max_length=255)] = ""
    created_at: datetime


class Upload(Value):
    """What somebody wants to upload. `size_bytes` (None: not given) and `sha256` (empty: not given) are promises, checked."""

    deposition: DepositionId
    file_name: FileName
    size_bytes: int | None = None
    sha256: Annotated[str, StringConstraints(to_lower=True, pattern=r"^([0-9A-Fa-f]{64})?$")] = ""
    media_type: Annotated[PlainText, StringConstraints(max_length=255)] = ""
