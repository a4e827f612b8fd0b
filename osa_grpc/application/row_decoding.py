"""Decodes the rows a hook wrote, strictly and in bounded memory, against the columns it declares.

All or nothing: whoever takes the rows keeps none of them when BadOutputError comes. The same decoder judges a hook's output (its
verdict) and feeds the database, so that what passed can be published.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Final, NoReturn

import msgspec

from osa_grpc.application.column_decoding import converter, holds_nul, stored_bytes, wire_type
from osa_grpc.application.json_stream import JsonCursor, preview
from osa_grpc.application.ports import FeatureSource, HookOutputs
from osa_grpc.application.row_faults import fault_of, key_twice
from osa_grpc.domain.column import ColumnDef, ColumnType
from osa_grpc.domain.errors import BadOutput, BadOutputError
from osa_grpc.domain.hook import Cardinality, HookDefinition
from osa_grpc.domain.row_size import MAX_ROW_BYTES, SYSTEM_BYTES, fixed_bytes

Row = tuple[object, ...]

_TEXT_PER_BYTE: Final = 8  # `\u0001` is one byte of text in six of JSON; and white space
_OPTIONAL: Final = msgspec.UnsetType | None
_LINE_KEYS: Final = frozenset({"id", "features"})
_BATCH_ROWS: Final = 1000
_BATCH_BYTES: Final = 2**21


def decode_rows(
    source: FeatureSource | None,
    hook: HookDefinition,
    *,
    subject_id: str,
    max_row_bytes: int = MAX_ROW_BYTES,
    max_rows: int | None = None,
) -> Iterator[Row]:
    """Yield the subject's rows in the file's order, positional against `hook.feature.columns`, as binary COPY takes them: JSON
    columns as text, instants in UTC. The source stays the caller's to close.

    A hook without columns has no rows, and may write nothing. One with columns has to write about its subject, if only an empty
    list or null. `source` None: it wrote neither file.

    Raises:
        BadOutputError: the output is not what the hook declares.
    """
    for _, row in _sized_rows(
        source, hook, subject_id=subject_id, max_row_bytes=max_row_bytes, max_rows=max_rows
    ):
        yield row


async def stream_rows(
    outputs: HookOutputs, hook: HookDefinition, *, subject_id: str, max_row_bytes: int = MAX_ROW_BYTES
) -> AsyncGenerator[Row, None]:
    """Yield what `decode_rows` does, decoded in a thread batch by batch; the file is closed in the end, also on cancellation.

    As many as there are: how many there may be was the verdict's to say.
    Close the generator (`contextlib.aclosing`) where it may not be exhausted.
    """
    async with aclosing(
        _batches(outputs, hook, subject_id=subject_id, max_row_bytes=max_row_bytes)
    ) as batches:
        async for batch in batches:
            for row in batch:
                yield row


def count_rows(
    outputs: HookOutputs,
    hook: HookDefinition,
    *,
    subject_id: str,
    max_row_bytes: int = MAX_ROW_BYTES,
    max_rows: int | None = None,
) -> int:
    """Decode everything, keep nothing, and return how many rows there are: a verdict's pass over the output. Blocks.

    Raises:
        BadOutputError: the output is not what the hook declares.
    """
    with outputs.features() as source:
        rows = decode_rows(
            source, hook, subject_id=subject_id, max_row_bytes=max_row_bytes, max_rows=max_rows
        )
        return sum(1 for _ in rows)


async def _batches(
    outputs: HookOutputs, hook: HookDefinition, *, subject_id: str, max_row_bytes: int
) -> AsyncGenerator[list[Row], None]:
    def next_batch() -> list[Row]:
        batch = []
        size = 0
        for row_size, row in rows:
            batch.append(row)
            size += row_size
            if len(batch) == _BATCH_ROWS or size > _BATCH_BYTES:
                break
        return batch

    with outputs.features() as source:
        rows = _sized_rows(source, hook, subject_id=subject_id, max_row_bytes=max_row_bytes)
        while batch := await _in_thread(next_batch):
            yield batch


async def _in_thread(work: Callable[[], list[Row]]) -> list[Row]:
    """Run it in a thread; when cancelled, wait for it all the same, so that no file is closed under a thread that reads it."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        working.exception()
        raise


def _sized_rows(
    source: FeatureSource | None,
    hook: HookDefinition,
    *,
    subject_id: str,
    max_row_bytes: int,
    max_rows: int | None = None,
) -> Iterator[tuple[int, Row]]:
    spec = hook.feature
    if source is None:
        if spec.columns:
            raise BadOutputError(
                BadOutput(
                    file="features.jsonl",
                    message="expected rows in features.jsonl or features.json, found neither file",
                )
            )
        return
    decoder = _row_decoder(spec.columns)
    cursor = JsonCursor(
        source.stream,
        file_name=source.file_name,
        lines=source.form == "jsonl",
        max_value_bytes=_TEXT_PER_BYTE * max_row_bytes,
    )
    found = (
        _subject_elements(cursor, subject_id, must_exist=bool(spec.columns))
        if source.form == "jsonl"
        else _document_elements(cursor)
    )
    for count, (line, text) in enumerate(found, start=1):
        if count > 1 and spec.cardinality is Cardinality.ONE:
            cursor.fail("expected one row at most (the cardinality is one), found a second", line=line)
        if max_rows is not None and count > max_rows:
            cursor.fail(
                f"expected at most {max_rows} rows, which is what the server takes, found more", line=line
            )
        try:
            row = decoder.decode(cursor, line, text, max_row_bytes)
        except BadOutputError as error:
            raise BadOutputError(replace(error.output, row=count)) from error
        if spec.columns:
            yield len(text), row


def _document_elements(cursor: JsonCursor) -> Iterator[tuple[int, bytes]]:
    yield from _elements(cursor)
    if cursor.peek():
        cursor.fail(f"expected the end of the file, found {cursor.found()}")


def _subject_elements(
    cursor: JsonCursor, subject_id: str, *, must_exist: bool
) -> Iterator[tuple[int, bytes]]:
    is_there = False
    while cursor.peek(across_lines=True):
        if is_there:
            cursor.fail(f"expected one line, about {subject_id}, found another")
        is_there = True
        yield from _line_elements(cursor, subject_id)
        if cursor.peek() not in {b"", b"\n"}:
            cursor.fail(f"expected the end of the line, found {cursor.found()}")
    if must_exist and not is_there:
        cursor.fail(f"expected a line about {subject_id}, found none")


def _line_elements(cursor: JsonCursor, subject_id: str) -> Iterator[tuple[int, bytes]]:
    missing = set(_LINE_KEYS)
    cursor.expect(b"{")
    is_empty = cursor.take(b"}")
    while not is_empty:
        key = _string(cursor, "a key")
        if key not in _LINE_KEYS:
            cursor.fail(
                "expected the keys id and features only, found an unknown key", field=preview(key.encode())
            )
        if key not in missing:
            cursor.fail("expected the keys id and features once each, found it twice", field=key)
        missing.remove(key)
        cursor.expect(b":")
        if key == "id":
            name = _string(cursor, f"the id {subject_id}")
            if name != subject_id:
                cursor.fail(f"expected {subject_id}, found {preview(name.encode())}", field="id")
        else:
            yield from _elements(cursor)
        if not cursor.take(b","):
            cursor.expect(b"}")
            break
    if missing:
        cursor.fail("expected the keys id and features, found no such key", field=min(missing))


def _elements(cursor: JsonCursor) -> Iterator[tuple[int, bytes]]:
    """Yield the rows of `[{...}, ...]`, `{...}` or `null`."""
    match cursor.peek():
        case b"[":
            yield from cursor.elements()
        case b"{":
            line = cursor.line
            yield line, cursor.value()
        case _:
            text = cursor.value()
            if text != b"null":
                cursor.fail(
                    "expected rows as an array of objects, one object or null, "
                    f"found {preview(text)}, which belongs to no column"
                )


def _string(cursor: JsonCursor, what: str) -> str:
    text = cursor.value()
    try:
        return msgspec.json.decode(text, type=str)
    except ValueError:
        cursor.fail(f"expected {what}, a string, found {preview(text)}")


class _RowDecoder:
    """Decodes rows of given columns: a msgspec struct for the fast way, column by column to say what is wrong."""

    def __init__(self, columns: tuple[ColumnDef, ...]) -> None:
        self._columns = {column.name: column for column in columns}
        self._keys = [f'"{column.name}"'.encode() for column in columns]
        # Fields have names of their own, because a column may be called like a keyword.
        self._decoder = msgspec.json.Decoder(
            msgspec.defstruct(
                "Row",
                [
                    (f"c{i}", wire_type(c), msgspec.field(name=c.name))
                    if c.required
                    else (
                        f"c{i}",
                        _OPTIONAL | wire_type(c),
                        msgspec.field(name=c.name, default=msgspec.UNSET),
                    )
                    for i, c in enumerate(columns)
                ],
                kw_only=True,
                forbid_unknown_fields=True,
            )
        )
        self._converters = [(i, convert) for i, c in enumerate(columns) if (convert := converter(c))]
        self._json_at = [i for i, c in enumerate(columns) if c.column_type is ColumnType.JSON]
        self._text_at = [i for i, c in enumerate(columns) if c.column_type is ColumnType.TEXT]
        self._fixed_bytes = SYSTEM_BYTES + fixed_bytes(c.column_type for c in columns)

    def decode(self, cursor: JsonCursor, line: int, text: bytes, max_row_bytes: int) -> Row:
        try:
            row = msgspec.structs.astuple(self._decoder.decode(text))
            absent_count = row.count(msgspec.UNSET)
            if absent_count:
                row = tuple(None if value is msgspec.UNSET else value for value in row)
            # Cheap where nothing is strange: there are as many keys as columns that are there.
            if text.count(b'":') != len(row) - absent_count and self._may_have_twice(text):
                self._fail(cursor, line, text)
            if b"\\u0000" in text and any(holds_nul(value) for value in row):
                self._fail(cursor, line, text)
            if self._converters:
                values = list(row)
                for i, convert in self._converters:
                    if values[i] is not None:
                        values[i] = convert(values[i])
                row = tuple(values)
        except (ValueError, RecursionError) as error:
            self._fail(cursor, line, text, error)
        if self._json_at or len(text) + self._fixed_bytes > max_row_bytes:
            size = self._fixed_bytes + self._text_bytes(row)
            if size > max_row_bytes:
                cursor.fail(
                    f"expected a row of at most {max_row_bytes} bytes, which fits a message, found {size}",
                    line=line,
                )
        return row

    def _may_have_twice(self, text: bytes) -> bool:
        return (b"\\u" in text or any(text.count(key) > 1 for key in self._keys)) and bool(key_twice(text))

    def _text_bytes(self, row: Row) -> int:
        return sum(
            chain(
                (len(str(row[i]).encode()) for i in self._text_at if row[i] is not None),
                (stored_bytes(str(row[i])) for i in self._json_at if row[i] is not None),
            )
        )

    def _fail(self, cursor: JsonCursor, line: int, text: bytes, error: Exception | None = None) -> NoReturn:
        fault = fault_of(self._columns, text, error)
        cursor.fail(fault.message, line=line, field=fault.field)


@lru_cache(maxsize=256)
def _row_decoder(columns: tuple[ColumnDef, ...]) -> _RowDecoder:
    return _RowDecoder(columns)
