"""Lists of runs, depositions and records, filtered and sorted over the wire. `test_deliveries` has those of deliveries."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, refusal, reject, rows

Connection = "asyncpg.Connection[asyncpg.Record]"


async def names(found: AsyncIterator[Any]) -> list[str]:
    return [item.name async for item in found]


async def test_runs_are_found_by_how_they_ended(archive: Archive) -> None:
    one = await archive.convention()
    two = await archive.convention(version="2.0.0")
    passed = await archive.finish(one, check=rows('{"score": 1}'))
    failed = await archive.finish(one, check="exit 3")
    rejected = await archive.finish(two, check=reject("Far Too Coarse"))
    list_runs = archive.client.list_runs

    assert await names(list_runs(filter="state = COMPLETED")) == [passed.name]
    assert await names(list_runs(filter="state = RUN_STATE_COMPLETED")) == [passed.name]
    assert await names(list_runs(filter="NOT state = COMPLETED")) == [rejected.name, failed.name]
    assert await names(list_runs(filter="state = FAILED OR state = REJECTED", order_by="end_time")) == [
        failed.name,
        rejected.name,
    ]
    assert await names(list_runs(filter="failure_kind = HOOK_EXIT")) == [failed.name]
    assert await names(list_runs(filter='rejection_reason:"too coarse"')) == [rejected.name]
    assert await names(list_runs(filter=f'convention = "{one}"')) == [failed.name, passed.name]
    assert await names(list_runs(filter='convention:"@2."')) == [rejected.name]
    assert await names(list_runs(filter=f'deposition = "{failed.deposition.deposition}"')) == [failed.name]
    assert await names(list_runs(filter=f'record = "{passed.record}"')) == [passed.name]
    assert await names(list_runs(filter="record:*")) == [passed.name]
    assert await names(list_runs(filter=f'name != "{passed.name}"', order_by="convention, create_time")) == [
        failed.name,
        rejected.name,
    ]
    again = await archive.client.retry_run(failed.name)
    assert await names(list_runs(filter=f'retry_of = "{failed.name}"')) == [again.name]
    await archive.end_of(again.name)


async def test_depositions_are_found_by_where_they_stand(archive: Archive) -> None:
    convention = await archive.convention()
    draft = await archive.draft(convention)
    published = await archive.finish(convention, check="")
    rejected = await archive.finish(convention, check=reject("no"))
    list_depositions = archive.client.list_depositions

    assert await names(list_depositions(filter="state = PUBLISHED")) == [published.deposition.deposition]
    assert await names(list_depositions(filter="state = DRAFT", order_by="create_time")) == [
        draft,
        rejected.deposition.deposition,
    ]
    assert await names(list_depositions(filter="file_count = 0")) == [draft]
    assert await names(list_depositions(filter=f'run = "{published.name}"')) == [
        published.deposition.deposition
    ]
    assert await names(list_depositions(filter="rejection_reason:*")) == [rejected.deposition.deposition]
    assert await names(list_depositions(filter='update_time < "2026-01-01"')) == []


async def test_records_are_found_by_where_they_come_from(archive: Archive) -> None:
    one = await archive.convention()
    two = await archive.convention(version="2.0.0")
    runs = [await archive.finish(convention, check="") for convention in (one, two, one)]
    list_records = archive.client.list_records

    assert await names(list_records(filter=f'convention = "{one}"')) == [runs[2].record, runs[0].record]
    assert await names(list_records(filter='create_time >= "2026-01-01"', order_by="create_time")) == [
        run.record for run in runs
    ]
    assert await names(list_records(filter=f'run = "{runs[1].name}" file_count > 0')) == [runs[1].record]
    srn = (await archive.client.get_record(runs[1].record)).srn
    assert await names(list_records(filter=f'srn = "{srn}"')) == [runs[1].record]


async def test_pages_go_on_by_any_order_while_more_comes(archive: Archive) -> None:
    convention = await archive.convention()
    first = [await archive.draft(convention) for _ in range(5)]
    for order_by in ("", "create_time", "rejection_reason desc, file_count", "convention, update_time desc"):
        listed: list[str] = []
        async for found in archive.client.list_depositions(order_by=order_by, page_size=1):
            listed.append(found.name)
            if len(listed) == 2:
                await archive.draft(convention)
        assert len(listed) == len(set(listed)), order_by
        assert set(first) <= set(listed), order_by


@pytest.mark.parametrize(
    ("query", "field", "reason", "says"),
    [
        ({"filter": "state = LOST"}, "filter", "INVALID_FILTER", "expected one of"),
        ({"filter": "state = DELIVERY_STATE_DEAD"}, "filter", "INVALID_FILTER", "expected one of"),
        ({"filter": "status = FAILED"}, "filter", "UNKNOWN_COLUMN", "did you mean state?"),
        ({"filter": 'convention = "shapes@1.0.0"'}, "filter", "INVALID_FILTER", "conventions/{id}@{version}"),
        ({"filter": "create_time > yesterday"}, "filter", "INVALID_FILTER", "expected a time"),
        ({"filter": "state ="}, "filter", "INVALID_FILTER", "found the end"),
        ({"filter": "x" * 8193}, "filter", "INVALID_FILTER", "at most 8192 characters"),
        ({"order_by": "end"}, "order_by", "UNKNOWN_COLUMN", "end"),
        ({"order_by": "state up"}, "order_by", "INVALID_ORDER_BY", "asc or desc"),
    ],
)
async def test_a_list_that_is_asked_wrongly_says_where(
    archive: Archive, query: dict[str, str], field: str, reason: str, says: str
) -> None:
    error = await refusal(anext(archive.client.list_runs(**query)))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    [violation] = error.violations
    assert violation.field == field
    assert says in violation.description
    assert error.metadata["position"]


async def test_a_page_shows_what_it_was_filtered_by_while_runs_go_on(archive: Archive) -> None:
    convention = await archive.convention()
    over = asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            async for run in archive.client.list_runs(filter="state = RUNNING OR state = PENDING"):
                assert run.state in {pb.RUN_STATE_RUNNING, pb.RUN_STATE_PENDING}

    looking = asyncio.create_task(look())
    for _ in range(3):
        await archive.finish(convention, check="")
    over.set()
    await looking
