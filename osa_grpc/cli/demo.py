"""`osa-grpc demo`: the whole road once, on real data, with the ordinary client and by no back door."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

import osa_grpc
from osa_grpc.cli import exit_codes
from osa_grpc.cli.demo_server import ServerDidNotStartError, demo_server
from osa_grpc.cli.demo_tour import Clock, explore, tour
from osa_grpc.cli.plain_table import plain_table
from osa_grpc.runtimes.engine_search import EngineUnavailableError
from osa_grpc.runtimes.hook_image import build_hook_image
from osa_grpc.runtimes.image_build import ImageBuildError
from osa_grpc.runtimes.interrupts import interrupts_held
from osa_grpc.runtimes.private_engine import engine_at_hand

_EXAMPLE = Path(osa_grpc.__file__).parent.parent / "examples" / "pdb-structures"
_LISTEN = "127.0.0.1:50051"


@click.command()
@click.option("--keep", is_flag=True, help=f"Let the server stay at {_LISTEN} until Ctrl-C.")
@click.option(
    "--data-directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the data there; by default it goes when the demo ends.",
)
@click.option(
    "--example",
    type=click.Path(path_type=Path, file_okay=False),
    default=_EXAMPLE,
    help="The folder with convention.json, hooks/, structures/ and metadata/.",
)
def demo(*, keep: bool, data_directory: Path | None, example: Path) -> None:
    """See it all work: build hooks, start a server, deposit real structures, watch the runs, query the rows."""
    if not (example / "convention.json").is_file():
        raise click.ClickException(
            f"{example} is no example: the demo needs a checkout of the repository, or --example"
        )
    try:
        with _sigterm_is_ctrl_c(), _cleaning_up() as stack:
            _demo(stack, keep=keep, data_directory=data_directory, example=example)
    except (EngineUnavailableError, ImageBuildError, ServerDidNotStartError) as error:
        click.echo(f"error: {error}", err=True)
        click.get_current_context().exit(exit_codes.UNEXPECTED)


def _demo(stack: contextlib.ExitStack, *, keep: bool, data_directory: Path | None, example: Path) -> None:
    clock = Clock()
    with clock.part("a container engine, and the images of the hooks"):
        docker_host = stack.enter_context(engine_at_hand(say=click.echo))
        click.echo(f"container engine: {docker_host}")
        images = asyncio.run(_build_images(example, docker_host))
    with clock.part("a server"):
        server = stack.enter_context(
            demo_server(
                docker_host=docker_host,
                listen=_LISTEN if keep else "127.0.0.1:0",
                data_directory=data_directory.absolute() if data_directory else None,
            )
        )
        click.echo(f"osa-grpc serves at {server.address}")
    asyncio.run(tour(server.address, example=example, images=images, clock=clock))
    explore(server.address if keep else _LISTEN, is_there=keep)
    rows = [(name, f"{seconds:.1f}") for name, seconds in clock.parts]
    total = ("together", f"{sum(seconds for _, seconds in clock.parts):.1f}")
    click.echo("\n" + plain_table(("PART", "SECONDS"), [*rows, total], right=frozenset({1})))
    if keep:
        click.echo(f"\nThe server stays at {server.address} until Ctrl-C.")
        server.process.wait()
        raise ServerDidNotStartError(f"the server has ended by itself, with {server.process.returncode}")


async def _build_images(example: Path, docker_host: str) -> Mapping[str, str]:
    """Build every hook; return the images' ids by the hooks' names."""
    images = {}
    for folder in sorted(path for path in (example / "hooks").iterdir() if path.is_dir()):
        built = await build_hook_image(folder, docker_host=docker_host, say=click.echo)
        click.echo(f"{folder.name}: {built.tag} ({'built' if built.built else 'as built before'})")
        images[folder.name] = built.image_id
    return images


@contextlib.contextmanager
def _cleaning_up() -> Iterator[contextlib.ExitStack]:
    """A stack that is unwound at the end of the block; Ctrl-C waits until that is done."""
    stack = contextlib.ExitStack()
    try:
        yield stack
    except KeyboardInterrupt:
        click.echo("\ncleaning up", err=True)
        raise
    finally:
        with interrupts_held():
            stack.close()


@contextlib.contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, also where that is ignored (a script's background job).

    By way of SIGINT, which asyncio turns into an orderly cancellation; raised anywhere it would tear its event loop.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
