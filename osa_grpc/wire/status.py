"""One table: a domain error → a gRPC status with `google.rpc` details.

Every error of ours carries `ErrorInfo` (reason, the domain `osa-grpc`, metadata). All of it stays under 4 KiB, because trailers are
limited on the way: as many violations as fit, and `omitted` in `ErrorInfo.metadata` says how many did not. The way back, for
clients, is `error_from_rpc`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from osa_grpc.domain.column import ColumnDef
from osa_grpc.domain.errors import (
    AlreadyExistsError,
    ConflictError,
    ConventionExistsError,
    DeadlineExceededError,
    EtagMismatchError,
    InvalidRequestError,
    NotFoundError,
    OsaError,
    OutOfRangeError,
    PreconditionError,
    ResourceExhaustedError,
    UnavailableError,
    UnsupportedError,
)
from osa_grpc.domain.names import feature_table_name
from osa_grpc.wire import pb
from osa_grpc.wire.column_codec import column_to_proto
from osa_grpc.wire.rpc_error import ERROR_DOMAIN, INCIDENT_KEY, OMITTED_KEY, OsaRpcError, error_from_rpc

__all__ = [
    "MAX_STATUS_BYTES",
    "STATUS_CODES",
    "OsaRpcError",
    "RpcStatus",
    "error_from_rpc",
    "internal_status",
    "shortened",
    "status_of",
]

MAX_STATUS_BYTES: Final = 4096

STATUS_CODES: Final[Mapping[type[OsaError], grpc.StatusCode]] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    ConventionExistsError: grpc.StatusCode.ALREADY_EXISTS,
    ConflictError: grpc.StatusCode.FAILED_PRECONDITION,
    PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    EtagMismatchError: grpc.StatusCode.ABORTED,
    OutOfRangeError: grpc.StatusCode.OUT_OF_RANGE,
    UnsupportedError: grpc.StatusCode.UNIMPLEMENTED,
    DeadlineExceededError: grpc.StatusCode.DEADLINE_EXCEEDED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Which status each error is. A class that is not listed has its nearest ancestor's."""

_MESSAGE_BYTES: Final = 512
_TEXT_BYTES: Final = 320
_METADATA_BYTES: Final = 1536
_RESERVE_BYTES: Final = 64  # for the count of what was left out, and lengths that grow
_ENTRY_OVERHEAD_BYTES: Final = 4  # its field's tag and length


@dataclass(frozen=True, kw_only=True)
class RpcStatus:
    """How a call ends: code, message, and the serialized `google.rpc.Status` for the trailer."""

    code: grpc.StatusCode
    message: str
    details: bytes


def status_of(error: OsaError) -> RpcStatus:
    """Return how a call ends that raised the error."""
    code = next(STATUS_CODES[kind] for kind in type(error).__mro__ if kind in STATUS_CODES)
    return _status(
        code,
        error.message,
        error.reason,
        _fitting(error.metadata),
        parts=_fixed_parts(error),
        lists=_lists(error),
    )


def _fitting(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the first entries, as many as fit."""
    fitting: dict[str, str] = {}
    room = _METADATA_BYTES
    for long_key, long_value in metadata.items():
        key, value = shortened(long_key, 64), shortened(long_value, _TEXT_BYTES)
        room -= len(key.encode()) + len(value.encode()) + 3 * _ENTRY_OVERHEAD_BYTES
        if room < 0:
            break
        fitting[key] = value
    return fitting


def internal_status(incident: str) -> RpcStatus:
    """Return how a call ends that raised something unexpected: an incident id, which the server's log has too, and nothing more."""
    return _status(
        grpc.StatusCode.INTERNAL,
        f"internal error; the server's log has it as incident {incident}",
        "INTERNAL",
        {INCIDENT_KEY: incident},
        parts=(),
        lists=(),
    )


def shortened(text: str, most: int) -> str:
    """Return the text, cut to so many bytes of UTF-8, with `…` where it was cut."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - 3].decode("utf-8", "ignore") + "…"


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """A detail with a list of entries, as many of which are sent as fit."""

    detail: Message
    field: str
    entries: Sequence[Message]

    def filled(self, count: int) -> Message:
        """Return the detail with its first `count` entries; one of ours says how many are left out."""
        getattr(self.detail, self.field).extend(self.entries[:count])
        if isinstance(self.detail, pb.FeatureTableConflict | pb.ConventionConflict):
            self.detail.omitted_count = len(self.entries) - count
        return self.detail


def _status(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    metadata: dict[str, str],
    *,
    parts: Iterable[Message],
    lists: Iterable[_Listing],
) -> RpcStatus:
    info = error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=metadata)
    message = shortened(message, _MESSAGE_BYTES)
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=message, details=[_packed(info), *map(_packed, parts)])
    omitted = 0
    for listing in lists:
        room = MAX_STATUS_BYTES - _RESERVE_BYTES - status.ByteSize() - _packed(listing.detail).ByteSize()
        sizes = accumulate(entry.ByteSize() + _ENTRY_OVERHEAD_BYTES for entry in listing.entries)
        fitting = sum(size <= room for size in sizes)
        status.details.append(_packed(listing.filled(fitting)))
        omitted += len(listing.entries) - fitting
    if omitted:
        info.metadata[OMITTED_KEY] = str(omitted)
        status.details[0].CopyFrom(_packed(info))
    return RpcStatus(code=code, message=message, details=status.SerializeToString())


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _fixed_parts(error: OsaError) -> list[Message]:
    match error:
        case NotFoundError() | AlreadyExistsError():
            return [
                error_details_pb2.ResourceInfo(
                    resource_type=error.resource_type, resource_name=shortened(error.name, _TEXT_BYTES)
                )
            ]
        case UnavailableError() | ResourceExhaustedError() if error.retry_delay is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromTimedelta(error.retry_delay)
            return [info]
        case _:
            return []


def _lists(error: OsaError) -> list[_Listing]:
    match error:
        case InvalidRequestError():
            return [
                _bad_request([_field_violation(str(v.at), v.message, v.reason) for v in error.violations])
            ]
        case UnsupportedError():
            return [_bad_request([_field_violation(str(error.at), error.message, error.reason)])]
        case PreconditionError(violations=violations) if violations:
            return [
                _Listing(
                    detail=error_details_pb2.PreconditionFailure(),
                    field="violations",
                    entries=[
                        error_details_pb2.PreconditionFailure.Violation(
                            type=v.type,
                            subject=shortened(v.subject, _TEXT_BYTES),
                            description=shortened(v.message, _TEXT_BYTES),
                        )
                        for v in violations
                    ],
                )
            ]
        case ConflictError():
            return [
                _Listing(
                    detail=pb.FeatureTableConflict(feature_table=feature_table_name(error.hook)),
                    field="columns",
                    entries=[
                        pb.ColumnConflict(
                            column=c.column,
                            expected=shortened(c.expected, _TEXT_BYTES),
                            found=shortened(c.found, _TEXT_BYTES),
                            expected_column=_shape_of(c.expected_column),
                            found_column=_shape_of(c.found_column),
                        )
                        for c in error.columns
                    ],
                )
            ]
        case ConventionExistsError():
            return [
                _Listing(
                    detail=pb.ConventionConflict(convention=shortened(error.name, _TEXT_BYTES)),
                    field="differences",
                    entries=[
                        pb.FieldDifference(
                            field=shortened(d.field, _TEXT_BYTES),
                            expected=shortened(d.expected, _TEXT_BYTES),
                            found=shortened(d.found, _TEXT_BYTES),
                        )
                        for d in error.differences
                    ],
                )
            ]
        case _:
            return []


def _shape_of(column: ColumnDef | None) -> pb.ColumnDef | None:
    """Return what makes a conflict; a description would leave no room for other columns."""
    return (
        None if column is None else column_to_proto(column.model_copy(update={"description": "", "unit": ""}))
    )


def _bad_request(violations: list[Message]) -> _Listing:
    return _Listing(detail=error_details_pb2.BadRequest(), field="field_violations", entries=violations)


def _field_violation(field: str, description: str, reason: str) -> Message:
    violation: Message = error_details_pb2.BadRequest.FieldViolation(
        field=shortened(field, _TEXT_BYTES), description=shortened(description, _TEXT_BYTES), reason=reason
    )
    return violation
