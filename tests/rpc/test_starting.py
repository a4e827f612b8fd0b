"""What a server needs to start, what it says when it cannot, and where its settings come from."""

import asyncio
import os
import traceback
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from osa_grpc.client import Client
from osa_grpc.domain.errors import UnavailableError
from osa_grpc.server import app
from osa_grpc.server.app import Started, running, serve
from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.directory_lock import DirectoryLock
from osa_grpc.server.settings import Settings, read_settings
from osa_grpc.storage.database import Database
from osa_grpc.storage.migrations import schema
from osa_grpc.storage.migrations.runner import upgrade
from osa_grpc.storage.migrations.schema import SchemaError
from tests.fixtures.postgres import PostgresServer


async def refusal(settings: Settings, *errors: type[Exception]) -> str:
    with pytest.raises(errors or CannotStartError) as caught:
        async with running(settings):
            pass
    return str(caught.value)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that waits for its database for a moment only."""

    def make(**parts: Any) -> Database:
        return Database(**{**parts, "connect_patience": timedelta(seconds=0.2)})

    monkeypatch.setattr(app, "Database", make)
    monkeypatch.setattr(schema, "Database", make)


async def test_a_second_server_on_the_same_data_is_refused_clearly(
    server: Started, server_settings: Settings
) -> None:
    said = await refusal(server_settings)
    assert str(server_settings.data_directory) in said
    async with Client(server.address) as client:
        assert (await client.server_info()).version


async def test_an_address_that_is_taken_is_refused_clearly(
    server: Started, server_settings: Settings, data_directory: Path, empty_database_dsn: str
) -> None:
    await upgrade(empty_database_dsn)
    other = data_directory / "other"
    other.mkdir()
    said = await refusal(
        server_settings.model_copy(
            update={"listen": server.address, "data_directory": other, "database_url": empty_database_dsn}
        )
    )
    assert server.address in said
    assert "--listen" in said


async def test_a_database_that_was_not_migrated_is_refused_with_the_command(
    server_settings: Settings, empty_database_dsn: str
) -> None:
    said = await refusal(server_settings.model_copy(update={"database_url": empty_database_dsn}), SchemaError)
    assert "osa-grpc migrate" in said


@pytest.mark.parametrize("where", ["nobody listens", "no such database"])
async def test_a_database_that_is_not_there_is_named_without_its_password(
    patience: None, server_settings: Settings, database_dsn: str, where: str
) -> None:
    dsn = {
        "nobody listens": "postgresql://me:secret@127.0.0.1:1/osa",
        "no such database": database_dsn.replace("/test_", "/none_"),
    }[where]
    said = await refusal(
        server_settings.model_copy(update={"database_url": dsn}), UnavailableError, CannotStartError
    )
    assert "127.0.0.1:1/osa" in said or "none_" in said
    assert "secret" not in said


async def test_a_database_that_comes_a_moment_later_is_waited_for(
    postgres_server: PostgresServer, server_settings: Settings
) -> None:
    settings = server_settings.model_copy(update={"database_url": postgres_server.dsn})
    await asyncio.to_thread(postgres_server.stop)
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(stack.enter_async_context(running(settings)))
        await asyncio.sleep(0)
        await asyncio.to_thread(postgres_server.start)
        started, _ = await starting
        async with Client(started.address) as client:
            assert [one async for one in client.list_runs()] == []


async def test_a_server_that_waits_for_its_database_can_be_stopped(server_settings: Settings) -> None:
    settings = server_settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/osa"})
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(settings, on_start=lambda _: None, stop=stop))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(5):
        await serving
    assert (server_settings.data_directory / "lock").exists()
    with DirectoryLock(directory=server_settings.data_directory):
        pass  # it was given back


def test_an_address_that_others_reach_needs_the_word_insecure(tmp_path: Path) -> None:
    given = {"data_directory": str(tmp_path)}
    for address in ("0.0.0.0:0", "192.0.2.1:50051", "[::]:1", "archive.example.org:1"):
        with pytest.raises(CannotStartError, match="--insecure"):
            read_settings({**given, "listen": address}, config=None)
        assert read_settings({**given, "listen": address, "insecure": True}, config=None).listen == address
    for address in ("127.0.0.1:0", "localhost:1", "[::1]:1"):
        assert read_settings({**given, "listen": address}, config=None).listen == address


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "osa.toml"
    config.write_text('srn_domain = "file.example.org"\nmax_running_hooks = 7\nlease_seconds = 11\n')
    monkeypatch.setenv("OSA_SRN_DOMAIN", "environment.example.org")
    monkeypatch.setenv("OSA_MAX_RUNNING_HOOKS", "8")
    settings = read_settings({"srn_domain": "flag.example.org"}, config=config)
    assert (settings.srn_domain, settings.max_running_hooks, settings.lease_seconds) == (
        "flag.example.org",
        8,
        11,
    )


def test_logins_to_registries_come_from_the_file_or_the_environment_and_are_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "osa.toml"
    config.write_text('[registry_logins]\n"registry.example.org" = "archive:pass-word"\n')
    settings = read_settings({}, config=config)
    assert settings.registry_logins["registry.example.org"].get_secret_value() == "archive:pass-word"
    assert "pass-word" not in repr(settings)
    monkeypatch.setenv("OSA_REGISTRY_LOGINS", '{"other.example.org": "archive:pass-word"}')
    assert "other.example.org" in read_settings({}, config=None).registry_logins
    for wrong in ('{"registry.example.org": "pass-word"}', "pass-word", '["pass-word"]'):
        monkeypatch.setenv("OSA_REGISTRY_LOGINS", wrong)
        with pytest.raises(CannotStartError, match="registry_logins") as caught:
            read_settings({}, config=None)
        assert "pass-word" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda config: config.write_text("colour = 1\n"), "colour"),
        (lambda config: config.write_text('max_running_hooks = "many"\n'), "max_running_hooks"),
        (lambda config: config.write_text("not TOML"), "osa.toml"),
        (lambda config: config.mkdir(), "osa.toml"),
        (lambda _: None, "osa.toml"),
    ],
)
def test_a_setting_that_is_not_valid_is_named(
    tmp_path: Path, write: Callable[[Path], object], says: str
) -> None:
    config = tmp_path / "osa.toml"
    write(config)
    with pytest.raises(CannotStartError, match=says):
        read_settings({}, config=config)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3c/r3t@h0st/db",
        "postgresql://u:12/s3c@h0st/db",
        "postgresql://u:12#s3c@h0st/db",
        "postgresql://u:12?s3c@h0st/db",
        "postgresql://u:s3c@r3t@h0st/db",
        "postgresql://u:s3c[r3t@h0st/db",
        "postgresql://u:s3c@h0st:port/db",
        "postgresql://u:s3c@h0st:65536/db",
        "postgresql://u:s3c@h0st/db?port=many",
        "mysql://u:s3c@h0st/db",
        "u:s3c@h0st",
    ],
)
def test_the_address_of_a_database_that_is_not_one_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(CannotStartError, match=r"database_url: expected .* percent-encoded") as caught:
        read_settings({"database_url": url}, config=None)
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(part in shown for part in ("s3c", "r3t", "h0st"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:sec%2Fret@localhost:5432/db",
        "postgres://[::1]/db",
        "postgresql:///osa?host=/run/postgresql&port=5433",
        "postgresql://osa@db.example.org/osa?sslmode=verify-full",
    ],
)
def test_the_address_of_a_database_is_taken_as_it_is(url: str) -> None:
    assert read_settings({"database_url": url}, config=None).database_url == url


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "-1", "1e10"])
@pytest.mark.parametrize("name", ["retry_delay_seconds", "lease_seconds"])
def test_a_time_without_end_is_refused(name: str, seconds: str) -> None:
    with pytest.raises(CannotStartError, match=name):
        read_settings({name: seconds}, config=None)


@pytest.mark.parametrize(
    ("gigabytes", "cores", "expected"), [(64, 4, "8g"), (8, 1, "2g"), (4, 8, "2g"), (33, 4, "4224m")]
)
def test_hooks_that_leak_in_every_place_leave_half_of_a_large_machine_to_all_else(
    monkeypatch: pytest.MonkeyPatch, gigabytes: int, cores: int, expected: str
) -> None:
    machine = {"SC_PHYS_PAGES": gigabytes * 2**18, "SC_PAGE_SIZE": 2**12}
    monkeypatch.setattr(os, "sysconf", machine.__getitem__)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert read_settings({}, config=None).max_retry_memory == expected


async def test_a_data_directory_that_the_engine_has_elsewhere_is_refused_with_the_setting_and_both_paths(
    server_settings: Settings, tmp_path: Path
) -> None:
    said = await refusal(server_settings.model_copy(update={"host_data_directory": tmp_path / "nowhere"}))
    assert "host_data_directory" in said
    assert str(server_settings.data_directory) in said
    assert f"{tmp_path}/nowhere" in said
