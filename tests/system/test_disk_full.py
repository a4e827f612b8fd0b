"""The disk of the data directory is full: it is named, nothing is lost, and with room everything goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from osa_grpc.client import OsaRpcError
from osa_grpc.domain.errors import ResourceExhaustedError
from osa_grpc.server.health_watch import DATA_DIRECTORY
from osa_grpc.storage.migrations.runner import upgrade
from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, column, kinds, refusal, rows, until
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.server_process import ServerProcess, Serving
from tests.fixtures.small_disk import MIB, SmallDisk, mounted

TITLE = column("title", pb.JSON_TYPE_STRING)
QUICKLY = ("--retry-delay-seconds=0.2", "--max-retry-delay-seconds=0.2")
FILL_ALL = "head -c 1000000000 /dev/zero > /osa/out/large"
"""A hook's line that writes more than any disk here has, far below its quota."""
FILL = f"{FILL_ALL} || exit 1\n"

AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


@pytest.fixture
def disk(small_disk: Callable[[int], SmallDisk]) -> SmallDisk:
    return small_disk(256 * MIB)


@pytest.fixture
def data_directory(disk: SmallDisk) -> Path:
    """The server's data, on the small disk."""
    directory = disk.path / "data"
    directory.mkdir()
    directory.chmod(0o711)
    return directory


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_an_upload_without_room_is_refused_by_name_and_leaves_nothing(
    disk: SmallDisk, serving: Serving, data_directory: Path, tmp_path: Path
) -> None:
    server = await serving.start("--min-free-bytes=0")
    async with serving.archive(server) as archive:
        draft = await archive.draft(await archive.convention())
        early = await archive.client.upload_file(draft, b"early", file_name="early.txt")
        disk.fill(but=20 * MIB)
        content = os.urandom(40 * MIB)
        error = await refusal(archive.client.upload_file(draft, content, file_name="large.bin"))
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
        assert str(data_directory) in error.message
        await until(lambda: len(files_in(data_directory / "files")) == 1)

        await archive.client.download_file(early.name, tmp_path / "early.txt")
        assert (tmp_path / "early.txt").read_bytes() == b"early", "what is there can be read"
        disk.make_room()
        await archive.client.upload_file(draft, content, file_name="large.bin")


async def test_the_last_of_the_disk_is_kept_for_the_database_and_health_says_when_it_begins(
    disk: SmallDisk, serving: Serving, data_directory: Path
) -> None:
    server = await serving.start(f"--min-free-bytes={32 * MIB}", *QUICKLY)
    async with serving.archive(server) as archive, grpc.aio.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)

        async def says(status: int) -> bool:
            answer = await health.Check(health_pb2.HealthCheckRequest(service=DATA_DIRECTORY))
            return bool(answer.status == status)

        await until(lambda: says(health_pb2.HealthCheckResponse.SERVING))
        convention = await archive.convention()
        draft = await archive.draft(convention, scripts={"check": rows('{"score": 1}')})
        disk.fill(but=24 * MIB)
        error = await refusal(archive.client.upload_file(draft, b"small", file_name="small.txt"))
        assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
        assert f"the last {32 * MIB} are kept" in error.message
        await until(lambda: says(health_pb2.HealthCheckResponse.NOT_SERVING))

        run = (await archive.client.submit_deposition(draft)).name
        retrying = (await archive.until(run, "hook_retrying")).hook_retrying
        assert retrying.cause.kind == pb.FAILURE_KIND_ENGINE
        assert str(data_directory) in retrying.cause.message
        disk.make_room()
        assert (await archive.end_of(run)).state == pb.RUN_STATE_COMPLETED
        await until(lambda: says(health_pb2.HealthCheckResponse.SERVING))


async def test_a_hook_that_cannot_be_given_its_inputs_is_tried_again_and_says_which_disk_is_full(
    disk: SmallDisk, serving: Serving, data_directory: Path
) -> None:
    server = await serving.start("--min-free-bytes=0", *QUICKLY)
    async with serving.archive(server) as archive:
        draft = await archive.draft(await archive.convention(), scripts={"check": rows('{"score": 1}')})
        await archive.client.upload_file(draft, os.urandom(4 * MIB), file_name="input.bin")
        disk.fill(but=1 * MIB)
        run = (await archive.client.submit_deposition(draft)).name
        retrying = (await archive.until(run, "hook_retrying")).hook_retrying
        assert retrying.cause.kind == pb.FAILURE_KIND_ENGINE
        assert retrying.cause.retryable
        assert str(data_directory) in retrying.cause.message
        disk.make_room()
        over = await archive.end_of(run)
        assert over.state == pb.RUN_STATE_COMPLETED
        assert over.executions[0].attempt > 1
    assert "Traceback" not in serving.said()


async def test_a_hook_that_fills_the_disk_is_ended_and_tried_again_and_nothing_of_it_stays(
    disk: SmallDisk, serving: Serving, data_directory: Path
) -> None:
    free_bytes = disk.free_bytes
    server = await serving.start(f"--min-free-bytes={32 * MIB}", "--max-attempts=2", *QUICKLY)
    async with serving.archive(server) as archive:
        convention = await archive.convention(archive.hook(memory="512m"))  # which that disk is part of
        over = await archive.finish(convention, check=FILL)
        assert over.state == pb.RUN_STATE_FAILED
        assert over.failure.kind == pb.FAILURE_KIND_ENGINE
        assert over.failure.retryable
        assert str(data_directory) in over.failure.message
        assert "given up after 2 attempts" in over.failure.message
        assert kinds(await archive.history(over.name)).count("hook_retrying") == 1
        await until(lambda: disk.free_bytes > free_bytes - MIB)
        assert (await archive.finish(convention, check="true")).state == pb.RUN_STATE_COMPLETED


async def test_a_hook_that_fills_the_disk_out_of_sight_has_to_go_like_every_other(
    disk: SmallDisk, serving: Serving, data_directory: Path
) -> None:
    server = await serving.start(f"--min-free-bytes={64 * MIB}", "--max-attempts=2", *QUICKLY)
    async with serving.archive(server) as archive:
        convention = await archive.convention(archive.hook(memory="512m"))  # which that disk is part of
        hidden = "exec 3> /osa/out/hidden; rm /osa/out/hidden\ncat /dev/zero >&3; sleep 60\n"
        over = await archive.finish(convention, check=hidden)
        assert (over.state, over.failure.kind) == (pb.RUN_STATE_FAILED, pb.FAILURE_KIND_ENGINE)
        assert str(data_directory) in over.failure.message
        await until(lambda: disk.free_bytes > 200 * MIB)


async def test_a_hook_that_ends_well_on_a_full_disk_has_passed(disk: SmallDisk, serving: Serving) -> None:
    server = await serving.start("--min-free-bytes=0")
    async with serving.archive(server) as archive:
        run = await archive.start(await archive.convention(), check=rows('{"score": 1}') + WAIT)
        await archive.until(run, "hook_started")
        await until(lambda: files_in(archive.data_directory / "work"))
        disk.fill(but=MIB)
        archive.go(run)
        assert (await archive.end_of(run)).state == pb.RUN_STATE_COMPLETED


# The embedded Postgres, beside the files and on a disk of its own.


@pytest.fixture(params=["on the disk of the files", "on a disk of its own"])
def postgres_disk(
    request: pytest.FixtureRequest, disk: SmallDisk, data_directory: Path
) -> Iterator[SmallDisk]:
    with ExitStack() as stack:
        if request.param == "on the disk of the files":
            yield disk
        else:
            own = data_directory / "postgres"
            own.mkdir()
            yield stack.enter_context(mounted(own, size_bytes=200 * MIB))


async def test_a_full_database_refuses_what_it_cannot_store_and_loses_nothing_that_it_has_answered(
    postgres_disk: SmallDisk, embedded_serving: Serving
) -> None:
    server = await embedded_serving.start("--min-free-bytes=0")
    stored: list[str] = []
    async with embedded_serving.archive(server) as archive:
        convention = await archive.convention(metadata=[TITLE])
        postgres_disk.fill()
        refused = await until_refused(archive, convention, stored)
        assert refused.code in AWAY
        assert refused.reason.startswith("DATABASE_")
        postgres_disk.make_room()
    if server.process.returncode is not None:  # the log of Postgres was what had no room
        server = await embedded_serving.start()
    async with embedded_serving.archive(server) as archive:
        stored.append(await created(archive, convention))
        for name in stored:
            assert (await archive.client.get_deposition(name)).name == name
        assert (await archive.finish(convention, check="true")).state == pb.RUN_STATE_COMPLETED


async def test_without_room_for_its_log_postgres_ends_and_the_server_says_so_in_a_sentence(
    postgres_disk: SmallDisk, embedded_serving: Serving, data_directory: Path
) -> None:
    server = await embedded_serving.start("--min-free-bytes=0", "--log-level=error")
    async with embedded_serving.archive(server) as archive:
        convention = await archive.convention(metadata=[TITLE])
        stored = [await created(archive, convention) for _ in range(10)]
        postgres_disk.fill()
        await use_up_the_log(data_directory, server)
    assert await server.over() == 1
    sentence = embedded_serving.said().splitlines()[-1]
    assert sentence.startswith("osa-grpc ended: ")
    assert f"no room is left on the disk of {data_directory}/postgres." in sentence

    said = await embedded_serving.refused("--log-level=error")
    assert said.startswith("osa-grpc cannot start: ")
    assert said.count("\n") == 1
    assert f"no room is left on the disk of {data_directory}/postgres." in said

    postgres_disk.make_room()
    server = await embedded_serving.start("--min-free-bytes=0")
    async with embedded_serving.archive(server) as archive:
        for name in stored:
            assert (await archive.client.get_deposition(name)).name == name
        assert (await archive.finish(convention, check="true")).state == pb.RUN_STATE_COMPLETED


@pytest.mark.parametrize("then", ["exit 1", "exit 0", "sleep 600"])
async def test_a_hook_that_fills_the_disk_of_the_database_ends_and_the_archive_goes_on(
    disk: SmallDisk, embedded_serving: Serving, data_directory: Path, then: str
) -> None:
    server = await embedded_serving.start(f"--min-free-bytes={48 * MIB}", "--max-attempts=2", *QUICKLY)
    async with embedded_serving.archive(server) as archive:
        convention = await archive.convention(archive.hook(memory="512m"))  # which that disk is part of
        over = await archive.finish(convention, check=f"echo begins\n{FILL_ALL}\necho is full\n{then}")
        assert over.failure.kind == pb.FAILURE_KIND_ENGINE
        assert str(data_directory) in over.failure.message
        assert (await archive.finish(convention, check="true")).state == pb.RUN_STATE_COMPLETED


@pytest.mark.parametrize("size_kib", [100, 20_000, 38_000, 39_500, 40_400, 41_000])
async def test_a_server_that_finds_too_little_room_at_its_start_says_so_in_a_sentence(
    size_kib: int, small_disk: Callable[[int], SmallDisk], serving: Serving
) -> None:
    # Where it stops differs by the release of Postgres; on the largest of these disks it may just start.
    directory = small_disk(size_kib * 1024).path / "data"
    flags = [flag for flag in serving.flags if not flag.startswith(("--data-directory", "--database-url"))]
    serving.flags = [*flags, f"--data-directory={directory}", "--log-level=error"]
    process = await serving.run()
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), timeout=60)
    if not line:
        assert await process.wait() == 1
        said = serving.said()
        assert said.startswith("osa-grpc cannot start: ")
        assert said.count("\n") == 1
        assert "disk" in said


# A Postgres of one's own, whose disk is full.


@pytest.fixture
def full_database(
    postgres: PostgresServer, small_disk: Callable[[int], SmallDisk]
) -> Iterator[tuple[SmallDisk, str]]:
    """A disk, and a database that lies on it and has no schema yet, on the tests' own server."""
    small = small_disk(64 * MIB)
    place = small.path / "tablespace"
    place.mkdir(mode=0o700)
    owner = (Path(postgres.socket_directory).parent / "cluster").stat()
    os.chown(place, owner.st_uid, owner.st_gid)
    name = f"small_{uuid4().hex}"
    postgres.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
    try:
        postgres.execute(f"CREATE DATABASE {name} TEMPLATE template0 TABLESPACE {name}")
        yield small, postgres.dsn_of(name)
    finally:
        small.make_room()
        postgres.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        postgres.execute(f"DROP TABLESPACE {name}")


async def test_a_migration_without_room_changes_nothing_and_says_why(
    full_database: tuple[SmallDisk, str],
) -> None:
    disk, dsn = full_database
    disk.fill()
    with pytest.raises(ResourceExhaustedError, match="The database's disk is full"):
        await upgrade(dsn)
    disk.make_room()
    await upgrade(dsn)


async def test_a_run_waits_while_a_database_of_ones_own_is_full_and_calls_say_why(
    full_database: tuple[SmallDisk, str], serving: Serving
) -> None:
    disk, dsn = full_database
    await upgrade(dsn)
    serving.flags = [flag for flag in serving.flags if not flag.startswith("--database-url")]
    server = await serving.start(f"--database-url={dsn}", "--min-free-bytes=0")
    stored: list[str] = []
    async with serving.archive(server) as archive:
        convention = await archive.convention(metadata=[TITLE])
        run = await archive.start(convention, check=WAIT + "seq 100000 && " + rows('{"score": 1}'))
        await archive.until(run, "hook_started")
        disk.fill()
        refused = await until_refused(archive, convention, stored)
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "DATABASE_DISK_FULL",
        )
        archive.go(run)  # its log finds no room
        await until(lambda: "reason=DATABASE_DISK_FULL" in serving.said())
        assert (await archive.client.get_run(run)).state == pb.RUN_STATE_RUNNING
        disk.make_room()
        over = await archive.end_of(run)
        assert over.state == pb.RUN_STATE_COMPLETED
        assert over.executions[0].attempt == 1
        for name in stored:
            assert (await archive.client.get_deposition(name)).name == name


async def created(archive: Archive, convention: str) -> str:
    """A draft whose metadata take some room: they do not compress well."""
    made = await archive.client.create_deposition(convention, metadata={"title": os.urandom(200_000).hex()})
    return made.name


async def until_refused(archive: Archive, convention: str, stored: list[str]) -> OsaRpcError:
    """Store drafts until one is refused; note those that were answered OK."""
    while True:
        try:
            stored.append(await created(archive, convention))
        except OsaRpcError as error:
            return error


async def use_up_the_log(data_directory: Path, server: ServerProcess) -> None:
    """Write to the log of Postgres until it needs another file, which it cannot have."""
    socket = data_directory / "postgres" / "socket"
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        connection = await asyncpg.connect(f"postgresql://postgres@/postgres?host={socket}")
        while server.process.returncode is None:
            await connection.execute("SELECT pg_switch_wal()")
            await connection.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")


@pytest.mark.timeout(180)
async def test_rows_for_which_the_disk_has_no_room_end_their_run_and_not_the_server(
    small_disk: Callable[[int], SmallDisk], embedded_serving: Serving
) -> None:
    disk = small_disk(400 * MIB)
    data_directory = disk.path / "data"
    data_directory.mkdir(mode=0o711)
    embedded_serving.data_directory = data_directory
    server = await embedded_serving.start(
        f"--data-directory={data_directory}", f"--min-free-bytes={96 * MIB}", *QUICKLY
    )
    many = (
        "(echo '['; yes '{\"score\":1},' | head -n 2500000; echo '{\"score\":1}]') > /osa/out/features.json\n"
    )
    async with embedded_serving.archive(server) as archive:
        convention = await archive.convention(archive.hook(timeout_seconds=300))
        over = await archive.finish(convention, check=many)
        assert over.state == pb.RUN_STATE_FAILED
        assert over.failure.kind == pb.FAILURE_KIND_INTERNAL
        assert over.failure.retryable
        assert str(data_directory) in over.failure.message
        assert [row async for row in archive.client.query("featureTables/check")] == []
        assert disk.free_bytes > 32 * MIB
        small = await archive.draft(convention)
        assert small
    assert server.process.returncode is None
