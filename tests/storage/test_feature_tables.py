import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from osa_grpc.application.storage_ports import PageRequest
from osa_grpc.domain.errors import ConflictError, UnavailableError
from osa_grpc.domain.feature import merge_feature_spec
from osa_grpc.domain.hook import Cardinality
from osa_grpc.storage.database import Database
from osa_grpc.storage.feature_rows import PostgresFeatureRowStore
from osa_grpc.storage.feature_table import derived_name
from osa_grpc.storage.feature_table_store import PostgresFeatureTableStore
from tests.fixtures.feature_tables import column, given, hook, publish_record

SCORE = column("score", "number", required=True, description="It's a \\ measure", unit="Å")
NOTE = column("note", "string")


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with Database(dsn=database_dsn, max_size=20) as database:
        yield database


async def columns_in_postgres(database: Database, table: str) -> dict[str, tuple[str, bool]]:
    async with database.acquire() as connection:
        rows = await connection.fetch(
            "SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull FROM pg_attribute "
            "WHERE attrelid = $1::text::regclass AND attnum > 0 ORDER BY attnum",
            f'features."{table}"',
        )
    return {row["attname"]: (row["type"], row["attnotnull"]) for row in rows}


async def test_every_declared_type_has_its_type_in_postgres(database: Database) -> None:
    definition = hook(
        SCORE,
        column("ratio", "number"),
        column("note", "string"),
        column("at", "string", "date-time"),
        column("day", "string", "date"),
        column("key", "string", "uuid"),
        column("count", "integer"),
        column("flag", "boolean"),
        column("tags", "array"),
        column("user", "object"),  # a word reserved in SQL
    )
    async with database.transaction() as connection:
        table = await PostgresFeatureTableStore(connection).create_table(definition)
    assert (table.version, table.made_version, table.spec) == (1, 1, definition.feature)
    assert await columns_in_postgres(database, "chains") == {
        "id": ("bigint", True),
        "record_srn": ("text", True),
        "execution_id": ("uuid", True),
        "created_at": ("timestamp with time zone", True),
        "score": ("double precision", True),
        "ratio": ("double precision", False),
        "note": ("text", False),
        "at": ("timestamp with time zone", False),
        "day": ("date", False),
        "key": ("uuid", False),
        "count": ("bigint", False),
        "flag": ("boolean", False),
        "tags": ("jsonb", False),
        "user": ("jsonb", False),
    }


async def test_columns_say_what_they_mean(database: Database) -> None:
    async with database.transaction() as connection:
        await PostgresFeatureTableStore(connection).create_table(hook(SCORE))
        comment = await connection.fetchval("SELECT col_description('features.chains'::regclass, 5)")
    assert comment == "It's a \\ measure [Å]"


async def test_a_table_made_again_stays_as_it_is(database: Database) -> None:
    tables = []
    for _ in range(3):
        async with database.transaction() as connection:
            tables.append(await PostgresFeatureTableStore(connection).create_table(hook(SCORE)))
    assert tables[0] == tables[1] == tables[2]


async def test_a_table_made_on_many_connections_at_once_is_made_once(database: Database) -> None:
    async def make() -> int:
        async with database.transaction() as connection:
            return (await PostgresFeatureTableStore(connection).create_table(hook(SCORE, NOTE))).version

    assert set(await asyncio.gather(*(make() for _ in range(12)))) == {1}
    assert list(await columns_in_postgres(database, "chains"))[4:] == ["score", "note"]


async def test_a_maker_killed_before_its_commit_leaves_nothing_and_the_next_makes_it(
    database: Database,
) -> None:
    with pytest.raises(Exception, match="database is away"):  # noqa: PT012 - the whole block is the matter
        async with database.transaction() as connection:
            await PostgresFeatureTableStore(connection).create_table(hook(SCORE))
            async with database.acquire() as other:
                await other.execute("SELECT pg_terminate_backend($1, 5000)", connection.get_server_pid())
    async with database.transaction() as connection:
        store = PostgresFeatureTableStore(connection)
        assert await store.find("chains") is None
        await store.create_table(hook(SCORE))
    assert "score" in await columns_in_postgres(database, "chains")


async def test_a_recorded_table_is_not_made_until_it_is_and_listed_only_then(database: Database) -> None:
    async with database.transaction() as connection:
        store = PostgresFeatureTableStore(connection)
        await store.lock("chains")
        entry = await store.record("chains", hook(SCORE).feature)
        assert (entry.version, entry.made_version, entry.made_spec) == (1, 0, None)
        assert (await store.list(PageRequest(size=10))).items == []
        await store.create_table(hook(SCORE))
        assert [table.hook for table in (await store.list(PageRequest(size=10))).items] == ["chains"]


async def test_new_optional_columns_are_added_and_every_version_is_kept(database: Database) -> None:
    async with database.transaction() as connection:
        store = PostgresFeatureTableStore(connection)
        await store.create_table(hook(SCORE))
        srn, execution = await publish_record(connection)
        rows = PostgresFeatureRowStore(connection)
        await rows.replace(hook=hook(SCORE), record_srn=srn, execution=execution, rows=given([(1.0,)]))
    async with database.transaction() as connection:
        store = PostgresFeatureTableStore(connection)
        merged = merge_feature_spec("chains", hook(SCORE).feature, hook(SCORE, NOTE).feature)
        entry = await store.record("chains", merged)
        assert [c.name for c in entry.columns][4:] == ["score"]  # what can be queried until it is made
        assert await store.record("chains", merged) == entry
    async with database.transaction() as connection:
        table = await PostgresFeatureTableStore(connection).create_table(hook(SCORE, NOTE))
        versions = await connection.fetch(
            "SELECT version, spec FROM osa.feature_table_version ORDER BY version"
        )
        assert dict(await connection.fetchrow("SELECT score, note FROM features.chains") or {}) == {
            "score": 1.0,
            "note": None,
        }
    assert (table.version, table.made_version, table.row_count_estimate) == (2, 2, 1)
    assert [c.name for c in table.columns][4:] == ["score", "note"]
    assert [len(json.loads(v["spec"])["columns"]) for v in versions] == [1, 2]


async def test_a_late_redelivery_takes_nothing_back(database: Database) -> None:
    async with database.transaction() as connection:
        store = PostgresFeatureTableStore(connection)
        newest = await store.create_table(hook(SCORE, NOTE))
        older = SCORE.model_copy(update={"description": "Older words"})
        assert await store.create_table(hook(older)) == newest


async def test_a_changed_description_is_no_conflict_and_reaches_postgres(database: Database) -> None:
    async with database.transaction() as connection:
        store = PostgresFeatureTableStore(connection)
        await store.create_table(hook(SCORE))
        changed = hook(SCORE.model_copy(update={"description": "Better words", "unit": ""}))
        await store.record("chains", changed.feature)
        await store.create_table(changed)
        comment = await connection.fetchval("SELECT col_description('features.chains'::regclass, 5)")
    assert comment == "Better words"


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (hook(column("score", "integer", required=True)), ["score"]),
        (hook(column("score", "number")), ["score"]),
        (hook(NOTE), ["score"]),
        (hook(SCORE, column("note", "string", required=True)), ["note"]),
        (hook(SCORE, cardinality=Cardinality.ONE), [""]),
    ],
)
async def test_other_columns_than_the_catalogs_are_a_conflict_that_names_them(
    database: Database, other: object, named: list[str]
) -> None:
    async with database.transaction() as connection:
        await PostgresFeatureTableStore(connection).create_table(hook(SCORE))
    with pytest.raises(ConflictError) as caught:
        async with database.transaction() as connection:
            await PostgresFeatureTableStore(connection).create_table(other)  # type: ignore[arg-type]
    assert [conflict.column for conflict in caught.value.columns] == named


@pytest.mark.parametrize(
    "definition",
    [
        "TABLE features.chains (id bigint PRIMARY KEY, score text, other int)",
        "VIEW features.chains AS SELECT 1::bigint AS id",
    ],
)
async def test_a_table_of_somebody_elses_is_a_conflict_that_names_its_columns(
    database: Database, definition: str
) -> None:
    async with database.transaction() as connection:
        await connection.execute(f"CREATE {definition}")
    with pytest.raises(ConflictError) as caught:
        async with database.transaction() as connection:
            await PostgresFeatureTableStore(connection).create_table(hook(SCORE, NOTE))
    found = {conflict.column: (conflict.expected, conflict.found) for conflict in caught.value.columns}
    assert found["record_srn"] == ("text, required", "absent")
    if "TABLE" in definition:
        assert found["score"] == ("double precision, required", "text")
        assert found["other"] == ("absent", "integer")
        assert "id" not in found
        assert "note" not in found


async def test_names_made_of_the_longest_hook_names_fit_and_collide_with_no_hook(database: Database) -> None:
    long = 63 * "x"
    names = ["chains", "chains_record_srn_idx", "chains_id_seq", "chains_id_key", long, long[:-1] + "y"]
    async with database.transaction() as connection:
        for name in names:
            await PostgresFeatureTableStore(connection).create_table(hook(SCORE, name=name))
        relations = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'features'::regnamespace"
        )
        srn, execution = await publish_record(connection)
        for name in names:
            rows = PostgresFeatureRowStore(connection)
            definition = hook(SCORE, name=name)
            assert (
                await rows.replace(hook=definition, record_srn=srn, execution=execution, rows=given([(1.0,)]))
                == 1
            )
    found = {row["relname"] for row in relations}
    wanted = {
        derived_name(name, suffix) for name in names for suffix in ("id_seq", "id_key", "record_srn_idx")
    }
    assert found == {*names, *wanted}


async def test_rows_refer_to_a_record_and_an_execution_that_are_there(database: Database) -> None:
    async with database.transaction() as connection:
        await PostgresFeatureTableStore(connection).create_table(hook(SCORE))
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with database.transaction() as connection:
            await connection.execute(
                "INSERT INTO features.chains (record_srn, execution_id, score) VALUES ('x', gen_random_uuid(), 1)"
            )


async def test_tables_are_listed_by_name_with_their_conventions(database: Database) -> None:
    async with database.transaction() as connection:
        store = PostgresFeatureTableStore(connection)
        for name in ("b", "c", "a"):
            await store.create_table(hook(SCORE, name=name))
        for version in ("1.0.0", "1.0.1"):
            await connection.execute(
                "INSERT INTO osa.convention (id, version, definition, created_at) VALUES ('c', $1, '{}', $2)",
                version,
                datetime(2026, 1, 1 + int(version[-1]), tzinfo=UTC),
            )
            await connection.execute(
                "INSERT INTO osa.convention_feature_table VALUES ('c', $1, 'b')", version
            )
        first = await store.list(PageRequest(size=2))
        second = await store.list(PageRequest(size=2, after=first.after))
    assert [[table.hook for table in page.items] for page in (first, second)] == [["a", "b"], ["c"]]
    assert second.after is None
    assert [ref.version for ref in first.items[1].conventions] == ["1.0.1", "1.0.0"]


async def test_a_judging_hook_owns_its_name_too(database: Database) -> None:
    async with database.transaction() as connection:
        table = await PostgresFeatureTableStore(connection).create_table(hook())
    assert [c.name for c in table.columns] == ["id", "record_srn", "execution_id", "created_at"]


async def test_a_table_that_is_written_is_not_waited_for_long(database: Database) -> None:
    async with database.transaction() as connection:
        await PostgresFeatureTableStore(connection).create_table(hook(SCORE))
    async with database.transaction() as writer:
        await writer.execute("LOCK TABLE features.chains IN ROW EXCLUSIVE MODE")
        with pytest.raises(UnavailableError) as caught:
            async with database.transaction() as connection:
                await PostgresFeatureTableStore(connection).create_table(hook(SCORE, NOTE))
    assert caught.value.reason == "DATABASE_BUSY"
    async with database.transaction() as connection:
        table = await PostgresFeatureTableStore(connection).create_table(hook(SCORE, NOTE))
    assert [one.name for one in table.columns[-2:]] == ["score", "note"]
