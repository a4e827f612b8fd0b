"""What is wrong with a row that does not fit its columns: the first thing, said so that its author can mend it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from osa_grpc.application.column_decoding import converter, expected, holds_nul, wire_type
from osa_grpc.application.json_stream import preview
from osa_grpc.domain.column import RESERVED_COLUMN_NAMES, ColumnDef

_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class RowFault:
    """What was expected and what was found; in one field of the row, or in all of it."""

    field: str | None = None
    message: str


def fault_of(columns: Mapping[str, ColumnDef], text: bytes, error: Exception | None) -> RowFault:
    """Return the fault of a row. `error`: what decoding it raised, if it did."""
    try:
        values = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError) as malformed:
        return _fault_of_json(text, malformed)
    for key in values:
        if key not in columns:
            kind = "the name of a system column" if key in RESERVED_COLUMN_NAMES else "an unknown key"
            return RowFault(
                field=preview(key.encode()), message=f"expected the declared columns only, found {kind}"
            )
    for name, column in columns.items():
        if name not in values:
            if column.required:
                return RowFault(field=name, message=f"expected {expected(column)}, found no such key")
        elif not _is_of(column, values[name]):
            return RowFault(field=name, message=_found_instead(column, bytes(values[name])))
    if (twice := key_twice(text)) is not None:
        return RowFault(field=twice, message="expected each column once, found it twice")
    return RowFault(message=f"not a row of the declared columns: {error}")


def key_twice(text: bytes) -> str | None:
    """Return a key that a row has more than once, if there is one: readers of JSON do not agree which of its values counts."""
    seen = set()
    for key, _ in _members(text):
        if key in seen:
            return key
        seen.add(key)
    return None


@dataclass(frozen=True)
class _Constant:
    """`NaN` or `Infinity`, which Python and others write, and JSON does not have."""

    name: str


def _members(text: bytes) -> list[tuple[str, Any]]:
    """Return an object's keys and values as Python reads them: keys that come twice, constants and halves of characters as well."""
    members: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=list, parse_constant=_Constant)
    return members


def _fault_of_json(text: bytes, malformed: Exception) -> RowFault:
    if not text.startswith(b"{"):
        return RowFault(message=f"expected an object of columns, found {preview(text)}")
    try:
        for key, value in _members(text):
            for leaf in _leaves([key, value]):
                if isinstance(leaf, _Constant):
                    message = f"expected JSON, which has no {leaf.name.removeprefix('-')}: write null"
                    return RowFault(field=_shown(key), message=message)
                if isinstance(leaf, str) and (half := _HALF_CHARACTER.search(leaf)):
                    message = f"expected whole characters, found half of one: \\u{ord(half[0]):04x}"
                    return RowFault(field=_shown(key), message=message)
    except (ValueError, RecursionError):
        pass
    return RowFault(message=f"expected JSON, found {preview(text)}: {malformed}")


def _leaves(value: Any) -> Iterator[object]:  # noqa: ANN401 - JSON
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting += reversed(value)
        else:
            yield value


def _shown(key: str) -> str:
    return preview(key.encode(errors="replace"))


def _found_instead(column: ColumnDef, text: bytes) -> str:
    try:
        text.decode()
    except UnicodeDecodeError:
        return f"expected UTF-8, found other bytes: {preview(text)}"
    return f"expected {expected(column)}, found {preview(text)}"


def _is_of(column: ColumnDef, text: msgspec.Raw) -> bool:
    try:
        value = msgspec.json.decode(text, type=wire_type(column) | None)
        if value is None:
            return not column.required
        if convert := converter(column):
            convert(value)
    except (ValueError, RecursionError):
        return False
    return not holds_nul(value)
