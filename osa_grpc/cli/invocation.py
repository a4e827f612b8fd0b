"""How a command is called: the options every command has, and the client it is given."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import click

from osa_grpc.cli.output import JsonOutput, Output, PlainOutput
from osa_grpc.client import Client

P = ParamSpec("P")
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_CALL_SECONDS = 30.0


@dataclass
class Invocation:
    """What the options said, before the command or after it."""

    server: str = "127.0.0.1:50051"
    tls: bool = False
    ca_certificate: Path | None = None
    output: Literal["plain", "json"] = "plain"
    timeout: float | None = None

    def open_output(self) -> Output:
        """Return where answers go."""
        return JsonOutput() if self.output == "json" else PlainOutput()


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a command works with."""

    client: Client
    out: Output
    server: str


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    invocation = ctx.ensure_object(Invocation)
    if value is not None:
        setattr(invocation, param.name, value)


def server_option(*, envvar: str | None = None) -> Callable[[FunctionT], FunctionT]:
    """Where the server is. Only the program itself reads the environment, so that an option before the command counts."""
    return click.option(
        "--server",
        metavar="HOST:PORT",
        envvar=envvar,
        expose_value=False,
        callback=_remember,
        help="The server; environment OSA_SERVER, default 127.0.0.1:50051.",
    )


def tls_options(*, envvars: bool = False) -> Callable[[FunctionT], FunctionT]:
    """Whether the server speaks TLS, and whom to trust. The environment is read as with `server_option`."""
    tls = click.option(
        "--tls",
        is_flag=True,
        default=None,
        envvar="OSA_TLS" if envvars else None,
        expose_value=False,
        callback=_remember,
        help="The server speaks TLS; environment OSA_TLS.",
    )
    authorities = click.option(
        "--ca-certificate",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="OSA_CA_CERTIFICATE" if envvars else None,
        expose_value=False,
        callback=_remember,
        help="Speak TLS, and trust the authorities in this file (PEM) and no others; environment OSA_CA_CERTIFICATE.",
    )
    return lambda function: tls(authorities(function))


output_option = click.option(
    "--output",
    type=click.Choice(["plain", "json"]),
    expose_value=False,
    callback=_remember,
    help="plain for people; json: one JSON object per line.",
)

timeout_option = click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    expose_value=False,
    callback=_remember,
    help="Give up after so long (exit code 7).",
)


def connected(function: Callable[Concatenate[Session, P], Awaitable[None]]) -> Callable[P, None]:
    """Make a command of a coroutine function that works with a server; adds the options all such commands have."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        invocation = click.get_current_context().ensure_object(Invocation)

        async def run() -> None:
            async with (
                asyncio.timeout(invocation.timeout),
                _client(invocation) as client,
            ):
                session = Session(client=client, out=invocation.open_output(), server=invocation.server)
                await function(session, *args, **kwargs)

        asyncio.run(run())

    return timeout_option(output_option(tls_options()(server_option()(command))))


def _client(invocation: Invocation) -> Client:
    try:
        return Client(
            invocation.server,
            tls=invocation.tls,
            ca_certificate=invocation.ca_certificate,
            timeout_seconds=min(_CALL_SECONDS, invocation.timeout or _CALL_SECONDS),
        )
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--ca-certificate") from error


def full_name(collection: str, text: str) -> str:
    """Return `{collection}/{id}` for an id, and a name as it is."""
    return text if text.startswith(f"{collection}/") else f"{collection}/{text}"
