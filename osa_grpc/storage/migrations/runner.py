"""Brings a database to the schema this release knows, and says how far one is.

Revisions expand first and contract a release later, so that replicas of two neighbouring releases can run on one schema.
"""

from datetime import timedelta
from importlib.resources import files
from typing import Final

import asyncpg
from alembic import command, op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from osa_grpc.storage.database import Database

VERSION_SCHEMA: Final = "osa"
"""Where Alembic keeps the revision: beside our tables."""

_LOCK_KEY: Final = "osa-grpc migrate"


class SchemaError(Exception):
    """The database's schema is not the one this release works with. The message says what mends it."""


async def upgrade(dsn: str) -> None:
    """Bring the database to the newest revision, all of it or nothing. Idempotent; of several at once one does the work.

    Raises:
        UnavailableError: the database is away or refuses us.
        SchemaError: it has a revision of a newer release.
    """
    revision = await current_revision(dsn)
    if revision is not None:
        _refuse_unknown(revision)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": _LOCK_KEY})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {VERSION_SCHEMA}"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def current_revision(dsn: str, *, patience: timedelta = timedelta(seconds=30)) -> str | None:
    """Return the revision of the database's schema; None if it has none yet. Raises UnavailableError."""
    async with (
        Database(dsn=dsn, max_size=1, connect_patience=patience) as database,
        database.acquire() as connection,
    ):
        if await connection.fetchval("SELECT to_regclass($1)", f"{VERSION_SCHEMA}.alembic_version") is None:
            return None
        revision: str | None = await connection.fetchval(
            f"SELECT version_num FROM {VERSION_SCHEMA}.alembic_version"  # noqa: S608 - a constant
        )
        return revision


def head_revision() -> str:
    """Return the revision this release works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


async def check_schema(dsn: str, *, patience: timedelta = timedelta(seconds=30)) -> None:
    """Make sure that the database has the schema this release works with.

    Args:
        dsn: a libpq URL.
        patience: how long to wait for a database that is not there yet.

    Raises:
        UnavailableError: the database is away or refuses us.
        SchemaError: it has no schema, an older one, or one of a newer release; the message names the command.
    """
    revision = await current_revision(dsn, patience=patience)
    if revision is None:
        raise SchemaError("The database has no schema yet. Run `osa-grpc migrate` to make it.")
    _refuse_unknown(revision)
    if revision != head_revision():
        raise SchemaError(
            f"The database's schema is at {revision}, this release of osa-grpc needs {head_revision()}. "
            "Run `osa-grpc migrate` to bring it there."
        )


def _refuse_unknown(revision: str) -> None:
    if revision not in {s.revision for s in ScriptDirectory.from_config(_config()).walk_revisions()}:
        raise SchemaError(
            f"The database's schema is at {revision}, which this release of osa-grpc does not know (it knows up to "
            f"{head_revision()}): a newer release's `osa-grpc migrate` made it. Run that release."
        )


def _config() -> Config:
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
