"""Where answers go: text for people, or JSON for programs.

JSON is protojson with the contract's camelCase names and every field that has no presence of its own, one object per line:
a resource is one line, a list or a stream a line for each item.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from osa_grpc.cli.plain_table import plain_table
from osa_grpc.cli.presentation import details_of, list_row_of, list_table_header
from osa_grpc.cli.wording import printable
from osa_grpc.client import LogPiece, QueryPage, RowValue
from osa_grpc.wire import pb

_NUMBERS = frozenset({pb.COLUMN_TYPE_NUMBER, pb.COLUMN_TYPE_INTEGER})


class Output(Protocol):
    """Where the answers of commands go: stdout. Notes, which are no answers, go to stderr."""

    is_json: bool

    def resource(self, message: Message) -> None:
        """Show one resource."""

    def resources(self, messages: Sequence[Message], *, empty: str) -> None:
        """Show a list of resources of one kind; `empty` is said to people when there is none."""

    def pages(self, pages: Sequence[QueryPage]) -> None:
        """Show rows."""

    def log(self, piece: LogPiece) -> None:
        """Show a piece of a log."""

    def result(self, fields: Mapping[str, Any], *, plain: str) -> None:
        """Show what a command did."""

    def note(self, text: str) -> None:
        """Say something to people."""


class PlainOutput:
    """Text for people."""

    is_json = False

    def resource(self, message: Message) -> None:
        """Show it as `label: value` lines."""
        pairs = details_of(message)
        width = max(len(label) for label, _ in pairs) + 1
        for label, text in pairs:
            first, *rest = text.splitlines() or [""]
            click.echo(f"{label + ':':<{width}} {first}".rstrip())
            for line in rest:
                click.echo(f"{'':<{width}} {line}")

    def resources(self, messages: Sequence[Message], *, empty: str) -> None:
        """Show them as a table."""
        if not messages:
            self.note(empty)
            return
        click.echo(
            plain_table(list_table_header(messages[0]), [list_row_of(message) for message in messages])
        )

    def pages(self, pages: Sequence[QueryPage]) -> None:
        """Show them as a table."""
        columns = pages[0].columns
        rows = [[cell_text(value) for value in row] for page in pages for row in page.rows]
        right = frozenset(at for at, column in enumerate(columns) if column.type in _NUMBERS)
        click.echo(plain_table([column.name for column in columns], rows, right=right))

    def log(self, piece: LogPiece) -> None:
        """Write the bytes as they are."""
        if piece.gap:
            sys.stdout.flush()
            self.note("(here bytes may be missing, or be there twice)")
        if piece.truncated:
            sys.stdout.flush()
            self.note("(the server kept no more of this log)")
        else:
            sys.stdout.buffer.write(piece.data)
            sys.stdout.buffer.flush()

    def result(self, fields: Mapping[str, Any], *, plain: str) -> None:
        """Show the sentence."""
        del fields
        click.echo(plain)

    def note(self, text: str) -> None:
        """Say it on stderr."""
        click.echo(text, err=True)


class JsonOutput:
    """One JSON object per line."""

    is_json = True

    def resource(self, message: Message) -> None:
        """Show protojson."""
        click.echo(compact_json(as_json(message)))

    def resources(self, messages: Sequence[Message], *, empty: str) -> None:
        """Show a line for each."""
        del empty
        for message in messages:
            self.resource(message)

    def pages(self, pages: Sequence[QueryPage]) -> None:
        """Show a line for each row."""
        for page in pages:
            for row in page.as_dicts():
                click.echo(compact_json({name: cell_json(value) for name, value in row.items()}))

    def log(self, piece: LogPiece) -> None:
        """Show offset and text; bytes that are no text as U+FFFD."""
        click.echo(
            compact_json(
                {"offset": piece.offset, "text": piece.text, "truncated": piece.truncated, "gap": piece.gap}
            )
        )

    def result(self, fields: Mapping[str, Any], *, plain: str) -> None:
        """Show the fields."""
        del plain
        click.echo(compact_json(fields))

    def note(self, text: str) -> None:
        """Say nothing: programs read this."""


def as_json(message: Message) -> dict[str, Any]:
    """Return a message as protojson."""
    answer: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    return answer


def compact_json(value: object) -> str:
    """Return JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def cell_text(value: RowValue) -> str:
    """Return a value as a person reads it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
        case float():
            return f"{value:g}" if abs(value) >= 1e15 or 0 < abs(value) < 1e-4 else f"{value:.10g}"  # noqa: PLR2004 - where digits get long
        case list() | dict():
            return printable(compact_json(value))
        case _:
            return printable(str(value).replace("\n", "⏎"))


def cell_json(value: RowValue) -> object:
    """Return a value as JSON has it: instants, dates and UUIDs as text."""
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            return value
