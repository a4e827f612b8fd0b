"""The program `osa-grpc`."""

import sys

import click

from osa_grpc.cli import exit_codes
from osa_grpc.cli.error_report import report
from osa_grpc.cli.invocation import Invocation, output_option, server_option, timeout_option, tls_options
from osa_grpc.cli.lazy_group import LazyCommand, LazyGroup

_COMMANDS = {
    name: LazyCommand(module=f"osa_grpc.cli.{module}", attribute=attribute, help=text)
    for name, module, attribute, text in (
        ("convention", "conventions", "convention", "Register and look at conventions."),
        ("deposit", "deposit", "deposit", "Deposit files, submit them and follow the run."),
        ("deposition", "depositions", "deposition", "Look at, download and delete depositions."),
        ("run", "runs", "run", "Look at, watch and cancel runs; read their logs."),
        ("record", "records", "record", "Look at what was published."),
        ("feature", "features", "feature", "Query what hooks computed."),
        ("hook", "hooks", "hook", "Look at hooks across conventions; build the image of one."),
        (
            "delivery",
            "deliveries",
            "delivery",
            "Look at what the service owes its handlers; retry what is dead.",
        ),
        ("contract", "contract", "contract", "Write the contract, to make a client in another language."),
        ("server", "server_info", "server", "Ask what a server can do."),
        ("serve", "serve", "serve", "Start a server on this machine."),
        ("migrate", "migrate", "migrate", "Bring a database's tables up to date."),
        ("doctor", "doctor", "doctor", "Say what is missing on this machine, and how to mend it."),
        ("demo", "demo", "demo", "See it all work on real data."),
    )
}

_PLURALS = {
    "conventions": "convention",
    "depositions": "deposition",
    "runs": "run",
    "records": "record",
    "features": "feature",
    "hooks": "hook",
    "deliveries": "delivery",
}

_EPILOG = """\
Exit codes: 0 ok, 1 unexpected error, 2 wrong usage, 3 not found, 4 invalid request, 5 the state does not allow it
(or a conflict), 6 unavailable, 7 deadline passed, 8 not allowed, 10 the run was rejected, 11 the run (or convention)
failed, 12 the run was cancelled, 130 interrupted.
"""


class _Program(LazyGroup):
    """The program: whatever goes wrong in a command is shown in one way."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(exit_codes.INTERRUPTED)
        except BrokenPipeError:
            _drop_stdout()
            ctx.exit(exit_codes.UNEXPECTED)
        except Exception as error:
            code = report(_cause(error), as_json=ctx.ensure_object(Invocation).output == "json")
            if code is None:
                raise
            ctx.exit(code)


def _cause(error: Exception) -> Exception:
    """The error itself, of what a group of tasks was ended by."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _drop_stdout() -> None:
    """Nobody reads on: let the interpreter's last flush go nowhere."""
    sys.stdout = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it lives as long as the process


@click.group(
    cls=_Program,
    table=_COMMANDS,
    also=_PLURALS,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": None},
)
@click.version_option(package_name="osa-grpc", message="osa-grpc %(version)s")
@server_option(envvar="OSA_SERVER")
@tls_options(envvars=True)
@output_option
@timeout_option
def cli() -> None:
    """Deposit data in a science archive, watch it being judged, query what came out."""


def main() -> None:
    """Run the program."""
    try:
        cli()
    except KeyboardInterrupt:
        sys.exit(exit_codes.INTERRUPTED)
