"""What a hook's author is told of a row that does not fit: file, line, row, field, what was expected and what was found."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.application.ports import FeatureSource
from osa_grpc.application.row_decoding import decode_rows
from osa_grpc.application.row_faults import key_twice
from osa_grpc.domain.column import ColumnDef, JsonType
from osa_grpc.domain.errors import BadOutputError
from osa_grpc.domain.hook import Cardinality, HookDefinition, OciConfig, TableFeatureSpec

COLUMNS = (
    ColumnDef(name="score", json_type=JsonType.NUMBER, required=True),
    ColumnDef(name="label", json_type=JsonType.STRING),
    ColumnDef(name="detail", json_type=JsonType.OBJECT),
)
HOOK = HookDefinition(
    name="h",
    runtime=OciConfig(image="hook", digest="sha256:" + 64 * "0"),
    feature=TableFeatureSpec(cardinality=Cardinality.MANY, columns=COLUMNS),
)


def rows(text: bytes, *, max_rows: int | None = None) -> list[tuple[object, ...]]:
    source = FeatureSource(file_name="features.json", form="json", stream=io.BytesIO(text))
    return list(decode_rows(source, HOOK, subject_id="d1", max_rows=max_rows))


def told(text: bytes, *, max_rows: int | None = None) -> str:
    with pytest.raises(BadOutputError) as caught:
        rows(text, max_rows=max_rows)
    return str(caught.value)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (b'{"score": NaN}', "field score: expected JSON, which has no NaN: write null"),
        (b'{"score": -Infinity}', "field score: expected JSON, which has no Infinity: write null"),
        (
            b'{"score": 1, "detail": {"a": [NaN]}}',
            "field detail: expected JSON, which has no NaN: write null",
        ),
        (b'{"score": 1, "score": 1}', "field score: expected each column once, found it twice"),
        (b'{"score" : 1, "score" : 2}', "field score: expected each column once, found it twice"),
        (b'{"score": 1, "sc\\u006fre": 2}', "field score: expected each column once, found it twice"),
        (
            b'{"score": 1, "label": "a", "detail": {"score": 1}, "label": "b"}',
            "field label: expected each column once, found it twice",
        ),
        (
            b'{"score": 1, "label": "\\ud800"}',
            "field label: expected whole characters, found half of one: \\ud800",
        ),
        (
            b'{"score": 1, "detail": {"\\udc00": 1}}',
            "field detail: expected whole characters, found half of one: \\udc00",
        ),
        (b'{"score": 1, "label": "caf\xe9"}', 'field label: expected UTF-8, found other bytes: "caf�"'),
        (b"{'score': 1}", ": expected JSON, found {'score': 1}: "),
        (b'{"score": 1,}', ': expected JSON, found {"score": 1,}: '),
        (b'{"score": 01}', ': expected JSON, found {"score": 01}: '),
        (b"7", ": expected an object of columns, found 7"),
        (b'["score", 1]', ': expected an object of columns, found ["score", 1]'),
    ],
)
def test_the_author_is_told_what_is_wrong_and_where(row: bytes, sentence: str) -> None:
    place = "features.json line 2, row 2"
    separator = "" if sentence.startswith(":") else ", "
    assert told(b'[{"score": 0},\n' + row + b"]").startswith(f"{place}{separator}{sentence}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'\xef\xbb\xbf[{"score": 1}]', "one"),
        ('[{"score": 1}]'.encode("utf-16"), "UTF-16"),
        ('[{"score": 1}]'.encode("utf-16-le"), "UTF-16"),
        ('{"score": 1}'.encode("utf-16-be"), "UTF-16"),
    ],
)
def test_another_encoding_is_called_by_its_name(text: bytes, found: str) -> None:
    assert told(text) == f"features.json line 1: expected UTF-8 without a byte order mark, found {found}"


def test_more_rows_than_the_server_takes_are_refused_at_the_first_too_many() -> None:
    text = b"[" + b",\n".join(5 * [b'{"score": 1}']) + b"]"
    assert len(rows(text, max_rows=5)) == 5
    assert told(text, max_rows=4) == (
        "features.json line 5: expected at most 4 rows, which is what the server takes, found more"
    )


@pytest.mark.parametrize(
    "row",
    [
        b'{"score": 1, "label": "\\"score\\":"}',
        b'{"score": 1, "detail": {"score": 1, "label": "x"}, "label": "detail"}',
        b'{"score" : 1, "label" : "\\u0073core"}',
    ],
)
def test_a_columns_name_elsewhere_in_a_row_is_nothing(row: bytes) -> None:
    assert len(rows(b"[" + row + b"]")) == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(st.lists(st.tuples(st.sampled_from("abc"), _JSON), max_size=5))
def test_a_key_is_there_twice_if_it_is(members: list[tuple[str, object]]) -> None:
    text = "{" + ", ".join(f'"{key}": {json.dumps(value)}' for key, value in members) + "}"
    keys = [key for key, _ in members]
    assert (key_twice(text.encode()) is not None) == (len(set(keys)) < len(keys))


@given(
    st.lists(st.dictionaries(st.text(), _JSON, max_size=3), max_size=4),
    st.sampled_from(["", "\n", " \t\r\n"]),
)
def test_objects_nested_however_deep_come_as_they_were(values: list[dict[str, object]], space: str) -> None:
    values = [json.loads(json.dumps(value).replace("\\u0000", "")) for value in values]
    text = f",{space}".join(f'{{"score": 1,{space}"detail":{space}{json.dumps(one)}}}' for one in values)
    found = rows(f"[{text}]".encode())
    assert [json.loads(str(row[2])) for row in found] == values
