"""`osa-grpc record`: look at what was published."""

import click

from osa_grpc.cli.invocation import Session, connected, full_name
from osa_grpc.cli.listing import limit_option, show_list


@click.group()
def record() -> None:
    """Look at what was published."""


@record.command()
@click.argument("name")
@connected
async def get(session: Session, *, name: str) -> None:
    """Show the record NAME, for example records/{id}@1."""
    session.out.resource(await session.client.get_record(full_name("records", name)))


@record.command("list")
@limit_option
@connected
async def list_(session: Session, *, limit: int) -> None:
    """List records, the newest first."""
    await show_list(session.out, session.client.list_records(), limit=limit, empty="no records yet")
