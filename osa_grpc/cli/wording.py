"""How values are written for people."""

from datetime import UTC, timedelta
from typing import Final, Protocol

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

Pairs = list[tuple[str, str]]
"""What is shown of one resource: (label, text)."""


class Enum(Protocol):
    """An enum of the contract."""

    @property
    def DESCRIPTOR(self) -> EnumDescriptor:  # noqa: N802 - protobuf's word
        """Its values."""


def instant(at: Timestamp) -> str:
    """Return an instant in local time, to the second; empty when it is not set."""
    if not at.seconds and not at.nanos:
        return ""
    return at.ToDatetime(tzinfo=UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def size(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - the units' factor
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def seconds(duration: timedelta) -> str:
    """Return a duration as people read it."""
    total = duration.total_seconds()
    if total < 60:  # noqa: PLR2004 - a minute
        return f"{total:.1f} s"
    return f"{int(total // 60)} min {int(total % 60)} s"


def enum_word(enum: Enum, number: int) -> str:
    """Return an enum value's own word: READY for CONVENTION_STATE_READY; the number, if it is of a newer contract."""
    names = enum.DESCRIPTOR.values_by_number
    if number not in names:
        return str(number)
    prefix = names[0].name.removesuffix("UNSPECIFIED")
    return names[number].name.removeprefix(prefix)


_CONTROLS: Final = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (*range(0x20), *range(0x7F, 0xA0))
    if chr(code) not in "\t\n"
}


def printable(text: str) -> str:
    """Return a text as a terminal may have it: what strangers wrote must not move the cursor, colour, clear or rename anything."""
    return text.translate(_CONTROLS)


def rows(count: int) -> str:
    """Return a number of rows."""
    return "1 row" if count == 1 else f"{count} rows"
