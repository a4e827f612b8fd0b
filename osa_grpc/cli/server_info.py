"""`osa-grpc server`: ask what a server can do."""

import click

from osa_grpc.cli.invocation import Session, connected


@click.group()
def server() -> None:
    """Ask what a server is and can do."""


@server.command()
@connected
async def info(session: Session) -> None:
    """Show the server's version, what it supports, its limits and its engine."""
    session.out.resource(await session.client.server_info())
