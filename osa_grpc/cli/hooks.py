"""`osa-grpc hook`: look at hooks across conventions, build the image of one."""

import click

from osa_grpc.cli.invocation import Session, connected, full_name
from osa_grpc.cli.lazy_group import LazyCommand, LazyGroup
from osa_grpc.cli.listing import limit_option, show_list

_LOCAL = {
    "build": LazyCommand(
        module="osa_grpc.cli.hook_build", attribute="build", help="Build the image of a hook."
    )
}


@click.group(cls=LazyGroup, table=_LOCAL)
def hook() -> None:
    """Look at hooks across conventions; build the image of one."""


@hook.command()
@click.argument("name")
@connected
async def get(session: Session, *, name: str) -> None:
    """Show the hook NAME and the conventions that use it; with --output json the hook, then a line for each of them."""
    name = full_name("hooks", name)
    session.out.resource(await session.client.get_hook(name))
    uses = [use async for use in session.client.list_hook_uses(name)]
    if not session.out.is_json:
        session.out.result({}, plain="")
    session.out.resources(uses, empty="")


@hook.command("list")
@limit_option
@connected
async def list_(session: Session, *, limit: int) -> None:
    """List the hooks of all conventions."""
    await show_list(session.out, session.client.list_hooks(), limit=limit, empty="no hooks yet")
