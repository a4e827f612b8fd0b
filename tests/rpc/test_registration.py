"""Registering conventions: what is accepted, what is refused, and that it happens once."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from osa_grpc.client import Client
from osa_grpc.client.channel import Stubs
from osa_grpc.server.app import Started
from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, column, refusal

Connection = "asyncpg.Connection[asyncpg.Record]"


def convention(*hooks: pb.HookDefinition, title: str = "Shapes") -> pb.Convention:
    return pb.Convention(title=title, version="1.0.0", hooks=hooks)


async def stored(connection: Connection) -> dict[str, Any]:
    """How much of everything there is."""
    return {
        name: await connection.fetchval(f"SELECT count(*) FROM osa.{name}")
        for name in ("convention", "feature_table", "event", "delivery")
    } | {"tables": await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'features'")}


async def test_the_same_again_is_the_same_convention(archive: Archive, connection: Connection) -> None:
    first = await archive.convention()
    before = await stored(connection)
    again = await archive.client.register_convention("shapes", convention(archive.hook()))
    assert (again.name, again.state) == (first, pb.CONVENTION_STATE_READY)
    assert await stored(connection) == before


async def test_other_content_under_the_same_name_is_refused_with_what_differs(archive: Archive) -> None:
    await archive.convention()
    error = await refusal(
        archive.client.register_convention("shapes", convention(archive.hook(memory="1g"), title="Other"))
    )
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "CONVENTION_EXISTS")
    [conflict] = [detail for detail in error.details if isinstance(detail, pb.ConventionConflict)]
    assert {(d.field, d.expected, d.found) for d in conflict.differences} == {
        ("convention.title", '"Shapes"', '"Other"'),
        ("convention.hooks[0].oci.limits.memory", '"64m"', '"1g"'),
    }


async def test_other_columns_under_a_hooks_name_are_refused_column_by_column(
    archive: Archive, connection: Connection
) -> None:
    await archive.convention(archive.hook("check", column("score"), column("name", pb.JSON_TYPE_STRING)))
    before = await stored(connection)
    other = archive.hook("check", column("score", pb.JSON_TYPE_INTEGER), column("name", required=True))
    error = await refusal(archive.client.register_convention("others", convention(other)))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "FEATURE_TABLE_CONFLICT")
    [conflict] = [detail for detail in error.details if isinstance(detail, pb.FeatureTableConflict)]
    assert conflict.feature_table == "featureTables/check"
    assert {c.column for c in conflict.columns} == {"score", "name"}
    assert all(c.expected and c.found for c in conflict.columns)
    assert await stored(connection) == before


async def test_a_changed_description_and_a_new_optional_column_are_no_conflict(archive: Archive) -> None:
    await archive.convention(archive.hook("check", column("score", description="how good")))
    await archive.convention(
        archive.hook("check", column("score", description="how good it is"), column("extra")), version="1.1.0"
    )
    table = await archive.client.get_feature_table("featureTables/check")
    found = {c.name: c.description for c in table.columns if not c.system}
    assert found == {"score": "how good it is", "extra": ""}


async def test_four_clients_at_once_get_one_convention(server: Started, archive: Archive) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(server.address)) for _ in range(4)]
        answers = await asyncio.gather(
            *(client.register_convention("shapes", convention(archive.hook())) for client in clients)
        )
    assert len({(answer.name, answer.create_time.ToNanoseconds()) for answer in answers}) == 1
    assert len([one async for one in archive.client.list_conventions()]) == 1


async def test_validating_only_stores_nothing_and_refuses_what_registering_would(
    archive: Archive, connection: Connection
) -> None:
    before = await stored(connection)
    tried = await archive.client.register_convention("shapes", convention(archive.hook()), validate_only=True)
    assert tried.name == "conventions/shapes@1.0.0"
    assert await stored(connection) == before
    await archive.convention()
    error = await refusal(
        archive.client.register_convention("shapes", convention(title="Other"), validate_only=True)
    )
    assert error.reason == "CONVENTION_EXISTS"


async def test_everything_that_is_wrong_is_said_in_one_answer(
    archive: Archive, connection: Connection
) -> None:
    wrong = pb.Convention(
        title="",
        version="one",
        hooks=[
            archive.hook("Check", column("xmin"), column("two words")),
            archive.hook("other", digest="latest", memory="much", cpu="none", timeout_seconds=0),
            pb.HookDefinition(name="empty"),
        ],
    )
    error = await refusal(archive.client.register_convention("Sha pes", wrong))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert error.omitted_count == 0
    assert {violation.field for violation in error.violations} >= {
        "convention_id",
        "convention.title",
        "convention.version",
        "convention.hooks[0].name",
        "convention.hooks[0].table.columns[0].name",
        "convention.hooks[0].table.columns[1].name",
        "convention.hooks[1].oci.digest",
        "convention.hooks[1].oci.limits.memory",
        "convention.hooks[1].oci.limits.cpu",
        "convention.hooks[1].oci.limits.timeout_seconds",
        "convention.hooks[2].runtime",
        "convention.hooks[2].feature",
    }
    assert (await stored(connection))["convention"] == 0


async def test_more_violations_than_an_answer_holds_are_counted(archive: Archive) -> None:
    hooks = [archive.hook(f"Wrong {i}", column("a b"), column("c d")) for i in range(60)]
    error = await refusal(archive.client.register_convention("shapes", convention(*hooks)))
    assert error.omitted_count > 0
    assert len(error.violations) + error.omitted_count == 180


@pytest.mark.parametrize(
    ("unknown", "reason"),
    [
        (b"\x5a\x02\x0a\x00", "UNSUPPORTED_VARIANT"),  # field 11, a runtime of a newer contract
        (b"\xca\x06\x02\x0a\x00", "UNSUPPORTED_FIELD"),  # field 105
    ],
)
async def test_a_part_of_a_newer_contract_is_refused_and_not_dropped(
    archive: Archive, server: Started, unknown: bytes, reason: str
) -> None:
    hook = archive.hook()
    if reason == "UNSUPPORTED_VARIANT":
        hook.ClearField("oci")
    newer = pb.HookDefinition.FromString(hook.SerializeToString() + unknown)
    error = await refusal(archive.client.register_convention("shapes", convention(newer)))
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, reason)
    assert error.violations[0].field.startswith("convention.hooks[0]")


async def test_an_unknown_value_is_refused(archive: Archive) -> None:
    hook = archive.hook("check", column("score", 99))  # type: ignore[arg-type] - of a newer contract
    error = await refusal(archive.client.register_convention("shapes", convention(hook)))
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_VALUE")
    assert error.violations[0].field == "convention.hooks[0].table.columns[0].json_type"


async def test_an_unknown_field_elsewhere_is_ignored(archive: Archive, server: Started) -> None:
    request = pb.RegisterConventionRequest(convention_id="shapes", convention=convention(archive.hook()))
    newer = pb.RegisterConventionRequest.FromString(request.SerializeToString() + b"\xca\x06\x02\x0a\x00")
    async with grpc.aio.insecure_channel(server.address) as channel:
        answer = await Stubs(channel).conventions.RegisterConvention(newer)
    assert answer.convention.name == "conventions/shapes@1.0.0"
