"""`osa-grpc delivery`: look at what the service owes its own handlers; retry or discard what is dead."""

import click

from osa_grpc.cli.invocation import Session, connected, full_name
from osa_grpc.cli.listing import limit_option, selection_options, show_list


@click.group()
def delivery() -> None:
    """Look at what the service owes its own handlers; retry or discard what is dead."""


@delivery.command()
@click.argument("name")
@connected
async def get(session: Session, *, name: str) -> None:
    """Show the delivery NAME, for example deliveries/7."""
    session.out.resource(await session.client.get_delivery(full_name("deliveries", name)))


@delivery.command("list")
@selection_options(filter="state = DEAD", order_by="update_time desc")
@limit_option
@connected
async def list_(session: Session, *, where: str, order_by: str, limit: int) -> None:
    """List deliveries, the newest first."""
    deliveries = session.client.list_deliveries(filter=where, order_by=order_by)
    await show_list(
        session.out, deliveries, limit=limit, empty="no such deliveries" if where else "no deliveries yet"
    )


@delivery.command()
@click.argument("name")
@connected
async def retry(session: Session, *, name: str) -> None:
    """Deliver NAME again, which is dead or was discarded, when the cause is mended."""
    session.out.resource(await session.client.retry_delivery(full_name("deliveries", name)))


@delivery.command()
@click.argument("name")
@connected
async def discard(session: Session, *, name: str) -> None:
    """Decide that NAME, which is dead, need not be delivered."""
    session.out.resource(await session.client.discard_delivery(full_name("deliveries", name)))
