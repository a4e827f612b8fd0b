"""What is wrong with a filter or an order: always with its position, and with column and expected type where there are such."""

import difflib
from collections.abc import Iterable
from typing import Literal

from osa_grpc.domain.errors import InvalidRequestError, Violation
from osa_grpc.domain.field_path import FieldPath

Field = Literal["filter", "order_by"]
_REASONS = {"filter": "INVALID_FILTER", "order_by": "INVALID_ORDER_BY"}


def syntax_error(field: Field, offset: int, *, expected: str, found: str) -> InvalidRequestError:
    """Return the error of a text that does not parse."""
    return _error(field, offset, f"expected {expected}, found {found}", expected=expected)


def type_error(field: Field, offset: int, *, column: str, expected: str, found: str) -> InvalidRequestError:
    """Return the error of something that does not fit its column."""
    message = f"{column}: expected {expected}, found {found}"
    return _error(field, offset, message, expected=expected, column=column)


def unknown_column(field: Field, offset: int, *, column: str, known: Iterable[str]) -> InvalidRequestError:
    """Return the error of a column that is not there, with the one that may be meant."""
    close = difflib.get_close_matches(column, list(known), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return _error(
        field,
        offset,
        f"there is no column {shown(column)}{hint}",
        reason="UNKNOWN_COLUMN",
        column=column[:63],
        expected="a column of the table",
    )


def foreign_position() -> InvalidRequestError:
    """Return the error of a page token whose position no page of this list gave, for example because somebody made it up."""
    reason = "INVALID_PAGE_TOKEN"
    message = "expected the token of a page before, with the same query"
    return InvalidRequestError(
        [Violation(at=FieldPath("page_token"), message=message, reason=reason)], reason=reason
    )


def shown(text: str) -> str:
    """Return a text as a message may show it."""
    return f"{text[:40]}…" if len(text) > 40 else text  # noqa: PLR2004 - the length


def _error(
    field: Field, offset: int, message: str, *, reason: str | None = None, **metadata: str
) -> InvalidRequestError:
    position = str(offset + 1)
    reason = reason or _REASONS[field]
    return InvalidRequestError(
        [Violation(at=FieldPath(field), message=f"at position {position}: {message}", reason=reason)],
        reason=reason,
        metadata={"position": position, **metadata},
    )
