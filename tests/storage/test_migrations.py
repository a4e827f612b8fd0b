import asyncio
import re

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from osa_grpc.storage.migrations import runner, schema
from osa_grpc.storage.migrations.runner import upgrade
from osa_grpc.storage.migrations.schema import (
    SchemaError,
    check_schema,
    current_revision,
    head_revision,
    known_revisions,
)


def test_the_revisions_that_the_files_say_are_alembics_in_order() -> None:
    script = ScriptDirectory.from_config(runner.alembic_config())
    assert [revision.revision for revision in script.walk_revisions()] == known_revisions()[::-1]


async def test_a_database_without_a_schema_is_refused_with_the_command_that_makes_it(
    empty_database_dsn: str,
) -> None:
    assert await current_revision(empty_database_dsn) is None
    with pytest.raises(SchemaError, match=r"no schema yet.*`osa-grpc migrate`"):
        await check_schema(empty_database_dsn)


async def test_a_migrated_database_is_accepted_and_migrated_again_without_change(
    empty_database_dsn: str,
) -> None:
    await upgrade(empty_database_dsn)
    await upgrade(empty_database_dsn)
    await check_schema(empty_database_dsn)
    assert await current_revision(empty_database_dsn) == head_revision()


async def test_of_several_that_migrate_at_once_one_does_the_work(empty_database_dsn: str) -> None:
    await asyncio.gather(*(upgrade(empty_database_dsn) for _ in range(4)))
    await check_schema(empty_database_dsn)


async def test_a_schema_that_is_behind_is_refused_with_the_command_that_mends_it(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "head_revision", lambda: "9999")
    with pytest.raises(SchemaError, match=r"needs 9999.*`osa-grpc migrate`"):
        await check_schema(database_dsn)


async def test_a_schema_of_a_newer_release_is_refused_and_left_alone(
    database_dsn: str, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connection.execute("UPDATE osa.alembic_version SET version_num = '9999'")
    for act in (check_schema, upgrade):
        with pytest.raises(SchemaError, match="9999, which this release of osa-grpc does not know"):
            await act(database_dsn)
    assert await current_revision(database_dsn) == "9999"


async def test_a_migration_that_fails_leaves_nothing(
    empty_database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute_file = runner.execute_file

    def execute_file_and_fail(name: str) -> None:
        execute_file(name)
        raise KeyError

    monkeypatch.setattr(runner, "execute_file", execute_file_and_fail)
    with pytest.raises(KeyError):
        await upgrade(empty_database_dsn)
    connection = await asyncpg.connect(empty_database_dsn)
    assert await connection.fetchval("SELECT to_regnamespace('osa')") is None
    assert await connection.fetchval("SELECT to_regnamespace('features')") is None
    await connection.close()


async def test_constraints_and_indexes_are_named_by_what_they_are(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    names = await connection.fetch(
        """
        SELECT conname AS name, conrelid::regclass::text AS owner,
               CASE contype WHEN 'f' THEN 'fk' WHEN 'c' THEN 'check' ELSE 'key' END AS kind
        FROM pg_constraint WHERE connamespace = 'osa'::regnamespace AND contype IN ('f', 'c', 'p', 'u')
          AND conrelid <> 'osa.alembic_version'::regclass
        UNION ALL
        SELECT indexrelid::regclass::text, indrelid::regclass::text, 'idx' FROM pg_index
        WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'osa'::regnamespace)
          AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
        """
    )
    wrong = [
        row["name"]
        for row in names
        if not re.fullmatch(rf"(osa\.)?{row['owner'].removeprefix('osa.')}_\w+_{row['kind']}", row["name"])
    ]
    assert len(names) > 40
    assert not wrong
