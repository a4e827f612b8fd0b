"""`osa-grpc record`: look at what was published."""

import click

from osa_grpc.cli.invocation import Session, connected, full_name
from osa_grpc.cli.listing import limit_option, selection_options, show_list


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
@selection_options(filter='convention:"pdb-structures@"', order_by="create_time")
@limit_option
@connected
async def list_(session: Session, *, where: str, order_by: str, limit: int) -> None:
    """List records, the newest first."""
    records = session.client.list_records(filter=where, order_by=order_by)
    await show_list(session.out, records, limit=limit, empty="no such records" if where else "no records yet")
