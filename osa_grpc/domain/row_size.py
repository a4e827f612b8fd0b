"""How many bytes a row takes on the wire, at most: rows are refused, and pages cut, by this one measure."""

from collections.abc import Iterable
from typing import Final

from osa_grpc.domain.column import SYSTEM_COLUMNS, ColumnType

MAX_ROW_BYTES: Final = 3 * 2**20
"""A row that takes more could not be answered in a message of 4 MiB beside columns and page token."""

MAX_VALUE_DEPTH: Final = 100
"""How deep arrays and objects in a JSON column may be nested."""

VARIABLE_TYPES: Final = frozenset({ColumnType.TEXT, ColumnType.JSON})
"""Types whose values take the bytes of their text on top of `fixed_bytes`."""

_TAGS = 12  # two field tags and two lengths of up to five bytes
_FIXED: Final[dict[ColumnType, int]] = {
    ColumnType.NUMBER: _TAGS + 8,
    ColumnType.INTEGER: _TAGS + 10,
    ColumnType.BOOLEAN: _TAGS + 1,
    ColumnType.TIMESTAMP: _TAGS + 18,
    ColumnType.DATE: _TAGS + 10,
    ColumnType.UUID: _TAGS + 36,
    ColumnType.TEXT: _TAGS,
    ColumnType.JSON: _TAGS,
}
_ROW = 6  # the row's own tag and length
_RECORD_SRN = 512


def fixed_bytes(types: Iterable[ColumnType]) -> int:
    """Return what a row of such columns takes, but for its texts' bytes."""
    return _ROW + sum(_FIXED[kind] for kind in types)


SYSTEM_BYTES: Final = fixed_bytes(column.type for column in SYSTEM_COLUMNS) + _RECORD_SRN
"""What the system columns take, the record's SRN included."""
