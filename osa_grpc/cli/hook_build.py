"""`osa-grpc hook build`: works on this machine's container engine, without a server."""

import asyncio
from pathlib import Path

import click

from osa_grpc.cli import exit_codes
from osa_grpc.cli.invocation import Invocation, output_option
from osa_grpc.runtimes.engine_search import EngineUnavailableError
from osa_grpc.runtimes.hook_image import build_hook_image
from osa_grpc.runtimes.image_build import ImageBuildError
from osa_grpc.runtimes.private_engine import engine_at_hand


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--tag", help="A name for the image, for people.")
@click.option("--base", help="The image to build upon, with Python 3 in it; found or made by default.")
@output_option
def build(*, folder: Path, tag: str | None, base: str | None) -> None:
    """Build the hook in FOLDER (hook.py, perhaps requirements.txt with hashes) and print the image's id.

    The id is the `digest` of the hook's runtime in a convention. No network is used inside the build.
    """

    def say(sentence: str) -> None:
        click.echo(sentence, err=True)

    try:
        with engine_at_hand(say=say) as docker_host:
            built = asyncio.run(
                build_hook_image(folder, docker_host=docker_host, tag=tag, base=base, say=say)
            )
    except (EngineUnavailableError, ImageBuildError) as error:
        click.echo(f"error: {error}", err=True)
        click.get_current_context().exit(exit_codes.UNEXPECTED)
    click.get_current_context().ensure_object(Invocation).open_output().result(
        {"imageId": built.image_id, "tag": built.tag, "built": built.built}, plain=built.image_id
    )
