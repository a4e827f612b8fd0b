"""The domain's enums and the contract's, value by value."""

from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from osa_grpc.domain.column import ColumnType, JsonType
from osa_grpc.domain.convention import ConventionState, ReviewMode
from osa_grpc.domain.delivery import DeliveryState
from osa_grpc.domain.deposition import DepositionState
from osa_grpc.domain.errors import InvalidRequestError, UnsupportedError, Violation
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.hook import Cardinality
from osa_grpc.domain.run import HookExecutionState, ReviewDecision, RunState, Verdict, WaitingReason
from osa_grpc.wire import pb

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

E = TypeVar("E", bound=Enum)
P = TypeVar("P", bound=int)


class EnumCodec(Generic[E, P]):
    """One enum on both sides. Making one proves that each side has what the other has, but for `_UNSPECIFIED`."""

    def __init__(self, *, domain: type[E], wire: "_EnumTypeWrapper[P]", prefix: str) -> None:
        self._to_proto: Final = {value: wire.Value(prefix + value.name) for value in domain}
        self._from_proto: Final = {int(number): value for value, number in self._to_proto.items()}
        strangers = {int(number) for number in wire.values()} - {0, *self._from_proto}
        if strangers:
            raise ValueError(
                f"{domain.__name__} lacks {[name for name, n in wire.items() if n in strangers]}"
            )
        self._name: Final = wire.DESCRIPTOR.name
        self._choices: Final = ", ".join(prefix + value.name for value in domain)

    def to_proto(self, value: E) -> P:
        """Return the contract's value."""
        return self._to_proto[value]

    def from_proto(self, number: int, *, at: FieldPath) -> E:
        """Return the domain's value.

        Raises:
            InvalidRequestError: it is the `_UNSPECIFIED` one.
            UnsupportedError: a number of a newer contract (`UNSUPPORTED_VALUE`).
        """
        if number in self._from_proto:
            return self._from_proto[number]
        if number == 0:
            message = f"expected one of {self._choices}, found nothing"
            raise InvalidRequestError([Violation(at=at, message=message, reason="REQUIRED")])
        raise unsupported_value(self._name, number, at=at)


def unsupported_value(enum: str, number: int, *, at: FieldPath) -> UnsupportedError:
    """Return the error for an enum's number that this server does not know."""
    return UnsupportedError(
        f"{at}: this server does not know the value {number} of {enum}",
        reason="UNSUPPORTED_VALUE",
        at=at,
        number=number,
    )


CARDINALITY: Final = EnumCodec(domain=Cardinality, wire=pb.Cardinality, prefix="CARDINALITY_")
JSON_TYPE: Final = EnumCodec(domain=JsonType, wire=pb.JsonType, prefix="JSON_TYPE_")
COLUMN_TYPE: Final = EnumCodec(domain=ColumnType, wire=pb.ColumnType, prefix="COLUMN_TYPE_")
CONVENTION_STATE: Final = EnumCodec(
    domain=ConventionState, wire=pb.ConventionState, prefix="CONVENTION_STATE_"
)
REVIEW_MODE: Final = EnumCodec(domain=ReviewMode, wire=pb.ReviewMode, prefix="REVIEW_MODE_")
DEPOSITION_STATE: Final = EnumCodec(
    domain=DepositionState, wire=pb.DepositionState, prefix="DEPOSITION_STATE_"
)
RUN_STATE: Final = EnumCodec(domain=RunState, wire=pb.RunState, prefix="RUN_STATE_")
HOOK_EXECUTION_STATE: Final = EnumCodec(
    domain=HookExecutionState, wire=pb.HookExecutionState, prefix="HOOK_EXECUTION_STATE_"
)
WAITING_REASON: Final = EnumCodec(domain=WaitingReason, wire=pb.WaitingReason, prefix="WAITING_REASON_")
REVIEW_DECISION: Final = EnumCodec(domain=ReviewDecision, wire=pb.ReviewDecision, prefix="REVIEW_DECISION_")
VERDICT: Final = EnumCodec(domain=Verdict, wire=pb.Verdict, prefix="VERDICT_")
FAILURE_KIND: Final = EnumCodec(domain=FailureKind, wire=pb.FailureKind, prefix="FAILURE_KIND_")
DELIVERY_STATE: Final = EnumCodec(domain=DeliveryState, wire=pb.DeliveryState, prefix="DELIVERY_STATE_")
