"""What an error says to a program: status, reason, details, and never too much of it."""

from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import grpc
import grpc.aio
import pytest
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.domain import errors
from osa_grpc.domain.column import ColumnDef, JsonType
from osa_grpc.domain.errors import (
    AlreadyExistsError,
    ColumnConflict,
    ConflictError,
    ConventionExistsError,
    DeadlineExceededError,
    EtagMismatchError,
    FieldDifference,
    InvalidRequestError,
    NotFoundError,
    OsaError,
    OutOfRangeError,
    PreconditionError,
    PreconditionViolation,
    ResourceExhaustedError,
    UnavailableError,
    UnsupportedError,
    Violation,
)
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.wire import pb
from osa_grpc.wire.rpc_error import OsaRpcError, error_from_rpc
from osa_grpc.wire.status import MAX_STATUS_BYTES, STATUS_CODES, RpcStatus, internal_status, status_of


def received(status: RpcStatus) -> OsaRpcError:
    """Return what a client makes of it."""
    return error_from_rpc(
        grpc.aio.AioRpcError(
            status.code,
            grpc.aio.Metadata(),
            grpc.aio.Metadata(("grpc-status-details-bin", status.details)),
            details=status.message,
        )
    )


def _kinds(kind: type[OsaError]) -> Iterator[type[OsaError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _kinds(child)


def test_every_error_of_the_domain_has_a_status() -> None:
    ours = {kind for kind in _kinds(OsaError) if kind.__module__ == errors.__name__}
    assert ours == set(STATUS_CODES)


def test_violations_arrive_with_field_description_and_reason() -> None:
    error = received(
        status_of(InvalidRequestError([Violation(at=FieldPath("a.b"), message="m", reason="R")]))
    )
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    (violation,) = error.violations
    assert (violation.field, violation.description, violation.reason) == ("a.b", "m", "R")
    assert error.omitted_count == 0
    assert str(error) == "INVALID_ARGUMENT INVALID_FIELD: a.b: m"


@given(
    st.lists(st.tuples(st.text(max_size=400), st.text(max_size=1000)), min_size=1, max_size=500),
)
def test_details_stay_under_4_kib_and_what_is_left_out_is_counted(texts: list[tuple[str, str]]) -> None:
    status = status_of(
        InvalidRequestError(
            [Violation(at=FieldPath(at), message=message) for at, message in texts],
            metadata={str(i): "x" * 1000 for i in range(20)},
        )
    )
    assert len(status.details) <= MAX_STATUS_BYTES
    error = received(status)
    assert len(error.violations) + error.omitted_count == len(texts)


LONG = st.sampled_from(["", "x", "a readable sentence ", "ü", "\U0001f9ec"]).flatmap(
    lambda piece: st.integers(0, 2000).map(lambda count: piece * count)
)
MANY = st.integers(1, 300)


def paths(draw: st.DrawFn) -> list[FieldPath]:
    return [FieldPath(draw(LONG))] * draw(MANY)


@st.composite
def worst_errors(draw: st.DrawFn) -> OsaError:
    """An error of any class, with texts and lists far longer than those that the service makes."""
    text = draw(LONG)
    count = draw(MANY)
    names = {"resource_type": "opensciencearchive.org/DepositionFile", "name": text}
    hook = "h" * 63
    conflict = ColumnConflict(column="c" * 63, expected=text, found=draw(LONG))
    difference = FieldDifference(field=draw(LONG), expected=text, found=draw(LONG))
    unmet = PreconditionViolation(type="FILES", subject=text, message=draw(LONG))
    made: dict[type[OsaError], OsaError] = {
        InvalidRequestError: InvalidRequestError(
            [Violation(at=at, message=text, reason="R" * 40) for at in paths(draw)]
        ),
        NotFoundError: NotFoundError(**names),
        AlreadyExistsError: AlreadyExistsError(text, reason="R" * 40, **names),
        ConventionExistsError: ConventionExistsError(name=text, differences=[difference] * count),
        ConflictError: ConflictError(hook=hook, columns=[conflict] * count),
        PreconditionError: PreconditionError(text, reason="R" * 40, violations=[unmet] * count),
        EtagMismatchError: EtagMismatchError(text),
        OutOfRangeError: OutOfRangeError(text),
        UnsupportedError: UnsupportedError(text, reason="R" * 40, at=FieldPath(draw(LONG))),
        DeadlineExceededError: DeadlineExceededError(text),
        UnavailableError: UnavailableError(text, reason="R" * 40),
        ResourceExhaustedError: ResourceExhaustedError(text, retry_delay=timedelta(days=9)),
    }
    assert made.keys() == STATUS_CODES.keys()
    error = made[draw(st.sampled_from(list(made)))]
    error.metadata |= {f"{number}{draw(LONG)}": draw(LONG) for number in range(draw(st.integers(0, 12)))}
    return error


@given(worst_errors())
def test_the_trailers_of_any_error_stay_below_what_clients_and_proxies_take(error: OsaError) -> None:
    status = status_of(error)
    assert len(status.details) <= MAX_STATUS_BYTES
    # On the way the details are base64, and the message is percent-encoded. Most clients take 8 KiB in all.
    assert len(b64encode(status.details)) + len(quote(status.message)) < 7.5 * 1024
    assert received(status).code is status.code


def test_of_500_violations_many_arrive_and_the_rest_is_counted() -> None:
    many = [Violation(at=FieldPath("convention.hooks")[i] / "name", message="is wrong ä") for i in range(500)]
    status = status_of(InvalidRequestError(many))
    assert len(status.details) <= MAX_STATUS_BYTES
    error = received(status)
    assert len(error.violations) > 40
    assert error.omitted_count == 500 - len(error.violations)
    assert error.violations[0].field == "convention.hooks[0].name"


def test_a_conflict_names_each_column_and_counts_the_rest() -> None:
    columns = [ColumnConflict(column=f"c{i}", expected="number", found="string") for i in range(300)]
    error = received(status_of(ConflictError(hook="chains", columns=columns)))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FEATURE_TABLE_CONFLICT")
    (detail,) = [d for d in error.details if isinstance(d, pb.FeatureTableConflict)]
    assert detail.feature_table == "featureTables/chains"
    assert detail.columns[0] == pb.ColumnConflict(column="c0", expected="number", found="string")
    assert detail.omitted_count == error.omitted_count == 300 - len(detail.columns) > 0


def test_a_conflict_has_both_definitions_without_what_may_differ() -> None:
    there = ColumnDef(name="r", json_type=JsonType.NUMBER, required=True, description="x" * 512, unit="Ao")
    brought = ColumnDef(name="r", json_type=JsonType.STRING, format="date")
    conflict = ColumnConflict.between(there, brought)
    error = received(
        status_of(
            ConflictError(hook="chains", columns=[conflict] * 9 + [ColumnConflict.between(None, there)])
        )
    )
    (detail,) = [d for d in error.details if isinstance(d, pb.FeatureTableConflict)]
    assert detail.omitted_count == 0
    assert detail.columns[0] == pb.ColumnConflict(
        column="r",
        expected="number, required",
        found="string (date)",
        expected_column=pb.ColumnDef(name="r", json_type=pb.JSON_TYPE_NUMBER, required=True),
        found_column=pb.ColumnDef(name="r", json_type=pb.JSON_TYPE_STRING, format="date"),
    )
    assert not detail.columns[9].HasField("expected_column")


def test_a_convention_that_differs_says_in_what() -> None:
    difference = FieldDifference(field="convention.title", expected='"a"', found='"b"' * 500)
    error = received(status_of(ConventionExistsError(name="conventions/x@1.0.0", differences=[difference])))
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "CONVENTION_EXISTS")
    (detail,) = [d for d in error.details if isinstance(d, pb.ConventionConflict)]
    assert (detail.convention, detail.omitted_count) == ("conventions/x@1.0.0", 0)
    assert detail.differences[0].found.endswith("…")


def test_what_is_unmet_arrives() -> None:
    unmet = PreconditionViolation(type="FILES", subject="depositions/x", message="expected 1 file")
    error = received(status_of(PreconditionError("m", reason="DEPOSITION_INCOMPLETE", violations=[unmet])))
    assert [(p.type, p.subject, p.description) for p in error.preconditions] == [
        ("FILES", "depositions/x", "expected 1 file")
    ]


def test_an_unsupported_part_arrives_with_its_path() -> None:
    error = received(status_of(UnsupportedError("m", reason="UNSUPPORTED_FIELD", at=FieldPath("a.b"))))
    assert error.code is grpc.StatusCode.UNIMPLEMENTED
    assert [(v.field, v.reason) for v in error.violations] == [("a.b", "UNSUPPORTED_FIELD")]
    assert error.metadata == {"field": "a.b"}


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (UnavailableError("m", reason="X", retry_delay=timedelta(seconds=2.5)), timedelta(seconds=2.5)),
        (ResourceExhaustedError("m", retry_delay=timedelta(seconds=1)), timedelta(seconds=1)),
        (ResourceExhaustedError("m"), None),
    ],
)
def test_a_retry_delay_arrives(error: OsaError, delay: timedelta | None) -> None:
    assert received(status_of(error)).retry_delay == delay


def test_a_subclass_that_is_not_in_the_table_has_its_parents_status() -> None:
    class NarrowerError(NotFoundError):
        pass

    assert status_of(NarrowerError(resource_type="t", name="n")).code is grpc.StatusCode.NOT_FOUND


def test_an_internal_error_has_an_incident_and_nothing_more() -> None:
    error = received(internal_status("abc"))
    assert (error.code, error.reason, error.incident) == (grpc.StatusCode.INTERNAL, "INTERNAL", "abc")


@pytest.mark.parametrize("trailer", [None, b"\xff\xff", status_pb2.Status().SerializeToString()])
def test_what_the_transport_answers_is_an_error_without_a_reason(trailer: bytes | None) -> None:
    trailers = [] if trailer is None else [("grpc-status-details-bin", trailer)]
    error = error_from_rpc(
        grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details="gone"
        )
    )
    assert (error.code, error.message, error.reason) == (grpc.StatusCode.UNAVAILABLE, "gone", "")


def test_an_error_without_a_call_is_unknown() -> None:
    assert error_from_rpc(grpc.RpcError("odd")).code is grpc.StatusCode.UNKNOWN
