"""Reads the errors a server answers: the reverse of `status`, for clients."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from osa_grpc.wire import pb
from osa_grpc.wire.transport import STATUS_DETAILS_KEY

M = TypeVar("M", bound=Message)

ERROR_DOMAIN: Final = "osa-grpc"
"""Whose reasons they are, in `ErrorInfo`."""

OMITTED_KEY: Final = "omitted"
"""In `ErrorInfo.metadata`: how many entries of a list did not fit."""

INCIDENT_KEY: Final = "incident"
"""In `ErrorInfo.metadata`: under which id the server's log has an unexpected error."""

_DETAIL_TYPES: Final[tuple[type[Message], ...]] = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.PreconditionFailure,
    error_details_pb2.ResourceInfo,
    error_details_pb2.RetryInfo,
    error_details_pb2.QuotaFailure,
    pb.FeatureTableConflict,
    pb.ConventionConflict,
)


@dataclass(frozen=True, kw_only=True)
class FieldViolation:
    """What a server found wrong with one field; `field` is its path in the request."""

    field: str
    description: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class UnmetPrecondition:
    """What must be so before the call can succeed."""

    type: str
    subject: str
    description: str


class OsaRpcError(Exception):
    """A call that did not succeed. Programs switch on `code` and `reason`; people read `message` and `violations`."""

    def __init__(
        self,
        *,
        code: grpc.StatusCode,
        message: str,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        details: Sequence[Message] = (),
    ) -> None:
        super().__init__(f"{code.name}{f' {reason}' if reason else ''}: {message}")
        self.code: Final = code
        self.message: Final = message
        self.reason: Final = reason
        """UPPER_SNAKE; empty when the transport answered, not the server."""
        self.metadata: Final = dict(metadata or {})
        self.details: Final = tuple(details)
        """Every `google.rpc` and own detail that came, as messages."""

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """What is wrong with the request's fields; see `omitted_count` for whether it is all."""
        return tuple(
            FieldViolation(field=v.field, description=v.description, reason=v.reason)
            for detail in self._details_of(error_details_pb2.BadRequest)
            for v in detail.field_violations
        )

    @property
    def preconditions(self) -> tuple[UnmetPrecondition, ...]:
        """What must be so before the call can succeed."""
        return tuple(
            UnmetPrecondition(type=v.type, subject=v.subject, description=v.description)
            for detail in self._details_of(error_details_pb2.PreconditionFailure)
            for v in detail.violations
        )

    @property
    def retry_delay(self) -> timedelta | None:
        """How long the server asks to wait before the next try, if it does."""
        for detail in self._details_of(error_details_pb2.RetryInfo):
            delay: timedelta = detail.retry_delay.ToTimedelta()
            return delay
        return None

    @property
    def omitted_count(self) -> int:
        """How many violations, columns or differences did not fit the answer."""
        text = self.metadata.get(OMITTED_KEY, "")
        return int(text) if text.isdecimal() else 0

    @property
    def incident(self) -> str:
        """The id under which the server's log has an INTERNAL error; empty otherwise."""
        return self.metadata.get(INCIDENT_KEY, "")

    def _details_of(self, kind: type[M]) -> list[M]:
        return [detail for detail in self.details if isinstance(detail, kind)]


def error_from_rpc(error: grpc.RpcError) -> OsaRpcError:
    """Return what a failed call of an async or a blocking stub says.

    What the transport itself answers has no reason and no details.
    """
    call: Any = error  # what AioRpcError and a blocking stub's error have in common has no type of its own
    if not hasattr(call, "trailing_metadata"):
        return OsaRpcError(code=grpc.StatusCode.UNKNOWN, message=str(error))
    status = _rich_status(call.trailing_metadata() or ())
    details = [] if status is None else _unpacked(status)
    info = next((d for d in details if isinstance(d, error_details_pb2.ErrorInfo)), None)
    return OsaRpcError(
        code=call.code() or grpc.StatusCode.UNKNOWN,
        message=(status.message if status is not None else "") or call.details() or "",
        reason="" if info is None else info.reason,
        metadata=None if info is None else dict(info.metadata),
        details=details,
    )


def _rich_status(trailers: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status | None:
    # not grpc_status.from_call: it raises when a proxy has changed the message, and its aio variant takes no AioRpcError
    for key, value in trailers:
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _unpacked(status: status_pb2.Status) -> list[Message]:
    found: list[Message] = []
    for packed in status.details:
        for kind in _DETAIL_TYPES:
            message = kind()
            if packed.Is(message.DESCRIPTOR):
                try:
                    packed.Unpack(message)
                except DecodeError:
                    break
                found.append(message)
                break
    return found
