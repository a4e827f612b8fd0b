import asyncio
import contextlib
import io
import json
import math
import uuid
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, date, datetime
from typing import Any, BinaryIO, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.application.ports import FeatureSource
from osa_grpc.application.row_decoding import count_rows, decode_rows, stream_rows
from osa_grpc.domain.column import ColumnDef, ColumnFormat, JsonType
from osa_grpc.domain.errors import BadOutput, BadOutputError
from osa_grpc.domain.failure import Failure
from osa_grpc.domain.hook import Cardinality, HookDefinition, OciConfig, TableFeatureSpec
from osa_grpc.domain.row_size import MAX_ROW_BYTES

SUBJECT = "6f1c4a52-6a1f-4f1e-9d7e-0f7b6d5f0a11"
RUNTIME = OciConfig(image="hook", digest="sha256:" + 64 * "0")


def column(
    name: str, json_type: str, column_format: ColumnFormat = "", *, required: bool = False
) -> ColumnDef:
    return ColumnDef(name=name, json_type=JsonType(json_type), format=column_format, required=required)


def hook(*columns: ColumnDef, cardinality: Cardinality = Cardinality.MANY) -> HookDefinition:
    return HookDefinition(
        name="h", runtime=RUNTIME, feature=TableFeatureSpec(cardinality=cardinality, columns=columns)
    )


ALL_TYPES = hook(
    column("text", "string", required=True),
    column("at", "string", "date-time"),
    column("day", "string", "date"),
    column("key", "string", "uuid"),
    column("score", "number"),
    column("count", "integer"),
    column("flag", "boolean"),
    column("tags", "array"),
    column("class", "object"),  # a keyword of Python
)
SCORE = hook(column("score", "number", required=True), column("note", "string"))
JUDGE = hook()


def source(text: str | bytes, form: Literal["json", "jsonl"] = "json") -> FeatureSource:
    data = text.encode() if isinstance(text, str) else text
    return FeatureSource(file_name=f"features.{form}", form=form, stream=io.BytesIO(data))


def rows(
    definition: HookDefinition, text: str | bytes, form: Literal["json", "jsonl"] = "json", **arguments: Any
) -> list[tuple[object, ...]]:
    return list(decode_rows(source(text, form), definition, subject_id=SUBJECT, **arguments))


def refusal(
    definition: HookDefinition, text: str | bytes, form: Literal["json", "jsonl"] = "json", **arguments: Any
) -> BadOutput:
    with pytest.raises(BadOutputError) as caught:
        rows(definition, text, form, **arguments)
    assert caught.value.output.file == f"features.{form}"
    return caught.value.output


def line(features: object, subject: str = SUBJECT) -> str:
    return json.dumps({"id": subject, "features": features}) + "\n"


class Outputs:
    """What a hook left behind, in memory."""

    def __init__(self, stream: BinaryIO, form: Literal["json", "jsonl"] = "json") -> None:
        self.stream = stream
        self.form = form

    def rejection(self) -> str | None:
        return None

    def error(self) -> Failure | None:
        return None

    def sha256(self) -> str:
        return ""

    @contextmanager
    def features(self) -> Iterator[FeatureSource | None]:
        with self.stream:
            yield FeatureSource(file_name=f"features.{self.form}", form=self.form, stream=self.stream)


def test_every_type_comes_as_the_database_takes_it() -> None:
    key = uuid.uuid4()
    value = {
        "text": "é\n",
        "at": "2026-01-31T12:00:00.123456+02:00",
        "day": "2026-01-31",
        "key": str(key),
        "score": 1,
        "count": 2.0,
        "flag": True,
        "tags": [1, "a", None, {"b": 1.5}],
        "class": {"a": [1]},
    }
    assert rows(ALL_TYPES, json.dumps([value])) == [
        (
            "é\n",
            datetime(2026, 1, 31, 10, 0, 0, 123456, tzinfo=UTC),
            date(2026, 1, 31),
            key,
            1.0,
            2,
            True,
            '[1,"a",null,{"b":1.5}]',
            '{"a":[1]}',
        )
    ]


def test_what_is_optional_may_be_missing_or_null() -> None:
    assert rows(ALL_TYPES, '{"text": "a", "score": null}') == [("a", *8 * [None])]


@pytest.mark.parametrize("text", ["[]", "null", " null ", "[ ]\n"])
@pytest.mark.parametrize("cardinality", Cardinality)
def test_an_empty_list_or_null_is_no_row(text: str, cardinality: Cardinality) -> None:
    definition = hook(column("score", "number", required=True), cardinality=cardinality)
    assert rows(definition, text) == []
    assert rows(definition, f'{{"id": "{SUBJECT}", "features": {text.strip()}}}', "jsonl") == []


def test_one_object_is_one_row_and_a_list_is_many() -> None:
    assert rows(SCORE, '{"score": 1}') == [(1.0, None)]
    assert rows(SCORE, '[{"score": 1},\n {"score": 2, "note": "x"}]') == [(1.0, None), (2.0, "x")]


@pytest.mark.parametrize("keys", [("id", "features"), ("features", "id")])
def test_lines_give_their_features_in_whatever_order_of_keys(keys: tuple[str, str]) -> None:
    values = {"id": SUBJECT, "features": [{"score": 1}]}
    text = json.dumps({key: values[key] for key in keys})
    for ending in ("", "\n", "\r\n", "\n\n"):
        assert rows(SCORE, text + ending, "jsonl") == [(1.0, None)]


@pytest.mark.parametrize(
    ("value", "field", "expected", "found"),
    [
        ('{"text": 1}', "text", "a string", "1"),
        ('{"text": null}', "text", "a string", "null"),
        ('{"score": 1}', "text", "a string", "no such key"),
        ('{"text": "a", "at": "2026-01-31T12:00:00"}', "at", "with offset", "2026-01-31T12:00:00"),
        ('{"text": "a", "at": "2026-01-31"}', "at", "a date and time", "2026-01-31"),
        ('{"text": "a", "at": "0001-01-01T00:00:00+01:00"}', "at", "a date and time", "0001"),
        ('{"text": "a", "day": "2026-02-30"}', "day", "a date", "2026-02-30"),
        ('{"text": "a", "key": "x"}', "key", "a UUID", "x"),
        ('{"text": "a", "score": "1"}', "score", "a finite number", '"1"'),
        ('{"text": "a", "score": 1e400}', "score", "a finite number", "1e400"),
        ('{"text": "a", "score": true}', "score", "a finite number", "true"),
        ('{"text": "a", "count": 2.7}', "count", "an integer", "2.7"),
        ('{"text": "a", "count": 9223372036854775808}', "count", "2^63", "9223372036854775808"),
        ('{"text": "a", "count": 9007199254740993.0}', "count", "an integer", "9007199254740993.0"),
        ('{"text": "a", "flag": 1}', "flag", "true or false", "1"),
        ('{"text": "a", "tags": {}}', "tags", "an array", "{}"),
        ('{"text": "a", "tags": "[1]"}', "tags", "an array", '"[1]"'),
        ('{"text": "a", "class": []}', "class", "an object", "[]"),
        ('{"text": "a\\u0000"}', "text", "NUL", "a\\u0000"),
        ('{"text": "a", "tags": [["\\u0000"]]}', "tags", "NUL", "u0000"),
        ('{"text": "a", "class": {"\\u0000": 1}}', "class", "NUL", "u0000"),
        ('{"text": "a", "other": 1}', "other", "declared columns", "unknown key"),
        ('{"text": "a", "record_srn": "x"}', "record_srn", "declared columns", "system column"),
        ('{"text": "a", "id": 1}', "id", "declared columns", "system column"),
        ('{"text": "a", "execution_id": "x"}', "execution_id", "declared columns", "system column"),
        ('{"text": "a", "created_at": "x"}', "created_at", "declared columns", "system column"),
    ],
)
def test_what_does_not_fit_is_named_with_line_and_field(
    value: str, field: str, expected: str, found: str
) -> None:
    document = refusal(ALL_TYPES, f'[{{"text": "a"}},\n{value}]')
    of_a_line = refusal(ALL_TYPES, line([]).replace("[]", f'[{{"text": "a"}}, {value}]'), "jsonl")
    assert (document.line, of_a_line.line) == (2, 1)
    for output in (document, of_a_line):
        assert output.field == field
        assert expected in output.message
        assert found in output.message


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(value: str) -> None:
    output = refusal(SCORE, f'{{"note": "NaN", "score": {value}}}')
    assert output.message == f"expected JSON, which has no {value.removeprefix('-')}: write null"


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_refusal_says_which_row_it_is_about_although_all_stand_in_one_line(
    form: Literal["json", "jsonl"],
) -> None:
    values = [{"score": 1}, {"score": 2}, {"score": "x"}]
    text = line(values) if form == "jsonl" else json.dumps(values)
    output = refusal(SCORE, text, form)
    assert (output.line, output.row, output.field) == (1, 3, "score")
    assert f"{output}".startswith(f"features.{form} line 1, row 3, field score: expected")


@pytest.mark.parametrize(
    ("value", "stored"), [("2.0", 2), ("1e3", 1000), ("-9223372036854775808", -(2**63)), ("-0.0", 0)]
)
def test_integral_numbers_are_integers(value: str, stored: int) -> None:
    definition = hook(column("count", "integer"))
    [(found,)] = rows(definition, f'{{"count": {value}}}')
    assert found == stored
    assert type(found) is int


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert rows(hook(column("text", "string")), '{"text": "\\\\u0000"}') == [("\\u0000",)]


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "[", "[{}", '[{"score": 1}', '{"score": 1', '{"score": 1}}', '[{"score": 1},]',
     '[{"score": 1} {"score": 2}]', '{"score": 1} {"score": 2}', '{"score": "a', "nul", "\ufeff[]", '{"score" 1}'],
)  # fmt: skip
def test_what_is_not_json_is_refused(text: str) -> None:
    refusal(SCORE, text)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    assert refusal(SCORE, b'{"score": 1, "note": "\xff"}').field == "note"
    assert refusal(SCORE, b'{"score": 1, "note": "\\ud800"}').line == 1


@pytest.mark.parametrize("scalar", ["1", '"a"', "true", "0.5"])
def test_a_scalar_belongs_to_no_column(scalar: str) -> None:
    assert "belongs to no column" in refusal(SCORE, scalar).message
    assert "belongs to no column" in refusal(SCORE, line(json.loads(scalar)), "jsonl").message


def test_an_element_that_is_no_object_is_refused() -> None:
    assert "an object of columns" in refusal(SCORE, "[null]").message
    assert "an object of columns" in refusal(SCORE, "[[1]]").message


def test_a_cardinality_of_one_takes_one_row_and_no_second() -> None:
    definition = hook(column("score", "number"), cardinality=Cardinality.ONE)
    assert rows(definition, '[{"score": 1}]') == [(1.0,)]
    output = refusal(definition, '[{"score": 1},\n{"score": 2}]')
    assert (output.line, "cardinality is one" in output.message) == (2, True)


def test_a_judging_hook_may_write_nothing_at_all_and_has_no_rows() -> None:
    assert list(decode_rows(None, JUDGE, subject_id=SUBJECT)) == []
    assert rows(JUDGE, "", "jsonl") == []
    assert rows(JUDGE, "[]") == rows(JUDGE, "{}") == rows(JUDGE, line([{}]), "jsonl") == []
    assert refusal(JUDGE, '{"score": 1}').field == "score"


def test_a_hook_with_columns_has_to_say_something_about_its_subject() -> None:
    assert "found none" in refusal(SCORE, "", "jsonl").message
    with pytest.raises(BadOutputError, match="found neither file"):
        list(decode_rows(None, SCORE, subject_id=SUBJECT))


def test_a_line_about_another_subject_is_refused() -> None:
    output = refusal(SCORE, line([], "another"), "jsonl")
    assert (output.line, output.field, "found another" in output.message) == (1, "id", True)
    assert refusal(SCORE, line([]) + line([], "another"), "jsonl").line == 2


def test_a_second_line_about_the_subject_is_refused() -> None:
    assert refusal(SCORE, line([]) + "\n" + line([]), "jsonl").line == 3


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{}", "features"),
        (f'{{"id": "{SUBJECT}"}}', "features"),
        ('{"features": []}', "id"),
        (f'{{"id": "{SUBJECT}", "features": [], "features": []}}', "features"),
        (f'{{"id": "{SUBJECT}", "features": [], "x": []}}', "x"),
        ('{"id": 1, "features": []}', None),
        (f'{{"id": "{SUBJECT}",\n"features": []}}', None),
        (f'{{"id": "{SUBJECT}", "features": [{{"score":\n1}}]}}', None),
        (f'{{"id": "{SUBJECT}", "features": []}} {{}}', None),
        ("[]", None),
    ],
)
def test_a_line_is_an_object_of_id_and_features(text: str, field: str | None) -> None:
    assert refusal(SCORE, text, "jsonl").field == field


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_deep_nesting_is_refused_wherever_it_is(bracket: str) -> None:
    definition = hook(column("tags", "array"), column("class", "object"))
    deep = bracket * 100_000
    closed = deep + "1" + {"[": "]", '{"a":': "}"}[bracket] * 100_000
    for text in (
        deep,
        closed,
        f'{{"tags": [{closed}]}}',
        f'{{"class": {{"b": {closed}}}}}',
        f'{{"x": {closed}}}',
    ):
        refusal(definition, text)
        refusal(definition, f'{{"id": "{SUBJECT}", "features": {text}}}', "jsonl")


def test_json_is_nested_a_hundred_deep_at_most() -> None:
    definition = hook(column("tags", "array"))
    assert rows(definition, '{"tags": ' + 100 * "[" + 100 * "]" + "}") == [(100 * "[" + 100 * "]",)]
    assert refusal(definition, '{"tags": ' + 101 * "[" + 101 * "]" + "}").field == "tags"


def test_a_row_that_fits_no_message_is_refused() -> None:
    largest = "x" * (MAX_ROW_BYTES - 2000)
    assert rows(SCORE, json.dumps({"score": 1, "note": largest})) == [(1.0, largest)]
    assert "fits a message" in refusal(SCORE, json.dumps({"score": 1, "note": largest + 2000 * "x"})).message
    assert (
        "fits a message"
        in refusal(SCORE, line([{"score": 1, "note": largest + 2000 * "x"}]), "jsonl").message
    )


def test_a_row_counts_as_it_is_read_back() -> None:
    definition = hook(column("tags", "array"))
    escaped = '{"tags": ["' + 400 * "\\u00e9" + '"]}'
    assert len(rows(definition, escaped, max_row_bytes=2600)) == 1
    assert (
        "fits a message"
        in refusal(definition, json.dumps({"tags": 10 * [1e300]}), max_row_bytes=3000).message
    )
    assert len(rows(definition, json.dumps({"tags": 50 * ["1e300"]}), max_row_bytes=3000)) == 1


def test_a_value_without_end_is_never_held_in_memory() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return size * b"x"

    endless = Endless()
    stream: Any = endless
    for start in (b'[{"score": 1, "note": "', b"", b'"', b'[{"note": [['):
        endless.given = 0
        cursor_stream: Any = _Joined(start, stream)
        with pytest.raises(BadOutputError, match="at most"):
            list(
                decode_rows(
                    FeatureSource(file_name="features.json", form="json", stream=cursor_stream),
                    SCORE,
                    subject_id=SUBJECT,
                )
            )
        assert endless.given < 20 * MAX_ROW_BYTES


class _Joined:
    def __init__(self, start: bytes, rest: io.RawIOBase) -> None:
        self.start = start
        self.rest = rest

    def read(self, size: int) -> bytes:
        start, self.start = self.start, b""
        return start or self.rest.read(size) or b""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


class Dribble(io.BytesIO):
    """Gives a byte at a time, so that every value crosses the edge of a read."""

    def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002 - that is the point
        return super().read(1)


@given(
    st.lists(st.fixed_dictionaries({"tags": st.lists(JSON, max_size=3), "text": st.text()}), max_size=4),
    st.sampled_from([None, 2]),
)
def test_what_a_hook_writes_comes_back_equal(values: list[dict[str, Any]], indent: int | None) -> None:
    definition = hook(column("tags", "array"), column("text", "string"))
    wanted: list[tuple[Any, ...]] = [(v["tags"], v["text"]) for v in values]
    if "\\u0000" in json.dumps(values).replace("\\\\", ""):
        refusal(definition, json.dumps(values))
        return
    for text, form in ((json.dumps(values, indent=indent), "json"), (line(values), "jsonl")):
        found = list(
            decode_rows(
                FeatureSource(
                    file_name="f", form="jsonl" if form == "jsonl" else "json", stream=Dribble(text.encode())
                ),
                definition,
                subject_id=SUBJECT,
            )
        )
        assert [(json.loads(str(tags)), text) for tags, text in found] == wanted


@given(st.binary() | st.text().map(str.encode) | JSON.map(lambda v: json.dumps(v).encode()))
def test_whatever_is_written_gives_rows_or_bad_output(data: bytes) -> None:
    forms: list[Literal["json", "jsonl"]] = ["json", "jsonl"]
    for form in forms:
        found: list[tuple[Any, ...]] = []
        with contextlib.suppress(BadOutputError):
            found = rows(SCORE, data, form)
        assert all(isinstance(row[0], float) and math.isfinite(row[0]) for row in found)


async def test_rows_stream_from_a_thread_and_the_file_is_closed() -> None:
    text = json.dumps([{"score": n} for n in range(2500)]).encode()
    outputs = Outputs(io.BytesIO(text))
    assert [row[0] async for row in stream_rows(outputs, SCORE, subject_id=SUBJECT)] == list(range(2500))
    assert outputs.stream.closed
    assert count_rows(Outputs(io.BytesIO(text)), SCORE, subject_id=SUBJECT) == 2500


async def test_a_stream_that_is_left_closes_the_file() -> None:
    outputs = Outputs(io.BytesIO(json.dumps([{"score": n} for n in range(2500)]).encode()))
    async with aclosing(stream_rows(outputs, SCORE, subject_id=SUBJECT)) as stream:
        async for _ in stream:
            break
    assert outputs.stream.closed


async def test_a_cancelled_stream_waits_for_its_thread_and_closes_the_file() -> None:
    loop = asyncio.get_running_loop()
    reading = asyncio.Event()
    turn = asyncio.run_coroutine_threadsafe

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            loop.call_soon_threadsafe(reading.set)
            turn(asyncio.sleep(0), loop).result()
            assert not self.closed
            return super().read(size)

    outputs = Outputs(Slow(b"[]"))
    taking = asyncio.create_task(anext(stream_rows(outputs, SCORE, subject_id=SUBJECT)))
    await reading.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert outputs.stream.closed
