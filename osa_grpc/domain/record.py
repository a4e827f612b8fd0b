"""Records: published, immutable depositions."""

from datetime import datetime

from pydantic import Field, JsonValue

from osa_grpc.domain.names import ConventionRef, DepositionId, RecordRef, RunId
from osa_grpc.domain.value import Value


class Record(Value):
    """A published deposition. `srn` is stored, because feature rows refer to it."""

    ref: RecordRef
    srn: str
    deposition: DepositionId
    run: RunId
    convention: ConventionRef
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    file_count: int
    created_at: datetime
