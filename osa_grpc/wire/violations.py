"""Collects everything that is wrong with a request, each at the path of the field as the contract calls it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from osa_grpc.domain.errors import InvalidRequestError, Violation
from osa_grpc.domain.field_path import FieldPath

M = TypeVar("M", bound=BaseModel)

_SHOWN: Final = 80

REASONS: Final[Mapping[str, str]] = {
    "missing": "REQUIRED",
    "string_pattern_mismatch": "INVALID_FORMAT",
    "string_too_short": "TOO_SHORT",
    "too_long": "TOO_MANY",
    "too_short": "TOO_FEW",
    "greater_than": "OUT_OF_RANGE",
    "greater_than_equal": "OUT_OF_RANGE",
    "less_than": "OUT_OF_RANGE",
    "less_than_equal": "OUT_OF_RANGE",
    "literal_error": "UNKNOWN_VALUE",
    "enum": "UNKNOWN_VALUE",
}


class Violations:
    """What was found wrong so far. Parts are read inside `collecting()`, so that one bad part does not hide the next."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def add(self, at: FieldPath, message: str, *, reason: str = "INVALID_VALUE") -> None:
        """Note one."""
        self._found.append(Violation(at=at, message=message, reason=reason))

    def require(self, at: FieldPath) -> None:
        """Note that a field is missing."""
        self.add(at, "expected a value, found nothing", reason="REQUIRED")

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note what the block finds wrong, and go on after it."""
        try:
            yield
        except InvalidRequestError as error:
            self._found.extend(error.violations)

    def check(self) -> None:
        """Raise InvalidRequestError if anything was found."""
        if self._found:
            raise InvalidRequestError(_each_once(self._found))

    def build(
        self,
        model: type[M],
        values: Mapping[str, Any],
        *,
        at: FieldPath,
        paths: Mapping[str, FieldPath] | None = None,
    ) -> M:
        """Return the model made of the values, or raise what is wrong with them together with what was found before.

        A value that could not be read is left out of `values`, once what is wrong with it was noted; the rest is checked all the
        same. `paths` says where a field comes from whose path is not `at / field`.

        Raises:
            InvalidRequestError: every violation noted, and the model's own.
        """
        found_before = bool(self._found)
        try:
            built = model.model_validate(dict(values))
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if found_before and detail["type"] == "missing" and len(detail["loc"]) == 1:
                    continue
                self._found.append(_violation(detail, at, paths or {}))
            self.check()
            raise
        self.check()
        return built


def _violation(detail: ErrorDetails, at: FieldPath, paths: Mapping[str, FieldPath]) -> Violation:
    path = at
    for depth, step in enumerate(detail["loc"]):
        if isinstance(step, int):
            path = path[step]
        elif depth == 0 and step in paths:
            path = paths[step]
        else:
            path = path / step
    given = detail.get("input")
    if given == "" and detail["type"] != "literal_error":
        return Violation(at=path, message="expected a value, found nothing", reason="REQUIRED")
    if isinstance(given, str) and detail["type"] in {"too_long", "string_too_long"}:
        message = f"expected at most {detail['ctx']['max_length']} characters, found {len(given)}"
        return Violation(at=path, message=message, reason="TOO_LONG")
    reason = REASONS.get(detail["type"], "INVALID_VALUE")
    message = detail["msg"].removeprefix("Value error, ")
    if isinstance(given, (str, int, float)) and detail["type"] != "missing":
        message += f", found {given!r:.{_SHOWN}}"
    return Violation(at=path, message=message, reason=reason)


def _each_once(violations: list[Violation]) -> list[Violation]:
    return list(dict.fromkeys(violations))
