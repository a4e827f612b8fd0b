"""Domain events: what happened, appended to the audit log and owed to handlers. They carry definitions themselves."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.names import ConventionRef, DepositionId, RecordRef, RunId
from osa_grpc.domain.run import RunState
from osa_grpc.domain.value import Value


class ConventionRegistered(Value):
    """A convention was accepted; its feature tables are to be made."""

    type: Literal["ConventionRegistered"] = "ConventionRegistered"
    convention: ConventionRef
    hooks: tuple[HookDefinition, ...]


class ConventionReady(Value):
    """A convention's feature tables are there."""

    type: Literal["ConventionReady"] = "ConventionReady"
    convention: ConventionRef


class DepositionSubmitted(Value):
    """A deposition was submitted."""

    type: Literal["DepositionSubmitted"] = "DepositionSubmitted"
    deposition: DepositionId
    run: RunId


class RecordPublished(Value):
    """A record and its rows are visible."""

    type: Literal["RecordPublished"] = "RecordPublished"
    record: RecordRef
    run: RunId


class RunFinished(Value):
    """A run has its terminal state."""

    type: Literal["RunFinished"] = "RunFinished"
    run: RunId
    state: RunState


DomainEvent = Annotated[
    ConventionRegistered | ConventionReady | DepositionSubmitted | RecordPublished | RunFinished,
    Field(discriminator="type"),
]
"""What happened; discriminated on `type`."""


class StoredEvent(Value):
    """An event as the audit log has it."""

    id: int
    occurred_at: datetime
    body: DomainEvent
