"""Lists of runs, depositions, records and deliveries: filtered and sorted as Python would, in pages that lose nothing."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cmp_to_key
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osa_grpc.application.filtering import parse_filter
from osa_grpc.application.storage_ports import ListQuery, Page, PageRequest
from osa_grpc.domain.filter import And, Comparison, Contains, Filter, Not, Operator, Or, Present, SortKey
from osa_grpc.domain.position import PositionError
from tests.fixtures.filter_meaning import compared, holds
from tests.fixtures.listed_items import IDS, LISTS, Connection, Fields, Listed
from tests.fixtures.postgres import PostgresServer


class Prepared:
    """A connection on the server's own loop: hypothesis runs its examples one by one."""

    def __init__(self, server: PostgresServer, dsn: str) -> None:
        self.server = server
        self.connection: asyncpg.Connection[asyncpg.Record] = server.do(self._connect(dsn))

    async def _connect(self, dsn: str) -> Connection:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(dsn)
        await connection.execute(
            "SET session_replication_role = replica"
        )  # items alone, without what they refer to
        return connection

    async def fill(self, listed: Listed, rows: Sequence[Mapping[str, Any]]) -> list[Fields]:
        await self.connection.execute(
            "TRUNCATE osa.run, osa.deposition, osa.record, osa.delivery, osa.event CASCADE"
        )
        return [await listed.put(self.connection, row) for row in rows]

    async def pages(
        self, listed: Listed, size: int, tree: Filter | None, order: Sequence[SortKey]
    ) -> list[list[str]]:
        pages: list[list[str]] = []
        after: Sequence[str] | None = None
        while not pages or after is not None:
            query = ListQuery(page=PageRequest(size=size, after=after), filter=tree, order=order)
            page: Page[Any] = await listed.read(self.connection, query)
            pages.append([listed.name(item) for item in page.items])
            after = page.after
        return pages


@pytest.fixture
def prepared(postgres: PostgresServer, database_dsn: str) -> Iterator[Prepared]:
    prepared = Prepared(postgres, database_dsn)
    yield prepared
    postgres.do(prepared.connection.close())


@st.composite
def filters(draw: st.DrawFn, listed: Listed, found: Sequence[Fields]) -> Filter:
    """A filter about values that there are, mostly."""
    of = draw(st.sampled_from(list(listed.columns)))
    kind = draw(st.sampled_from(["present", "contains", "compare"]))
    values = [row[of.name] for row in found if row[of.name] is not None]
    if kind == "present" or not values:
        return Present(column=of)
    value = draw(st.sampled_from(values))
    if kind == "contains":
        part = value if of.words or not isinstance(value, str) else value[: draw(st.integers(0, 12))]
        return Contains(column=of, value=part)
    operators = (Operator.EQUAL, Operator.NOT_EQUAL) if of.words or of.resource else tuple(Operator)
    return Comparison(column=of, operator=draw(st.sampled_from(operators)), value=value)


def trees(listed: Listed, found: Sequence[Fields]) -> st.SearchStrategy[Filter]:
    return st.recursive(
        filters(listed, found),
        lambda inner: (
            inner.map(lambda f: Not(operand=f))
            | st.lists(inner, min_size=1, max_size=3).map(lambda fs: And(operands=fs))
            | st.lists(inner, min_size=1, max_size=3).map(lambda fs: Or(operands=fs))
        ),
        max_leaves=5,
    )


def orders(listed: Listed) -> st.SearchStrategy[list[SortKey]]:
    return st.lists(
        st.builds(
            lambda c, d: SortKey(column=c, descending=d), st.sampled_from(list(listed.columns)), st.booleans()
        ),
        max_size=4,
        unique_by=lambda key: key.column.name,
    )


@pytest.mark.parametrize("of", LISTS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_pages_of_a_list_are_what_python_would_filter_and_sort(
    prepared: Prepared, of: str, data: st.DataObject
) -> None:
    listed = LISTS[of]
    rows = data.draw(st.lists(listed.rows, max_size=10), label="rows")
    found = prepared.server.do(prepared.fill(listed, rows))
    tree = data.draw(st.none() | trees(listed, found), label="filter")
    order = data.draw(orders(listed), label="order")
    size = data.draw(st.integers(1, 5), label="page size")
    wanted = [row for row in found if tree is None or holds(tree, row)]
    if order:
        wanted.sort(key=listed.ties, reverse=order[-1].descending)
        wanted.sort(key=cmp_to_key(compared(order)))
    else:
        wanted.sort(key=listed.newest, reverse=True)
    pages = prepared.server.do(prepared.pages(listed, size, tree, order))
    assert [name for page in pages for name in page] == [row["name"] for row in wanted]
    assert all(0 < len(page) <= size for page in pages if wanted)


POSITIONS: list[list[str]] = [
    [],
    ["null", "null"],
    ["1", "1"],
    ['"2026-01-01T00:00:00Z"'],
    ['"2026-01-01T00:00:00Z"', '"no id"'],
    ['"2026-01-01T00:00:00Z"', f'"{IDS[0]}"', "1", "1"],
    ['"0001-01-01T00:00:00+14:00"', f'"{IDS[0]}"'],
    ['"2026-01-01T00:00:00"', f'"{IDS[0]}"'],
    ['"\\ud800"', "{}"],
    ["9223372036854775808"],
    ['"1"'],
]


@pytest.mark.parametrize("of", LISTS)
@pytest.mark.parametrize("position", POSITIONS)
def test_a_position_that_no_page_gave_is_refused(prepared: Prepared, of: str, position: list[str]) -> None:
    query = ListQuery(page=PageRequest(size=1, after=position))
    with pytest.raises(PositionError):
        prepared.server.do(_read(prepared, LISTS[of], query))


async def _read(prepared: Prepared, listed: Listed, query: ListQuery) -> Page[Any]:
    page: Page[Any] = await listed.read(prepared.connection, query)
    return page


@pytest.mark.parametrize(
    ("of", "text", "index"),
    [
        ("runs", "state = FAILED", "run_state_created_at_id_idx"),
        ("runs", 'convention = "conventions/c7@1.0.0"', "run_convention_created_at_id_idx"),
        ("runs", f'deposition = "depositions/{IDS[0]}"', "run_deposition_created_at_id_idx"),
        ("runs", f'name = "runs/{IDS[0]}"', "run_id_key"),
        ("runs", "", "run_created_at_id_idx"),
        ("depositions", "state = DRAFT", "deposition_state_created_at_id_idx"),
        ("depositions", 'convention = "conventions/c7@1.0.0"', "deposition_convention_created_at_id_idx"),
        ("depositions", "", "deposition_created_at_id_idx"),
        ("records", 'convention = "conventions/c7@1.0.0"', "record_convention_created_at_id_version_idx"),
        ("records", "", "record_created_at_id_version_idx"),
        ("deliveries", "state = DEAD", "delivery_dead_idx"),
        ("deliveries", "", "delivery_id_key"),
    ],
)
def test_what_is_usually_asked_has_an_index(prepared: Prepared, of: str, text: str, index: str) -> None:
    listed = LISTS[of]
    query = ListQuery(page=PageRequest(size=10), filter=parse_filter(text, listed.columns))
    assert index in prepared.server.do(_indexes_used(prepared, listed, query))


async def _indexes_used(prepared: Prepared, listed: Listed, query: ListQuery) -> set[str]:
    """The indexes whose scans are counted while a list is read, of tables too large to be read whole."""
    connection = prepared.connection
    await connection.execute(_MANY)
    before = dict(await connection.fetch(_SCANS))
    await listed.read(connection, query)
    await connection.execute("SELECT pg_stat_force_next_flush()")
    after = dict(await connection.fetch(_SCANS))
    return {name for name, count in after.items() if count > before[name]}


_SCANS = "SELECT indexrelname, idx_scan FROM pg_stat_user_indexes WHERE schemaname = 'osa'"
_MANY = """
INSERT INTO osa.run (id, source, convention_id, convention_version, state, created_at)
SELECT gen_random_uuid(), jsonb_build_object('kind', 'deposition', 'deposition', gen_random_uuid()), 'c' || n % 100, '1.0.0',
    CASE WHEN n % 500 = 0 THEN 'FAILED' ELSE 'CANCELLED' END, now() - n * interval '1 second'
FROM generate_series(1, 20000) AS n;
INSERT INTO osa.deposition (id, convention_id, convention_version, metadata, state, created_at)
SELECT gen_random_uuid(), 'c' || n % 100, '1.0.0', '{}', CASE WHEN n % 500 = 0 THEN 'DRAFT' ELSE 'SUBMITTED' END,
    now() - n * interval '1 second'
FROM generate_series(1, 20000) AS n;
INSERT INTO osa.record (
    id, version, srn, deposition_id, run_id, convention_id, convention_version, metadata, file_count, created_at
)
SELECT gen_random_uuid(), 1, n, gen_random_uuid(), gen_random_uuid(), 'c' || n % 100, '1.0.0', '{}', 0,
    now() - n * interval '1 second'
FROM generate_series(1, 20000) AS n;
INSERT INTO osa.event (type, key, body) SELECT 'RunFinished', n, '{}' FROM generate_series(1, 20000) AS n;
INSERT INTO osa.delivery (event_id, handler, state)
SELECT id, 'announce', CASE WHEN id % 500 = 0 THEN 'DEAD' ELSE 'DONE' END FROM osa.event;
ANALYZE osa.run, osa.deposition, osa.record, osa.event, osa.delivery
"""
