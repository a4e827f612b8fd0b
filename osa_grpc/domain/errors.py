"""What can go wrong, in the domain's words. `wire.status` maps each class to one gRPC status code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from osa_grpc.domain.column import ColumnDef
from osa_grpc.domain.field_path import FieldPath


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One thing that is wrong with one field of a request."""

    at: FieldPath
    message: str
    """What was expected and what was found, for people."""
    reason: str = "INVALID_VALUE"
    """UPPER_SNAKE, for programs."""


class OsaError(Exception):
    """An error that is the caller's to know about.

    `reason` is UPPER_SNAKE and stable: programs switch on it. `metadata` goes with it, as strings.
    """

    reason = "ERROR"

    def __init__(
        self, message: str, *, reason: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.metadata = dict(metadata or {})


class InvalidRequestError(OsaError):
    """The request is wrong whatever the state of the server. Every violation there is, each with its path."""

    reason = "INVALID_FIELD"

    def __init__(
        self,
        violations: Sequence[Violation],
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if not violations:
            raise ValueError("an invalid request has at least one violation")
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        place = f"{first.at}: " if first.at.text else ""
        super().__init__(f"{place}{first.message}{more}", reason=reason, metadata=metadata)
        self.violations = tuple(violations)


class NotFoundError(OsaError):
    """A resource that is not there."""

    reason = "RESOURCE_NOT_FOUND"

    def __init__(self, *, resource_type: str, name: str, message: str | None = None) -> None:
        super().__init__(message or f"{name} does not exist", metadata={"name": name})
        self.resource_type = resource_type
        self.name = name


class AlreadyExistsError(OsaError):
    """Something of that name is there already."""

    reason = "ALREADY_EXISTS"

    def __init__(self, message: str, *, reason: str, resource_type: str, name: str) -> None:
        super().__init__(message, reason=reason, metadata={"name": name})
        self.resource_type = resource_type
        self.name = name


@dataclass(frozen=True, kw_only=True)
class FieldDifference:
    """How one field of what is registered differs from what was sent; both as JSON."""

    field: str
    expected: str
    found: str


class ConventionExistsError(AlreadyExistsError):
    """A convention of that name is registered with other content."""

    def __init__(self, *, name: str, differences: Sequence[FieldDifference]) -> None:
        super().__init__(
            f"{name} is registered with other content: {', '.join(d.field for d in differences[:5])}",
            reason="CONVENTION_EXISTS",
            resource_type="opensciencearchive.org/Convention",
            name=name,
        )
        self.differences = tuple(differences)


@dataclass(frozen=True, kw_only=True)
class ColumnConflict:
    """How one column of a feature table differs from what a hook declares. An empty name: the cardinality."""

    column: str
    expected: str
    found: str
    expected_column: ColumnDef | None = None
    found_column: ColumnDef | None = None

    @classmethod
    def between(cls, expected: ColumnDef | None, found: ColumnDef | None) -> Self:
        """Return how two definitions of a column differ; None: there is none."""
        [name, *_] = [column.name for column in (expected, found) if column is not None]
        return cls(
            column=name,
            expected="absent" if expected is None else expected.shape,
            found="absent" if found is None else found.shape,
            expected_column=expected,
            found_column=found,
        )


class ConflictError(OsaError):
    """A hook's columns do not fit the feature table that its name owns."""

    reason = "FEATURE_TABLE_CONFLICT"

    def __init__(self, *, hook: str, columns: Sequence[ColumnConflict]) -> None:
        listed = "; ".join(
            f"{c.column or 'cardinality'}: expected {c.expected}, found {c.found}" for c in columns[:5]
        )
        super().__init__(
            f"featureTables/{hook} has other columns: {listed}",
            metadata={"feature_table": f"featureTables/{hook}"},
        )
        self.hook = hook
        self.columns = tuple(columns)


@dataclass(frozen=True, kw_only=True)
class PreconditionViolation:
    """One thing that must be so before the call can succeed. `type` is UPPER_SNAKE, `subject` what it is about."""

    type: str
    subject: str
    message: str


class PreconditionError(OsaError):
    """The request is well-formed, but the state of the server does not allow it."""

    reason = "FAILED_PRECONDITION"

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        violations: Sequence[PreconditionViolation] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.violations = tuple(violations)


class EtagMismatchError(OsaError):
    """Somebody else changed the resource first: read it again."""

    reason = "ETAG_MISMATCH"


class OutOfRangeError(OsaError):
    """A position beyond the end."""

    reason = "OFFSET_OUT_OF_RANGE"


class UnsupportedError(OsaError):
    """A part of a hook definition that this server does not know, or a request from a newer contract.

    `number` is the part's own: of the field, the arm or the enum's value. Its sender knows its name.
    """

    reason = "UNSUPPORTED_VARIANT"

    def __init__(self, message: str, *, reason: str, at: FieldPath, number: int | None = None) -> None:
        metadata = {"field": str(at)} if number is None else {"field": str(at), "number": str(number)}
        super().__init__(message, reason=reason, metadata=metadata)
        self.at = at


class DeadlineExceededError(OsaError):
    """The call took longer than it may. What it was to change may have changed or not: ask again with the same request id."""

    reason = "DEADLINE_EXCEEDED"


class UnavailableError(OsaError):
    """Something the server needs is away for now; the same call may succeed later."""

    reason = "UNAVAILABLE"

    def __init__(self, message: str, *, reason: str, retry_delay: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(message, reason=reason)
        self.retry_delay = retry_delay


class ResourceExhaustedError(OsaError):
    """A limit of the server's is reached: disk, connections, streams. `retry_delay`: after what time another try may succeed."""

    reason = "RESOURCE_EXHAUSTED"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_delay = retry_delay


class LeaseLostError(Exception):
    """Another worker holds what this one held: it writes nothing more and stops. Never reaches a caller."""


@dataclass(frozen=True, kw_only=True)
class BadOutput:
    """Where a hook's output does not fit, for people and programs."""

    file: str
    line: int | None = None
    row: int | None = None
    """Which of the file's rows, from 1: all may stand in one line."""
    field: str | None = None
    message: str = ""

    def __str__(self) -> str:
        place = self.file + (f" line {self.line}" if self.line is not None else "")
        place += f", row {self.row}" if self.row is not None else ""
        return f"{place}{f', field {self.field}' if self.field else ''}: {self.message}"


class BadOutputError(Exception):
    """A hook's output does not fit its feature spec: its run fails with BAD_OUTPUT."""

    def __init__(self, output: BadOutput) -> None:
        super().__init__(str(output))
        self.output = output
