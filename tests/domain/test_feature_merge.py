import pytest

from osa_grpc.domain.column import ColumnDef, JsonType
from osa_grpc.domain.errors import ConflictError
from osa_grpc.domain.feature import merge_feature_spec
from osa_grpc.domain.hook import MAX_COLUMNS, Cardinality, TableFeatureSpec


def spec(*columns: ColumnDef) -> TableFeatureSpec:
    return TableFeatureSpec(cardinality=Cardinality.MANY, columns=columns)


def column(name: str, *, required: bool = False, description: str = "") -> ColumnDef:
    return ColumnDef(name=name, json_type=JsonType.NUMBER, required=required, description=description)


def test_fewer_optional_columns_serve_as_they_are() -> None:
    assert merge_feature_spec("h", spec(column("a"), column("b")), spec(column("b"))) == spec(
        column("a"), column("b")
    )


def test_new_optional_columns_come_last_and_new_words_replace_the_old() -> None:
    merged = merge_feature_spec("h", spec(column("b")), spec(column("a"), column("b", description="new")))
    assert merged == spec(column("b", description="new"), column("a"))


def test_every_column_that_differs_is_named() -> None:
    with pytest.raises(ConflictError) as caught:
        merge_feature_spec(
            "h",
            spec(column("gone", required=True), column("changed")),
            spec(column("changed", required=True), column("new", required=True)),
        )
    assert [(c.column, c.expected, c.found) for c in caught.value.columns] == [
        ("gone", "number, required", "absent"),
        ("changed", "number", "number, required"),
        ("new", "absent", "number, required"),
    ]


def test_a_table_that_would_have_too_many_columns_is_a_conflict() -> None:
    full = spec(*(column(f"c{i}") for i in range(MAX_COLUMNS)))
    with pytest.raises(ConflictError) as caught:
        merge_feature_spec("h", full, spec(column("one_more")))
    assert [c.column for c in caught.value.columns] == ["one_more"]
