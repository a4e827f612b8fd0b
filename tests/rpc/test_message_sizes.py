"""No answer is too large for a message: the worst that the contract allows is stored, and every read of it answers.

Server and client both refuse a message of more than 4 MiB, so that an answer that comes is small enough.
"""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import grpc
import pytest

from osa_grpc.application.querying import _token_bytes
from osa_grpc.client import Client
from osa_grpc.domain.column import SYSTEM_COLUMNS, ColumnType, QueryColumn
from osa_grpc.domain.deposition import MAX_METADATA_BYTES
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.filter import SortKey
from osa_grpc.domain.names import ConventionRef, ExecutionId, RunId, new_id
from osa_grpc.domain.position import TEXT_KEY_CHARACTERS, position_text
from osa_grpc.domain.row_size import MAX_ROW_BYTES, SYSTEM_BYTES, fixed_bytes
from osa_grpc.domain.run import DepositionSource, HookExecution, HookProgress, Run
from osa_grpc.domain.run_event import HookProgressed
from osa_grpc.server.settings import Settings
from osa_grpc.storage.database import Database
from osa_grpc.storage.feature_rows import PostgresFeatureRowStore
from osa_grpc.storage.feature_table_store import PostgresFeatureTableStore
from osa_grpc.storage.transaction import PostgresStorage
from osa_grpc.wire import pb, tokens
from osa_grpc.wire.hook_codec import hook_from_proto
from tests.fixtures.archive import refusal
from tests.fixtures.feature_tables import given, publish_record
from tests.fixtures.stated_rules import text_rule
from tests.fixtures.storage import a_deposition

WIDE: Final = "😀"
"""A character of four bytes, and of twelve in the JSON of a token."""
MAX_CONVENTION_BYTES: Final = 2**20
"""As `RegisterConventionRequest.convention` says."""


@pytest.fixture
def server_settings(database_dsn: str, data_directory: Path) -> Settings:
    """Without an engine: no hook runs here."""
    return Settings(
        listen="127.0.0.1:0",
        database_url=database_dsn,
        docker_host=f"unix://{data_directory}/no-engine.sock",
        data_directory=data_directory,
        stop_grace_seconds=1,
        drain_seconds=2,
        log_level="error",
    )


def longest(field: str) -> str:
    """The longest text that a field's comment allows, in the widest characters."""
    return WIDE * max(text_rule(field, of_a_table=False).numbers)


def column(i: int) -> pb.ColumnDef:
    """A column whose description takes as much as it may."""
    return pb.ColumnDef(
        name=f"c{i}_".ljust(63, "x"),
        json_type=pb.JSON_TYPE_STRING,
        description=longest("ColumnDef.description"),
        unit=longest("ColumnDef.unit"),
    )


def hook(name: str, *columns: pb.ColumnDef) -> pb.HookDefinition:
    return pb.HookDefinition(
        name=name.ljust(63, "x"),
        oci=pb.OciConfig(image="i" * 512, digest="sha256:" + 64 * "0"),
        table=pb.TableFeatureSpec(cardinality=pb.CARDINALITY_MANY, columns=columns),
    )


def convention(*hooks: pb.HookDefinition, version: str = "1.0.0") -> pb.Convention:
    return pb.Convention(title="Shapes", version=version, hooks=hooks)


async def ready(client: Client, definition: pb.Convention, *, convention_id: str = "shapes") -> str:
    """The name of a convention, whose states were all told."""
    made = await client.register_convention(convention_id, definition)
    [*_, last] = [told.state async for told in client.watch_convention(made.name)]
    assert last == pb.CONVENTION_STATE_READY
    return made.name


async def test_what_a_table_of_the_most_and_longest_columns_is_told_in(client: Client) -> None:
    widest = [column(i) for i in range(256)]
    for i in range(5):
        await ready(client, convention(hook(f"h{i}", *widest), version=f"1.0.{i}"))
    name = hook("h0").name
    table = await client.get_feature_table(f"featureTables/{name}")
    assert len(table.table.columns) == 256
    assert table.ByteSize() > 10**6
    assert len([found async for found in client.list_feature_tables(page_size=1000)]) == 5
    assert (await client.get_hook(f"hooks/{name}")).definition.table.columns == widest
    assert len([found async for found in client.list_hooks(page_size=1000)]) == 5
    assert len([found async for found in client.list_conventions(page_size=1000)]) == 5
    [page] = [page async for page in client.query_pages(f"featureTables/{name}")]
    assert len(page.columns) == 260


async def test_a_table_that_grew_over_conventions_has_no_more_columns_than_one(client: Client) -> None:
    for i in range(4):
        part = [column(64 * i + k) for k in range(64)]
        await ready(client, convention(hook("grown", *part), version=f"1.0.{i}"))
    table = await client.get_feature_table(f"featureTables/{hook('grown').name}")
    assert len(table.table.columns) == 256
    one_more = convention(hook("grown", column(256)), version="1.0.4")
    error = await refusal(client.register_convention("shapes", one_more))
    assert error.reason == "FEATURE_TABLE_CONFLICT"
    uses = [use async for use in client.list_hook_uses(f"hooks/{hook('grown').name}", page_size=1000)]
    assert len(uses) == 4


def as_large_as_may_be(version: str) -> pb.Convention:
    """A convention of as many bytes as it may have, most of whose answer's defaults it leaves out."""
    made = convention(*(hook(f"h{i}") for i in range(64)), version=version)
    config = made.hooks[0].oci.config
    config["text"] = "x" * (MAX_CONVENTION_BYTES // 2)
    while missing := MAX_CONVENTION_BYTES - made.ByteSize():
        config["text"] = "x" * (len(str(config["text"])) + missing)
    return made


async def test_a_convention_of_the_most_bytes_is_told_and_one_of_more_is_refused(client: Client) -> None:
    names = [await ready(client, as_large_as_may_be(f"1.0.{i}")) for i in range(5)]
    assert (await client.get_convention(names[0])).ByteSize() > MAX_CONVENTION_BYTES
    assert [found.name async for found in client.list_conventions(page_size=1000)] == names[::-1]
    used = f"hooks/{hook('h0').name}"
    assert (await client.get_hook(used)).convention_count == 5
    assert len([use async for use in client.list_hook_uses(used, page_size=1000)]) == 5
    assert len([found async for found in client.list_hooks(page_size=1000)]) == 64

    larger = as_large_as_may_be("2.0.0")
    larger.description = "x"
    error = await refusal(client.register_convention("shapes", larger))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert [(found.field, found.reason) for found in error.violations] == [("convention", "TOO_LARGE")]


async def test_metadata_that_is_largest_as_it_is_sent_is_told(client: Client) -> None:
    notes = pb.ColumnDef(name="n", json_type=pb.JSON_TYPE_ARRAY)
    made = await ready(client, pb.Convention(title="Shapes", version="1.0.0", metadata_schema=[notes]))
    rules = pb.FileRequirements(min_count=0)
    free = pb.Convention(title="Shapes", version="1.0.1", metadata_schema=[notes], file_requirements=rules)
    free_name = await ready(client, free)
    numbers = [0] * ((MAX_METADATA_BYTES - len('{"n": []}')) // len("0, "))
    drafts = [await client.create_deposition(name, metadata={"n": numbers}) for name in (made, free_name)]
    assert (await client.get_deposition(drafts[0].name)).ByteSize() > 3 * MAX_METADATA_BYTES
    assert len([found async for found in client.list_depositions(page_size=1000)]) == 2
    run = await client.submit_deposition(drafts[1].name)
    assert [event async for event in client.watch_run(run.name)]
    published = (await client.get_run(run.name)).record
    assert (await client.get_record(published)).ByteSize() > 3 * MAX_METADATA_BYTES
    assert [found.name async for found in client.list_records(page_size=1000)] == [published]


async def test_a_run_of_the_most_hooks_that_say_the_most_is_told(
    client: Client, storage: PostgresStorage
) -> None:
    said = HookProgress(
        step=longest("HookProgress.step"),
        status=longest("HookProgress.status"),
        message=longest("HookProgress.message"),
    )
    names = [hook(f"h{i}").name for i in range(64)]
    async with storage.transaction() as tx:
        runs = [
            await tx.runs.insert(
                Run(
                    id=RunId(new_id()),
                    source=DepositionSource(deposition=await a_deposition(tx)),
                    convention=ConventionRef(id="pdb-structures", version="1.0.0"),
                    executions=tuple(
                        HookExecution(id=ExecutionId(uuid.uuid4()), hook=name) for name in names
                    ),
                    created_at=await tx.now(),
                )
            )
            for _ in range(4)
        ]
        for run in runs:
            told = tuple(
                execution.model_copy(update={"progress": said, "rejection_reason": said.message})
                for execution in run.executions
            )
            await tx.runs.save(run.model_copy(update={"executions": told, "rejection_reason": said.message}))
        events = [HookProgressed(hook=names[0], attempt=1, progress=said)] * 500
        await tx.runs.append(runs[0].id, events)
    name = f"runs/{runs[0].id}"
    assert (await client.get_run(name)).ByteSize() > 2 * 10**6
    assert len([found async for found in client.list_runs(page_size=1000)]) == 4
    told_events = [event async for event in client.watch_run(name, until_now=True)]
    assert sum(event.HasField("hook_progress") for event in told_events) == 500


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with Database(dsn=database_dsn) as database:
        yield database


@pytest.mark.parametrize("row_bytes", [MAX_ROW_BYTES, 1_000_000, 300_000, 100_000])
async def test_rows_are_told_beside_the_longest_columns_and_token(
    client: Client, database: Database, row_bytes: int
) -> None:
    columns = [column(i) for i in range(256)]
    definition = hook_from_proto(hook("wide", *columns), at=FieldPath("hook"))
    keys = 16 * [WIDE * TEXT_KEY_CHARACTERS]
    taken = SYSTEM_BYTES + fixed_bytes(c.column_type for c in definition.feature.columns)
    last = "x" * (row_bytes - taken - sum(len(key.encode()) for key in keys))
    count = 2 + 4 * MAX_ROW_BYTES // row_bytes
    async with database.transaction() as connection:
        await PostgresFeatureTableStore(connection).create_table(definition)
        srn, execution = await publish_record(connection)
        await PostgresFeatureRowStore(connection).replace(
            hook=definition,
            record_srn=srn,
            execution=execution,
            rows=given([(*keys, *239 * [None], last) for _ in range(count)]),
        )
    order_by = ", ".join(c.name for c in columns[:16])
    pages = client.query_pages(f"featureTables/{definition.name}", order_by=order_by, page_size=10_000)
    sizes = [len(page.rows) async for page in pages]
    assert sum(sizes) == count
    assert len(sizes) > 1, "there were tokens"


def test_a_token_takes_no_more_than_is_left_for_it() -> None:
    note = QueryColumn(name="note", type=ColumnType.TEXT)
    for text in (WIDE, "é", '"', "\\", "\x01", "x"):
        position = [*16 * [position_text(text * TEXT_KEY_CHARACTERS)], "9223372036854775807"]
        token = tokens.page_token(tokens.page_binding("QueryFeatures"), position)
        order = [*16 * [SortKey(column=note)], SortKey(column=SYSTEM_COLUMNS[0])]
        assert len(token) <= _token_bytes(order), text
