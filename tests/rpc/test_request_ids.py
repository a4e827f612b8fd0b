"""A request id makes a change happen once, however often it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import asyncpg
import grpc

from osa_grpc.client import Client
from osa_grpc.server.app import Started, running
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, kinds, refusal, until

T = TypeVar("T")


async def test_the_same_request_again_gets_the_same_answer(archive: Archive) -> None:
    client = archive.client
    convention = await archive.convention()
    first = await client.create_deposition(convention, request_id="one")
    again = await client.create_deposition(convention, request_id="one")
    assert again == first
    assert len([draft async for draft in client.list_depositions()]) == 1


async def test_another_request_under_the_same_id_is_refused(archive: Archive) -> None:
    client = archive.client
    convention = await archive.convention()
    draft = await client.create_deposition(convention, request_id="one")
    other = await archive.convention(version="2.0.0")
    error = await refusal(client.create_deposition(other, request_id="one"))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert [violation.field for violation in error.violations] == ["request_id"]
    assert [found.name async for found in client.list_depositions()] == [draft.name]


async def test_the_same_request_many_times_at_once_happens_once(archive: Archive) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention(), scripts={"check": ""})
    runs = await asyncio.gather(*(client.submit_deposition(draft, request_id="go") for _ in range(6)))
    assert len({run.name for run in runs}) == 1
    assert len([run async for run in client.list_runs()]) == 1
    await archive.end_of(runs[0].name)
    assert (await client.submit_deposition(draft, request_id="go")) == runs[0]


async def test_a_refusal_is_not_kept_for_a_request_id(archive: Archive) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention())
    assert (await refusal(client.submit_deposition(draft, request_id="go"))).reason == "DEPOSITION_INCOMPLETE"
    await client.upload_file(draft, b"", file_name="check.sh")
    await archive.end_of((await client.submit_deposition(draft, request_id="go")).name)


async def test_an_upload_again_is_the_same_file_and_other_bytes_are_refused(
    archive: Archive, tmp_path: Path
) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention())
    first = await client.upload_file(draft, b"one", file_name="a", request_id="up")
    assert await client.upload_file(draft, b"one", file_name="a", request_id="up") == first
    error = await refusal(client.upload_file(draft, b"two", file_name="a", request_id="up"))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert [file.name async for file in client.list_files(draft)] == [first.name]
    await client.download_file(first.name, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"one"
    stored = [path for path in (archive.data_directory / "files").rglob("*") if path.is_file()]
    assert len(stored) == 1


async def test_a_deletion_again_is_answered_and_deletes_nothing_new(archive: Archive) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention(), scripts={"check": ""})
    name = f"{draft}/files/check.sh"
    await client.delete_file(name, request_id="away")
    await client.upload_file(draft, b"new", file_name="check.sh")
    await client.delete_file(name, request_id="away")
    assert [file.name async for file in client.list_files(draft)] == [name]


async def test_an_id_that_is_too_long_is_refused(archive: Archive) -> None:
    convention = await archive.convention()
    error = await refusal(archive.client.create_deposition(convention, request_id="x" * 129))
    assert [violation.field for violation in error.violations] == ["request_id"]
    registered = pb.Convention(title="Other", version="1.0.0")
    same = await archive.client.register_convention("other", registered, request_id="x" * 128)
    assert same.name == "conventions/other@1.0.0"


async def test_an_answer_outlives_the_server_that_gave_it(
    server_settings: Settings, obedient_image: str
) -> None:
    async def once() -> tuple[pb.Convention, pb.Deposition, pb.DepositionFile, pb.Run]:
        """A server's whole life, with the same requests."""
        async with running(server_settings) as (started, _), Client(started.address) as client:
            archive = Archive(
                client=client, data_directory=server_settings.data_directory, image_id=obedient_image
            )
            asked = pb.Convention(title="Shapes", version="1.0.0", hooks=[archive.hook()])
            convention = await client.register_convention("shapes", asked, request_id="register")
            await client.wait_until_ready(convention.name)
            draft = await client.create_deposition(convention.name, request_id="create")
            file = await client.upload_file(draft.name, b"", file_name="check.sh", request_id="upload")
            run = await client.submit_deposition(draft.name, request_id="submit")
            await archive.end_of(run.name)
            assert len([found async for found in client.list_depositions()]) == 1
            assert len([found async for found in client.list_runs()]) == 1
            return convention, draft, file, run

    first = await once()
    assert await once() == first


async def at_once(server: Started, act: Callable[[Client], Awaitable[T]]) -> T:
    """Have eight clients do the same at once; return their answer, which is the same for all."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(server.address)) for _ in range(8)]
        answers = await asyncio.gather(*(act(client) for client in clients))
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


async def test_every_change_by_many_clients_at_once_happens_once(
    archive: Archive, server: Started, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async def count(table: str) -> int:
        return int(await connection.fetchval(f"SELECT count(*) FROM osa.{table}"))

    asked = pb.Convention(
        title="Shapes", version="1.0.0", hooks=[archive.hook()], review=pb.REVIEW_MODE_MANUAL
    )
    made = await at_once(server, lambda client: client.register_convention("shapes", asked, request_id="1"))
    await archive.client.wait_until_ready(made.name)
    assert await count("convention") == 1

    draft = await at_once(server, lambda client: client.create_deposition(made.name, request_id="2"))
    name = draft.name
    assert await count("deposition") == 1

    changed = await at_once(
        server, lambda client: client.update_deposition(name, metadata={}, request_id="3", etag=draft.etag)
    )
    assert changed.etag != draft.etag
    file = await at_once(server, lambda client: client.upload_file(name, b"", file_name="a", request_id="4"))
    await at_once(server, lambda client: client.delete_file(file.name, request_id="5"))
    await at_once(
        server, lambda client: client.upload_file(name, b"exit 3", file_name="check.sh", request_id="6")
    )
    assert await count("deposition_file") == 1

    run = await at_once(server, lambda client: client.submit_deposition(name, request_id="7"))
    assert (await archive.end_of(run.name)).state == pb.RUN_STATE_FAILED
    again = await at_once(server, lambda client: client.retry_run(run.name, request_id="8"))
    await archive.end_of(again.name)
    assert await count("run") == 2

    await archive.client.delete_file(f"{name}/files/check.sh")
    await archive.client.upload_file(name, b"", file_name="check.sh")
    reviewed = (await archive.client.submit_deposition(name)).name
    await archive.until(reviewed, "review_requested")
    await at_once(server, lambda client: client.approve_run(reviewed, request_id="9"))
    assert (await archive.end_of(reviewed)).state == pb.RUN_STATE_COMPLETED
    assert [kind for kind in kinds(await archive.history(reviewed)) if kind == "reviewed"] == ["reviewed"]

    waiting = await archive.start(made.name, check=WAIT)
    await archive.until(waiting, "hook_started")
    await at_once(server, lambda client: client.cancel_run(waiting, request_id="10"))
    assert (await archive.end_of(waiting)).state == pb.RUN_STATE_CANCELLED
    told = kinds(await archive.history(waiting))
    assert told.count("cancel_requested") == 1

    other = await archive.draft(made.name)
    await at_once(server, lambda client: client.delete_deposition(other, request_id="11"))
    assert await count("request") >= 11


async def test_an_answer_is_forgotten_after_its_time_and_the_id_is_as_good_as_new(
    server_settings: Settings, connection: "asyncpg.Connection[asyncpg.Record]", obedient_image: str
) -> None:
    brief = server_settings.model_copy(update={"request_id_retention_seconds": 1})
    async with running(brief) as (started, _), Client(started.address) as client:
        assert (await client.server_info()).limits.request_id_retention.ToSeconds() == 1
        archive = Archive(client=client, data_directory=brief.data_directory, image_id=obedient_image)
        convention = await archive.convention()
        first = await client.create_deposition(convention, request_id="one")

        async def forgotten() -> bool:
            return not await connection.fetchval("SELECT count(*) FROM osa.request")

        await until(forgotten)
        second = await client.create_deposition(convention, request_id="one")
        assert second.name != first.name


async def test_answers_are_kept_for_a_day_unless_the_operator_says_otherwise(
    archive: Archive, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert (await archive.client.server_info()).limits.request_id_retention.ToTimedelta() == timedelta(days=1)
    convention = await archive.convention()
    first = await archive.client.create_deposition(convention, request_id="one")
    await connection.execute("UPDATE osa.request SET created_at = now() - interval '23 hours 59 minutes'")
    assert await archive.client.create_deposition(convention, request_id="one") == first
