import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from osa_grpc.domain.errors import OsaError
from osa_grpc.server.app import Started, stop_on_signals
from osa_grpc.server.app import serve as serve_until
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.logs import configure_logs
from osa_grpc.server.settings import Settings, read_settings
from osa_grpc.server.supervisor import ServerFailedError
from osa_grpc.storage.migrations.schema import SchemaError

_CANNOT_START = 1
_FAILED = 1


def _setting_options(command: click.Command) -> click.Command:
    """Give the command an option for each setting but passwords, which others could see among the processes."""
    for name, field in Settings.model_fields.items():
        if "Secret" in str(field.annotation):
            continue
        flag = f"--{name.replace('_', '-')}"
        shown = f"{field.description} [environment: OSA_{name.upper()}]"
        if field.annotation is bool:
            command.params.append(click.Option([flag], is_flag=True, default=None, help=shown))
        else:
            default = field.get_default(call_default_factory=True)
            command.params.append(
                click.Option(
                    [flag],
                    default=None,
                    help=shown if default in (None, ()) else f"{shown} [default: {default}]",
                )
            )
    return command


@_setting_options
@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="OSA_CONFIG",
    help="A TOML file of settings, by the names below with underscores. [environment: OSA_CONFIG]",
)
def serve(config: Path | None, **flags: Any) -> None:  # noqa: ANN401 - click gives what pydantic reads
    """Run the server until SIGTERM or Ctrl-C.

    Without any setting: an embedded Postgres, files on disk, the Docker engine at its usual place, and loopback only.
    """
    try:
        settings = read_settings(
            {name: value for name, value in flags.items() if value is not None}, config=config
        )
        configure_logs(form=settings.log_format, level=settings.log_level)
        asyncio.run(_serve(settings))
    except (CannotStartError, SchemaError, OsaError) as error:
        click.echo(f"osa-grpc cannot start: {error}", err=True)
        sys.exit(_CANNOT_START)
    except ServerFailedError as error:
        click.echo(f"osa-grpc ended: {error}", err=True)
        sys.exit(_FAILED)


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    await serve_until(settings, on_start=_announce, stop=stop)


def _announce(started: Started) -> None:
    click.echo(f"osa-grpc serves at {started.address}")
    sys.stdout.flush()
