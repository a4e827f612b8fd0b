import asyncio
import sys

import click

from osa_grpc.domain.errors import OsaError
from osa_grpc.server.logs import configure_logs
from osa_grpc.storage.database_url import checked_database_url
from osa_grpc.storage.migrations import runner, schema


@click.command()
@click.option(
    "--database-url",
    envvar="OSA_DATABASE_URL",
    required=True,
    help="The Postgres to bring up to date, postgresql://... [environment: OSA_DATABASE_URL]",
)
@click.option(
    "--check", is_flag=True, help="Change nothing; exit with 1 unless the schema is this release's."
)
def migrate(database_url: str, *, check: bool) -> None:
    """Bring the schema of your own Postgres up to date.

    The embedded Postgres is brought up to date by the server itself.
    """
    try:
        checked_database_url(database_url)
    except ValueError as error:
        click.echo(f"database_url: {error}", err=True)
        sys.exit(1)
    configure_logs(form="console", level="warning")
    try:
        if check:
            asyncio.run(schema.check_schema(database_url))
        else:
            asyncio.run(runner.upgrade(database_url))
    except (schema.SchemaError, OsaError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(f"The schema is at revision {schema.head_revision()}.")
