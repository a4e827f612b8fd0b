"""Reads resource names and other plain fields of requests; what is wrong with one is a violation at its path."""

from collections.abc import Callable
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from osa_grpc.domain import names
from osa_grpc.domain.errors import InvalidRequestError, Violation
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import ConventionRef, DepositionId, RecordRef, RunId

T = TypeVar("T")

NAME: Final = FieldPath("name")
PARENT: Final = FieldPath("parent")
_FILE_NAME: Final = TypeAdapter[str](names.FileName)


def convention_ref(name: str, *, at: FieldPath = NAME) -> ConventionRef:
    """Read `conventions/{id}@{version}`. Raises InvalidRequestError."""
    return _parsed(names.parse_convention_name, name, at)


def deposition_id(name: str, *, at: FieldPath = NAME) -> DepositionId:
    """Read `depositions/{id}`. Raises InvalidRequestError."""
    return _parsed(names.parse_deposition_name, name, at)


def file_name(name: str, *, at: FieldPath = NAME) -> tuple[DepositionId, str]:
    """Read `depositions/{id}/files/{file}`. Raises InvalidRequestError."""
    deposition, file = _parsed(names.parse_file_name, name, at)
    return deposition, _parsed(_FILE_NAME.validate_python, file, at)


def run_id(name: str, *, at: FieldPath = NAME) -> RunId:
    """Read `runs/{id}`. Raises InvalidRequestError."""
    return _parsed(names.parse_run_name, name, at)


def execution(name: str, *, at: FieldPath = NAME) -> tuple[RunId, str]:
    """Read `runs/{run}/executions/{hook}`. Raises InvalidRequestError."""
    return _parsed(names.parse_execution_name, name, at)


def record_ref(name: str, *, at: FieldPath = NAME) -> RecordRef:
    """Read `records/{id}@{version}`. Raises InvalidRequestError."""
    return _parsed(names.parse_record_name, name, at)


def feature_table(name: str, *, at: FieldPath = NAME) -> str:
    """Read `featureTables/{hook}`; return the hook. Raises InvalidRequestError."""
    return _parsed(names.parse_feature_table_name, name, at)


def hook(name: str, *, at: FieldPath = NAME) -> str:
    """Read `hooks/{hook}`; return the hook. Raises InvalidRequestError."""
    return _parsed(names.parse_hook_name, name, at)


def delivery_number(name: str, *, at: FieldPath = NAME) -> int:
    """Read `deliveries/{number}`. Raises InvalidRequestError."""
    return _parsed(names.parse_delivery_name, name, at)


def page_size(size: int, *, default: int = 50, most: int = 1000) -> int:
    """Return how many items a page may have: 0 means the default, more than `most` means `most`. Raises InvalidRequestError."""
    if size < 0:
        message = f"expected 0 or more, found {size}"
        raise InvalidRequestError(
            [Violation(at=FieldPath("page_size"), message=message, reason="OUT_OF_RANGE")]
        )
    return min(size or default, most)


def offset(position: int) -> int:
    """Return a position in a file or log. Raises InvalidRequestError when it is below 0."""
    if position < 0:
        message = f"expected 0 or more, found {position}"
        raise InvalidRequestError([Violation(at=FieldPath("offset"), message=message, reason="OUT_OF_RANGE")])
    return position


def _parsed(parse: Callable[[str], T], name: str, at: FieldPath) -> T:
    if not name:
        message = "expected a resource name, found nothing"
        raise InvalidRequestError([Violation(at=at, message=message, reason="REQUIRED")])
    try:
        return parse(name)
    except ValueError as error:
        message = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        violation = Violation(at=at, message=message.removeprefix("Value error, "), reason="INVALID_NAME")
        raise InvalidRequestError([violation]) from error
