"""`osa-grpc convention`: register and look at conventions."""

import json
from collections.abc import Mapping, Sequence
from typing import TextIO

import click
from google.protobuf.json_format import ParseDict, ParseError

from osa_grpc.cli import exit_codes
from osa_grpc.cli.invocation import Session, connected, full_name
from osa_grpc.cli.listing import limit_option, show_list
from osa_grpc.cli.wording import enum_word
from osa_grpc.wire import pb


@click.group()
def convention() -> None:
    """Register and look at conventions: what the archive accepts, and which hooks judge it."""


@convention.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--id", "convention_id", help="Its id, if the file's `name` does not say it.")
@click.option(
    "--image",
    "images",
    metavar="HOOK=IMAGE_ID",
    multiple=True,
    help="The digest of a hook's image, as `osa-grpc hook build` prints it. May be repeated.",
)
@click.option("--validate-only", is_flag=True, help="Only ask whether it would be accepted.")
@click.option("--wait/--no-wait", default=True, help="Wait until its tables are made; --wait is the default.")
@connected
async def register(
    session: Session,
    *,
    file: TextIO,
    convention_id: str | None,
    images: Sequence[str],
    validate_only: bool,
    wait: bool,
) -> None:
    """Register the convention in FILE: a `Convention` as JSON, with a `name` conventions/{id}@{version}; `-` is stdin."""
    message = convention_from_json(file.read(), images=parse_images(images))
    if unnamed := [hook.name for hook in message.hooks if hook.HasField("oci") and not hook.oci.digest]:
        session.out.note(
            f"no image is given for {', '.join(unnamed)}: --image {unnamed[0]}=IMAGE_ID, as `osa-grpc hook build` prints it"
        )
    name_id = message.name.removeprefix("conventions/").partition("@")[0]
    if not (convention_id or name_id):
        raise click.UsageError("the file has no `name`: give --id")
    registered = await session.client.register_convention(
        convention_id or name_id, message, validate_only=validate_only
    )
    if wait and not validate_only:
        registered = await session.client.wait_until_ready(registered.name)
    session.out.resource(registered)
    _exit_if_failed(registered)


@convention.command()
@click.argument("name")
@connected
async def get(session: Session, *, name: str) -> None:
    """Show the convention NAME, for example pdb-structures@1.0.0."""
    session.out.resource(await session.client.get_convention(full_name("conventions", name)))


@convention.command("list")
@limit_option
@connected
async def list_(session: Session, *, limit: int) -> None:
    """List conventions, the newest first."""
    await show_list(session.out, session.client.list_conventions(), limit=limit, empty="no conventions yet")


@convention.command()
@click.argument("name")
@connected
async def watch(session: Session, *, name: str) -> None:
    """Follow the convention NAME until its tables are made, or could not be (exit code 11)."""
    seen = pb.Convention()
    async for seen in session.client.watch_convention(full_name("conventions", name)):
        if session.out.is_json:
            session.out.resource(seen)
        else:
            state = enum_word(pb.ConventionState, seen.state)
            failure = f": {seen.failure.message}" if seen.failure.message else ""
            session.out.result({}, plain=f"{seen.name} is {state}{failure}")
    _exit_if_failed(seen)


def parse_images(images: Sequence[str]) -> dict[str, str]:
    """Read `HOOK=IMAGE_ID` options."""
    parsed = {}
    for image in images:
        hook, separator, digest = image.partition("=")
        if not separator or not hook or not digest:
            raise click.BadParameter(f"expected HOOK=IMAGE_ID, found {image!r}", param_hint="--image")
        parsed[hook] = digest
    return parsed


def convention_from_json(text: str, *, images: Mapping[str, str]) -> pb.Convention:
    """Read a convention's protojson and put the images' digests in."""
    try:
        message = ParseDict(json.loads(text), pb.Convention())
    except (ValueError, ParseError) as error:
        raise click.BadParameter(f"not a convention as JSON: {error}", param_hint="FILE") from error
    hooks = {hook.name: hook for hook in message.hooks}
    for name, digest in images.items():
        if name not in hooks:
            raise click.BadParameter(
                f"the convention has no hook {name}; it has {', '.join(hooks) or 'none'}",
                param_hint="--image",
            )
        hooks[name].oci.digest = digest
    return message


def _exit_if_failed(seen: pb.Convention) -> None:
    if seen.state == pb.CONVENTION_STATE_FAILED:
        click.get_current_context().exit(exit_codes.FAILED)
