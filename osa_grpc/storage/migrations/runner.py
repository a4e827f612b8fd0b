"""Brings a database to the schema this release works with.

Revisions expand first and contract a release later, so that replicas of two neighbouring releases can run on one schema.
"""

from importlib.resources import files
from typing import Final

import asyncpg
from alembic import command, op
from alembic.config import Config
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from osa_grpc.storage.database import outage_of
from osa_grpc.storage.migrations.schema import VERSION_SCHEMA, current_revision, refuse_unknown

_LOCK_KEY: Final = "osa-grpc migrate"


async def upgrade(dsn: str) -> None:
    """Bring the database to the newest revision, all of it or nothing. Idempotent; of several at once one does the work.

    Raises:
        UnavailableError: the database is away or refuses us.
        ResourceExhaustedError: its disk is full; then nothing was changed.
        SchemaError: it has a revision of a newer release.
    """
    revision = await current_revision(dsn)
    if revision is not None:
        refuse_unknown(revision)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    except Exception as error:
        if (outage := outage_of(error)) is not None:
            raise outage from error
        raise
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": _LOCK_KEY})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}"))
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def alembic_config() -> Config:
    """Return Alembic's configuration: where the revisions are."""
    config = Config()
    config.set_main_option("script_location", "osa_grpc.storage:migrations")
    return config


def execute_file(name: str) -> None:
    """Execute a file of `versions/`, several statements or one, in the migration's transaction. For revisions."""
    sql = files("osa_grpc.storage.migrations").joinpath("versions", name).read_text(encoding="utf-8")
    # asyncpg takes several statements in one call only without a prepared statement: below SQLAlchemy.
    connection = op.get_bind().connection.dbapi_connection
    assert connection is not None
    connection.run_async(lambda driver: driver.execute(sql))
