"""Checks metadata against a convention's schema."""

import math
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import assert_never

from pydantic import JsonValue

from osa_grpc.domain.column import ColumnDef, JsonType
from osa_grpc.domain.errors import Violation
from osa_grpc.domain.field_path import FieldPath

_INT64 = range(-(2**63), 2**63)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def check_metadata(
    metadata: Mapping[str, JsonValue], schema: Sequence[ColumnDef], *, at: FieldPath, complete: bool
) -> list[Violation]:
    """Return every violation: unknown fields, values of another type and, when it must be complete, missing required fields."""
    fields = {field.name: field for field in schema}
    violations = [
        Violation(
            at=at / name,
            message=f"the convention has no such metadata field; it has {', '.join(fields) or 'none'}",
            reason="UNKNOWN_FIELD",
        )
        for name in metadata
        if name not in fields
    ]
    for name, field in fields.items():
        value = metadata.get(name)
        if value is None:
            if complete and field.required:
                violations.append(
                    Violation(
                        at=at / name, message=f"expected {field.shape}, found nothing", reason="REQUIRED"
                    )
                )
        elif (wrong := _mismatch(value, field)) is not None:
            violations.append(Violation(at=at / name, message=wrong, reason="WRONG_TYPE"))
    return violations


def _mismatch(value: JsonValue, field: ColumnDef) -> str | None:
    expected = f"{field.json_type.value} ({field.format})" if field.format else field.json_type.value
    if _fits(value, field):
        return None
    shown = repr(value) if isinstance(value, (str, int, float, bool)) else type(value).__name__
    return f"expected {expected}, found {shown[:80]}"


def _fits(value: JsonValue, field: ColumnDef) -> bool:
    match field.json_type:
        case JsonType.STRING:
            return isinstance(value, str) and "\x00" not in value and _fits_format(value, field.format)
        case JsonType.NUMBER:
            return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        case JsonType.INTEGER:
            return (
                isinstance(value, (int, float))
                and not isinstance(value, bool)
                and math.isfinite(value)
                and value == int(value)
                and int(value) in _INT64
            )
        case JsonType.BOOLEAN:
            return isinstance(value, bool)
        case JsonType.ARRAY:
            return isinstance(value, list)
        case JsonType.OBJECT:
            return isinstance(value, dict)
        case unhandled:
            assert_never(unhandled)


def _fits_format(text: str, form: str) -> bool:
    try:
        match form:
            case "date-time":
                return _RFC3339.fullmatch(text) is not None and bool(datetime.fromisoformat(text.upper()))
            case "date":
                return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None and bool(date.fromisoformat(text))
            case "uuid":
                return str(uuid.UUID(text)) == text.lower()
            case _:
                return True
    except ValueError:
        return False
