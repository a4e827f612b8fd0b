"""`osa-grpc deposition`: look at, download and delete depositions."""

from pathlib import Path

import click

from osa_grpc.cli.invocation import Session, connected, full_name
from osa_grpc.cli.listing import limit_option, selection_options, show_list
from osa_grpc.cli.output import as_json
from osa_grpc.cli.wording import size
from osa_grpc.wire import pb


@click.group()
def deposition() -> None:
    """Look at, download and delete depositions; `osa-grpc deposit` makes them."""


@deposition.command()
@click.argument("name")
@connected
async def get(session: Session, *, name: str) -> None:
    """Show the deposition NAME and its files; with --output json the deposition, then a line for each file."""
    name = full_name("depositions", name)
    session.out.resource(await session.client.get_deposition(name))
    files = [file async for file in session.client.list_files(name)]
    if files:
        if not session.out.is_json:
            session.out.result({}, plain="")
        session.out.resources(files, empty="")


@deposition.command("list")
@selection_options(filter='state = DRAFT AND update_time < "2026-01-01"', order_by="update_time desc")
@limit_option
@connected
async def list_(session: Session, *, where: str, order_by: str, limit: int) -> None:
    """List depositions, the newest first."""
    depositions = session.client.list_depositions(filter=where, order_by=order_by)
    await show_list(
        session.out, depositions, limit=limit, empty="no such depositions" if where else "no depositions yet"
    )


@deposition.command()
@click.argument("name")
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="The folder to put them in; default the current one.",
)
@connected
async def download(session: Session, *, name: str, files: tuple[str, ...], folder: Path) -> None:
    """Download the FILEs of deposition NAME, or all, each checked against its SHA-256."""
    name = full_name("depositions", name)
    known = [file async for file in session.client.list_files(name)]
    wanted = set(files) or {file.file_name for file in known}
    for missing in sorted(wanted - {file.file_name for file in known}):
        await session.client.download_file(f"{name}/files/{missing}", folder / Path(missing).name)
    for file in known:
        if file.file_name in wanted:
            path = folder / safe_name(file)
            await session.client.download_file(file.name, path)
            session.out.result(
                {"path": str(path), "file": as_json(file)}, plain=f"{path} ({size(file.size_bytes)})"
            )


@deposition.command()
@click.argument("name")
@connected
async def delete(session: Session, *, name: str) -> None:
    """Delete the draft NAME and its files."""
    name = full_name("depositions", name)
    await session.client.delete_deposition(name)
    session.out.result({"deleted": name}, plain=f"{name} is deleted")


def safe_name(file: pb.DepositionFile) -> str:
    """Return the name a file gets on this machine: never a path, whatever the server says."""
    name = Path(file.file_name).name
    if name != file.file_name or name in {"", ".", ".."}:
        raise click.ClickException(f"{file.file_name!r} is not a file name")
    return name
