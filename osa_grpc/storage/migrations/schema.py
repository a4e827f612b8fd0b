"""Which schema a database has, and which this release works with. Without Alembic, whose import takes a second."""

import re
from datetime import timedelta
from importlib.resources import files
from typing import Final

from osa_grpc.storage.database import Database

VERSION_SCHEMA: Final = "osa"
"""Where Alembic keeps the revision: beside our tables."""


class SchemaError(Exception):
    """The database's schema is not the one this release works with. The message says what mends it."""


def known_revisions() -> list[str]:
    """Return the revisions this release knows, the oldest first, as the files of `versions/` are named."""
    names = (file.name for file in files("osa_grpc.storage.migrations").joinpath("versions").iterdir())
    return sorted(match[1] for name in names if (match := re.fullmatch(r"v(\d{4})_\w+\.py", name)))


def head_revision() -> str:
    """Return the revision this release works with."""
    return known_revisions()[-1]


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
    refuse_unknown(revision)
    if revision != head_revision():
        raise SchemaError(
            f"The database's schema is at {revision}, this release of osa-grpc needs {head_revision()}. "
            "Run `osa-grpc migrate` to bring it there."
        )


def refuse_unknown(revision: str) -> None:
    """Raise SchemaError unless this release knows the revision."""
    if revision not in known_revisions():
        raise SchemaError(
            f"The database's schema is at {revision}, which this release of osa-grpc does not know (it knows up to "
            f"{head_revision()}): a newer release's `osa-grpc migrate` made it. Run that release."
        )
