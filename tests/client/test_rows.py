from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from google.protobuf.struct_pb2 import NULL_VALUE

from osa_grpc.client.rows import page_from_proto, value_from_proto
from osa_grpc.wire import pb


def test_every_kind_of_value_becomes_pythons_own() -> None:
    instant = pb.Value()
    instant.timestamp.FromJsonString("2026-01-02T03:04:05.678901Z")
    identifier = "0b0e2f6a-4c5f-4a53-9d4c-1f2d3e4f5a6b"
    expected = {
        "null": (pb.Value(null=NULL_VALUE), None),
        "text": (pb.Value(text="x"), "x"),
        "number": (pb.Value(number=1.5), 1.5),
        "integer": (pb.Value(integer=2**62), 2**62),
        "boolean": (pb.Value(boolean=False), False),
        "timestamp": (instant, datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        "date": (pb.Value(date="2026-01-02"), date(2026, 1, 2)),
        "uuid": (pb.Value(uuid=identifier), UUID(identifier)),
        "json": (pb.Value(json='[1, {"a": null}]'), [1, {"a": None}]),
    }
    assert set(expected) == {field.name for field in pb.Value.DESCRIPTOR.oneofs_by_name["kind"].fields}
    for value, python in expected.values():
        assert value_from_proto(value) == python


def test_a_kind_of_a_newer_contract_is_not_taken_for_null() -> None:
    with pytest.raises(ValueError, match="newer client"):
        value_from_proto(pb.Value())


def test_a_page_gives_rows_as_dicts_in_the_order_of_its_columns() -> None:
    page = page_from_proto(
        pb.QueryFeaturesResponse(
            columns=[pb.ColumnInfo(name="b"), pb.ColumnInfo(name="a")],
            rows=[pb.Row(values=[pb.Value(integer=1), pb.Value(text="x")])],
        )
    )
    assert [list(row.items()) for row in page.as_dicts()] == [[("b", 1), ("a", "x")]]
