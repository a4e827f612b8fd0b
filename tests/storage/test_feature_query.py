import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import cmp_to_key
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osa_grpc.application.querying import FeatureQuerying
from osa_grpc.application.storage_ports import PageRequest
from osa_grpc.domain.column import SYSTEM_COLUMNS, ColumnType
from osa_grpc.domain.errors import InvalidRequestError, NotFoundError
from osa_grpc.domain.feature import query_columns
from osa_grpc.domain.filter import (
    And,
    Comparison,
    Contains,
    FeatureQuery,
    FeatureRow,
    Filter,
    Not,
    Operator,
    Or,
    Present,
    SortKey,
)
from osa_grpc.domain.row_size import MAX_ROW_BYTES
from osa_grpc.storage.database import Database
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.feature_rows import PostgresFeatureRowStore
from osa_grpc.storage.feature_table_store import PostgresFeatureTableStore
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.feature_tables import column, hook, publish_record
from tests.fixtures.feature_tables import given as given_rows
from tests.fixtures.filter_meaning import compared, holds
from tests.fixtures.postgres import PostgresServer

MEASURES = hook(
    column("score", "number"),
    column("count", "integer", required=True),
    column("note", "string"),
    column("at", "string", "date-time"),
    column("day", "string", "date"),
    column("key", "string", "uuid"),
    column("flag", "boolean"),
    column("tags", "array"),
    column("info", "object"),
    name="order",  # a word reserved in SQL
)
COLUMNS = {c.name: c for c in query_columns(MEASURES.feature)}
DECLARED = [c for c in COLUMNS.values() if not c.system]
SORTED = [COLUMNS["id"], *(c for c in DECLARED if c.type is not ColumnType.JSON)]
BY_ID = SortKey(column=SYSTEM_COLUMNS[0])

# Small pools, so that ties and nulls are common.
POOLS: dict[str, list[Any]] = {
    "score": [None, -1.5, 0.0, 0.1, 0.30000000000000004, 1e300, 5e-324],
    "count": [-(2**63), -1, 0, 1, 2**53 + 1, 2**63 - 1],
    "note": [None, "", "a", "B", "é", "a\\b%_'", "\U0001f600", "\uffff"],
    "at": [None, datetime.min.replace(tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, UTC),
           datetime.max.replace(tzinfo=UTC)],
    "day": [None, date.min, date(2026, 1, 1), date.max],
    "key": [None, uuid.UUID(int=0), uuid.UUID(int=1), uuid.UUID(int=2**128 - 1)],
    "flag": [None, False, True],
    "tags": [None, "[]", '["a", 1]', '["A", 1.5, true, null, ["a"]]'],
    "info": [None, "{}", '{"a": "B"}', '{"1": {"a": null}}'],
}  # fmt: skip

Table = list[dict[str, Any]]


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    of = draw(st.sampled_from(DECLARED))
    kind = draw(st.sampled_from(["present", "contains", "compare"]))
    if kind == "present":
        return Present(column=of)
    if of.type is ColumnType.JSON:
        wanted: Any = draw(st.sampled_from(["a", "1", 1, 1.5, True, "zz"]))
        return Contains(column=of, value=wanted)
    value = draw(st.sampled_from([value for value in POOLS[of.name] if value is not None]))
    if kind == "contains":
        return Contains(column=of, value=value)
    return Comparison(column=of, operator=draw(st.sampled_from(list(Operator))), value=value)


TREES: st.SearchStrategy[Filter] = st.recursive(
    filters(),
    lambda inner: (
        inner.map(lambda f: Not(operand=f))
        | st.lists(inner, min_size=1, max_size=3).map(lambda fs: And(operands=fs))
        | st.lists(inner, min_size=1, max_size=3).map(lambda fs: Or(operands=fs))
    ),
    max_leaves=6,
)
ROWS = st.lists(st.tuples(*(st.sampled_from(POOLS[c.name]) for c in MEASURES.feature.columns)), max_size=12)
ORDERS = st.lists(
    st.builds(lambda c, d: SortKey(column=c, descending=d), st.sampled_from(SORTED), st.booleans()),
    max_size=4,
    unique_by=lambda key: key.column.name,
)


class Prepared:
    """A connection on the server's own loop, with a table and a record: hypothesis runs its examples one by one."""

    def __init__(self, server: PostgresServer, dsn: str) -> None:
        self.server = server
        self.connection: asyncpg.Connection[asyncpg.Record] = server.do(self._connect(dsn))
        self.srn, self.execution = server.do(publish_record(self.connection))

    async def _connect(self, dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(dsn)
        async with connection.transaction():
            await PostgresFeatureTableStore(connection).create_table(MEASURES)  # type: ignore[arg-type]
        return connection

    async def fill(self, rows: Sequence[Sequence[object]]) -> None:
        async with self.connection.transaction():
            await PostgresFeatureRowStore(self.connection).replace(  # type: ignore[arg-type]
                hook=MEASURES, record_srn=self.srn, execution=self.execution, rows=given_rows(rows)
            )

    async def pages(self, query: Callable[[Sequence[str] | None], FeatureQuery]) -> list[list[FeatureRow]]:
        pages: list[list[FeatureRow]] = []
        after: Sequence[str] | None = None
        while not pages or after is not None:
            async with self.connection.transaction():
                page = await PostgresFeatureRowStore(self.connection).query(query(after))  # type: ignore[arg-type]
            pages.append(list(page.items))
            after = page.after
        return pages


@pytest.fixture
def prepared(postgres: PostgresServer, database_dsn: str) -> Iterator[Prepared]:
    prepared = Prepared(postgres, database_dsn)
    yield prepared
    postgres.do(prepared.connection.close())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS,
    tree=st.none() | TREES,
    keys=ORDERS,
    page_size=st.integers(1, 5),
    max_bytes=st.sampled_from([1, 500, 2**20]),
)
def test_pages_are_what_python_would_filter_and_sort(
    prepared: Prepared,
    rows: Sequence[Sequence[object]],
    tree: Filter | None,
    keys: Sequence[SortKey],
    page_size: int,
    max_bytes: int,
) -> None:
    prepared.server.do(prepared.fill(rows))
    [everything] = prepared.server.do(
        prepared.pages(
            lambda after: FeatureQuery(
                hook="order", columns=list(COLUMNS.values()), filter=None, order=[BY_ID], page_size=100,
                max_bytes=2**20, after=after,
            )
        )
    )  # fmt: skip
    table = [dict(zip(COLUMNS, row.values, strict=True)) for row in everything]
    assert [tuple(row[c.name] for c in MEASURES.feature.columns) for row in table] == list(map(tuple, rows))

    order = [*keys, *([] if any(key.column.name == "id" for key in keys) else [BY_ID])]
    wanted = [row for row in table if tree is None or holds(tree, row)]
    wanted.sort(key=cmp_to_key(compared(order)))
    projection = [COLUMNS["note"], COLUMNS["tags"], COLUMNS["id"]]
    pages = prepared.server.do(
        prepared.pages(
            lambda after: FeatureQuery(
                hook="order", columns=projection, filter=tree, order=order, page_size=page_size,
                max_bytes=max_bytes, after=after,
            )
        )
    )  # fmt: skip
    assert [row.values for page in pages for row in page] == [
        tuple(row[c.name] for c in projection) for row in wanted
    ]
    assert all(0 < len(page) <= page_size for page in pages if wanted)


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with Database(dsn=database_dsn) as database:
        yield database


async def fill(database: Database, rows: Sequence[Sequence[object]], definition: Any = MEASURES) -> str:
    async with database.transaction() as connection:
        await PostgresFeatureTableStore(connection).create_table(definition)
        srn, execution = await publish_record(connection)
        await PostgresFeatureRowStore(connection).replace(
            hook=definition, record_srn=srn, execution=execution, rows=given_rows(rows)
        )
    return srn


def querying(database: Database, *, max_page_bytes: int = 2**20) -> FeatureQuerying:
    storage = PostgresStorage(database=database, doorbell=Doorbell(dsn="postgresql://unused"))
    return FeatureQuerying(storage=storage, max_page_bytes=max_page_bytes)


TEXTS = hook(column("n", "integer"), column("text", "string"), column("tags", "array"), name="texts")


async def test_a_page_is_cut_where_its_bytes_are_enough_and_holds_one_row_at_least(
    database: Database,
) -> None:
    large = "x" * (MAX_ROW_BYTES - 1000)
    await fill(
        database,
        [(0, "a", None), (1, large, None), (2, "b", "[]"), (3, None, json.dumps([large])), (4, "c", None)],
        TEXTS,
    )
    reader = querying(database)
    after: Sequence[str] | None = None
    pages: list[list[object]] = []
    while not pages or after is not None:
        _, page = await reader.query("texts", columns=["n", "text", "tags"], after=after)
        pages.append([row.values[0] for row in page.items])
        assert all(row.values[1] is not None or row.values[2] is not None for row in page.items)
        after = page.after
    assert pages == [[0], [1], [2], [3], [4]]
    _, page = await reader.query("texts", columns=["n"])
    assert len(page.items) == 5


async def test_many_rows_come_in_pages_of_bounded_bytes(database: Database) -> None:
    await fill(database, [(n, "x" * 100, None) for n in range(3000)], TEXTS)
    reader = querying(database, max_page_bytes=100_000)
    after: Sequence[str] | None = None
    sizes: list[int] = []
    while not sizes or after is not None:
        _, page = await reader.query("texts", page_size=10_000, order_by="n desc", after=after)
        sizes.append(len(page.items))
        after = page.after
    assert sum(sizes) == 3000
    assert max(sizes) < 1000


async def test_a_long_text_sorts_by_its_beginning_and_keeps_the_position_small(database: Database) -> None:
    await fill(database, [(n, 5000 * "é" + str(9 - n), None) for n in range(4)], TEXTS)
    reader = querying(database)
    after: Sequence[str] | None = None
    found: list[object] = []
    while not found or after is not None:
        _, page = await reader.query("texts", columns=["n"], order_by="text desc", page_size=1, after=after)
        found += [row.values[0] for row in page.items]
        after = page.after
        assert after is None or sum(map(len, after)) < 1100
    assert found == [0, 1, 2, 3]


async def test_a_filter_reads_as_it_is_written(database: Database) -> None:
    srn = await fill(database, [(n, f"Chain {n}", json.dumps(["a", n])) for n in range(5)], TEXTS)

    async def found(text: str) -> list[object]:
        _, page = await querying(database).query("texts", columns=["n"], filter=text)
        return [row.values[0] for row in page.items]

    assert await found('created_at >= "2026-01-01"') == [0, 1, 2, 3, 4]
    assert await found('created_at < "2026-01-01"') == []
    assert await found("n > 1 AND n < 4") == [2, 3]
    assert await found('text:"chain 3"') == [3]
    assert await found("tags:4") == [4]
    assert await found("n = 0 OR n = 1 AND n = 1 OR n = 2") == [1]
    assert await found(f'record_srn = "{srn}" AND -n <= 3') == [4]
    assert await found("NOT tags:*") == []


async def test_columns_come_as_asked_for_with_what_they_are(database: Database) -> None:
    srn = await fill(database, [(1, "a", None)], TEXTS)
    columns, page = await querying(database).query("texts", columns=["text", "record_srn"])
    assert [(c.name, c.type, c.system) for c in columns] == [
        ("text", ColumnType.TEXT, False),
        ("record_srn", ColumnType.TEXT, True),
    ]
    assert [row.values for row in page.items] == [("a", srn)]
    columns, _ = await querying(database).query("texts")
    assert [c.name for c in columns] == [
        "id",
        "record_srn",
        "execution_id",
        "created_at",
        "n",
        "text",
        "tags",
    ]


@pytest.mark.parametrize(
    ("arguments", "reason", "at"),
    [
        ({"filter": 'n >= "abc"'}, "INVALID_FILTER", "filter"),
        ({"filter": "m = 1"}, "UNKNOWN_COLUMN", "filter"),
        ({"order_by": "n up"}, "INVALID_ORDER_BY", "order_by"),
        ({"order_by": "m"}, "UNKNOWN_COLUMN", "order_by"),
        ({"columns": ["n", "m"]}, "UNKNOWN_COLUMN", "columns[1]"),
        ({"columns": ["n", "n"]}, "INVALID_FIELD", "columns[1]"),
        ({"page_size": -1}, "INVALID_FIELD", "page_size"),
        ({"after": ["x"]}, "INVALID_PAGE_TOKEN", "page_token"),
        ({"after": []}, "INVALID_PAGE_TOKEN", "page_token"),
        ({"after": ["1", "2"]}, "INVALID_PAGE_TOKEN", "page_token"),
        ({"after": ["null"]}, "INVALID_PAGE_TOKEN", "page_token"),
    ],
)
async def test_what_is_wrong_with_a_query_is_named(
    database: Database, arguments: dict[str, Any], reason: str, at: str
) -> None:
    await fill(database, [], TEXTS)
    with pytest.raises(InvalidRequestError) as caught:
        await querying(database).query("texts", **arguments)
    assert (caught.value.reason, str(caught.value.violations[0].at)) == (reason, at)


async def test_a_table_that_is_not_made_is_not_found(database: Database) -> None:
    async with database.transaction() as connection:
        store = PostgresFeatureTableStore(connection)
        await store.lock("texts")
        await store.record("texts", TEXTS.feature)
    reader = querying(database)
    for name in ("texts", "nothing"):
        with pytest.raises(NotFoundError, match=f"featureTables/{name}"):
            await reader.query(name)
        with pytest.raises(NotFoundError):
            await reader.get(name)
    assert (await reader.list(PageRequest(size=10))).items == []


async def test_pages_have_a_hundred_rows_unless_told_and_ten_thousand_at_most(database: Database) -> None:
    await fill(database, [(n, None, None) for n in range(10_001)], TEXTS)
    reader = querying(database)
    sizes = [
        len((await reader.query("texts", columns=["n"], page_size=size))[1].items) for size in (0, 7, 20_000)
    ]
    assert sizes == [100, 7, 10_000]
    assert (await reader.get("texts")).row_count_estimate > 1000
