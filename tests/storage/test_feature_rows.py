import json
import math
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osa_grpc.application.ports import FeatureSource
from osa_grpc.application.row_decoding import decode_rows
from osa_grpc.domain.errors import BadOutput, BadOutputError
from osa_grpc.storage.database import Database
from osa_grpc.storage.feature_rows import PostgresFeatureRowStore
from osa_grpc.storage.feature_table_store import PostgresFeatureTableStore
from tests.fixtures.feature_tables import column, hook, publish_record
from tests.fixtures.feature_tables import given as given_rows
from tests.fixtures.postgres import PostgresServer

ALL_TYPES = hook(
    column("text", "string"),
    column("at", "string", "date-time"),
    column("day", "string", "date"),
    column("key", "string", "uuid"),
    column("score", "number"),
    column("count", "integer"),
    column("flag", "boolean"),
    column("tags", "array"),
    column("class", "object"),
)
COLUMNS = ", ".join(f'"{c.name}"' for c in ALL_TYPES.feature.columns)


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with Database(dsn=database_dsn) as database:
        async with database.transaction() as connection:
            await PostgresFeatureTableStore(connection).create_table(ALL_TYPES)
        yield database


def decoded(values: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    stream = BytesIO(json.dumps(values).encode())
    return list(
        decode_rows(
            FeatureSource(file_name="features.json", form="json", stream=stream), ALL_TYPES, subject_id="s"
        )
    )


async def test_json_of_every_type_is_stored_as_what_it_is(database: Database) -> None:
    value: dict[str, Any] = {
        "text": "a", "at": "2026-01-31T12:00:00+02:00", "day": "2026-01-31", "score": 2,
        "key": "12345678-1234-5678-1234-567812345678", "count": 2.0, "flag": False, "tags": ["x", {"y": 1}], "class": {"z": []},
    }  # fmt: skip
    async with database.transaction() as connection:
        srn, execution = await publish_record(connection)
        store = PostgresFeatureRowStore(connection)
        await store.replace(
            hook=ALL_TYPES, record_srn=srn, execution=execution, rows=given_rows(decoded([value, {}]))
        )
        first, second = await connection.fetch(
            f"SELECT {COLUMNS}, jsonb_typeof(tags) AS t, jsonb_typeof(class) AS c, pg_typeof(score)::text AS s, "
            "record_srn, execution_id, created_at = now() AS now FROM features.chains ORDER BY id"
        )
    assert tuple(first) == (
        "a", datetime(2026, 1, 31, 10, tzinfo=UTC), date(2026, 1, 31), uuid.UUID(value["key"]), 2.0, 2, False,
        '["x", {"y": 1}]', '{"z": []}', "array", "object", "double precision", srn, execution, True,
    )  # fmt: skip
    assert tuple(second)[:9] == 9 * (None,)


async def test_rows_are_replaced_per_record_and_also_by_nothing(database: Database) -> None:
    async with database.transaction() as connection:
        store = PostgresFeatureRowStore(connection)
        one, two = await publish_record(connection), await publish_record(connection)

        async def replace(record: tuple[str, Any], count: int) -> list[int]:
            rows = decoded([{"count": n} for n in range(count)])
            await store.replace(
                hook=ALL_TYPES, record_srn=record[0], execution=record[1], rows=given_rows(rows)
            )
            return [
                await connection.fetchval("SELECT count(*) FROM features.chains WHERE record_srn = $1", srn)
                for srn, _ in (one, two)
            ]

        assert await replace(one, 3) == [3, 0]
        assert await replace(two, 2) == [3, 2]
        assert await replace(one, 3) == [3, 2]
        assert await replace(one, 1) == [1, 2]
        assert await replace(one, 0) == [0, 2]


async def test_bad_output_half_way_leaves_nothing(database: Database) -> None:
    async def breaking() -> AsyncIterator[tuple[object, ...]]:
        for row in decoded([{"count": 1}]):
            yield row
        raise BadOutputError(BadOutput(file="features.json", message="broken"))

    with pytest.raises(BadOutputError):  # noqa: PT012 - the whole block is the matter
        async with database.transaction() as connection:
            srn, execution = await publish_record(connection)
            await PostgresFeatureRowStore(connection).replace(
                hook=ALL_TYPES, record_srn=srn, execution=execution, rows=breaking()
            )
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM features.chains") == 0
        assert await connection.fetchval("SELECT count(*) FROM osa.record") == 0


async def test_an_older_hook_fills_the_columns_it_knows(database: Database) -> None:
    older = hook(column("count", "integer"), column("text", "string"))
    async with database.transaction() as connection:
        srn, execution = await publish_record(connection)
        await PostgresFeatureRowStore(connection).replace(
            hook=older, record_srn=srn, execution=execution, rows=given_rows([(1, "a")])
        )
        row = await connection.fetchrow("SELECT count, text, score FROM features.chains")
    assert tuple(row or ()) == (1, "a", None)


async def test_a_judging_hook_has_no_rows_to_replace_even_without_a_table(database: Database) -> None:
    async with database.transaction() as connection:
        store = PostgresFeatureRowStore(connection)
        srn, execution = await publish_record(connection)
        assert (
            await store.replace(
                hook=hook(name="judge"), record_srn=srn, execution=execution, rows=given_rows([])
            )
            == 0
        )


async def test_many_rows_take_longer_than_a_statement_may_and_the_limit_is_back_afterwards(
    database_dsn: str,
) -> None:
    async with Database(dsn=database_dsn, statement_timeout=timedelta(milliseconds=250)) as database:
        async with database.transaction() as connection:
            await PostgresFeatureTableStore(connection).create_table(ALL_TYPES)
        async with database.transaction() as connection:
            srn, execution = await publish_record(connection)

            async def slow() -> AsyncIterator[tuple[object, ...]]:
                async with database.acquire() as other:  # the database's own clock, past the limit
                    for _ in range(4):
                        await other.execute("SELECT pg_sleep(0.1)")
                yield next(iter(decoded([{}])))

            count = await PostgresFeatureRowStore(connection).replace(
                hook=ALL_TYPES, record_srn=srn, execution=execution, rows=slow()
            )
            assert count == 1
            assert await connection.fetchval("SHOW statement_timeout") == "250ms"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
OFFSETS = st.timezones() | st.just(UTC)
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "text": st.text(),
            "at": st.datetimes(timezones=OFFSETS).map(datetime.isoformat),
            "day": st.dates().map(date.isoformat),
            "key": st.uuids().map(str),
            "score": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**80), 2**80),
            "count": st.integers(-(2**63), 2**63 - 1) | st.floats(-(2**52), 2**52).map(math.floor).map(float),
            "flag": st.booleans(),
            "tags": st.lists(JSON, max_size=3),
            "class": st.dictionaries(st.text(max_size=3), JSON, max_size=3),
        },
    ),
    max_size=5,
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
            await PostgresFeatureTableStore(connection).create_table(ALL_TYPES)  # type: ignore[arg-type]
        return connection

    async def stored(self, rows: list[tuple[object, ...]]) -> list[tuple[Any, ...]]:
        async with self.connection.transaction():
            await PostgresFeatureRowStore(self.connection).replace(  # type: ignore[arg-type]
                hook=ALL_TYPES, record_srn=self.srn, execution=self.execution, rows=given_rows(rows)
            )
            return [
                tuple(row)
                for row in await self.connection.fetch(f"SELECT {COLUMNS} FROM features.chains ORDER BY id")
            ]


@pytest.fixture
def prepared(postgres: PostgresServer, database_dsn: str) -> Any:
    prepared = Prepared(postgres, database_dsn)
    yield prepared
    postgres.do(prepared.connection.close())


def aware(value: Any) -> Any:
    """The first and the last instant there is come back without their zone (see `feature_query`)."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def doubles(text: str) -> Any:
    return json.loads(text, parse_int=float)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=ROWS)
def test_whatever_the_decoder_accepts_postgres_gives_back_equal(
    prepared: Prepared, values: list[dict[str, Any]]
) -> None:
    try:
        rows = decoded(values)
    except BadOutputError:
        return
    stored = prepared.server.do(prepared.stored(rows))
    assert [tuple(map(aware, row[:7])) for row in stored] == [row[:7] for row in rows]
    for found, written in zip(stored, rows, strict=True):
        for i in (7, 8):
            # Numbers are doubles: Postgres prints 1e16 as an integer of 17 digits.
            assert doubles(str(found[i] or "null")) == doubles(str(written[i] or "null"))
