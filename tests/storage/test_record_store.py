import asyncio

import pytest

from osa_grpc.application.storage_ports import ListQuery, PageRequest
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.names import RecordRef, new_id
from osa_grpc.domain.record import Record
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import a_record, a_run


async def test_a_record_is_read_as_it_was_stored(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        run = await a_run(tx)
        ref = RecordRef(id=new_id(), version=3)
        record = Record(
            ref=ref,
            srn=f"urn:osa:example.org:rec:{ref.key}",
            deposition=run.source.deposition,
            run=run.id,
            convention=run.convention,
            metadata={"resolution": 1.5, "count": 4, "tags": ["é"]},
            file_count=2,
            created_at=await tx.now(),
        )
        await tx.records.insert(record)
    async with storage.reading() as tx:
        assert await tx.records.find(ref) == record
        assert await tx.records.find(RecordRef(id=ref.id)) is None


async def test_two_workers_that_publish_one_run_at_once_make_one_record(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        run = await a_run(tx)

    async def publish() -> RecordRef:
        async with storage.transaction() as tx:
            return await a_record(tx, run)

    answers = await asyncio.gather(publish(), publish(), return_exceptions=True)
    assert [type(answer) for answer in answers if not isinstance(answer, RecordRef)] == [LeaseLostError]
    async with storage.reading() as tx:
        listed = await tx.records.list(ListQuery(page=PageRequest(size=10)))
    assert [record.ref for record in listed.items] == [a for a in answers if isinstance(a, RecordRef)]


async def test_a_publication_that_fails_leaves_no_record_and_can_be_tried_again(
    storage: PostgresStorage,
) -> None:
    async with storage.transaction() as tx:
        run = await a_run(tx)
    with pytest.raises(KeyError):  # noqa: PT012 - the whole block is the matter
        async with storage.transaction() as tx:
            await a_record(tx, run)
            raise KeyError
    async with storage.transaction() as tx:
        await a_record(tx, run)
    async with storage.reading() as tx:
        assert len((await tx.records.list(ListQuery(page=PageRequest(size=10)))).items) == 1


async def test_pages_list_every_record_once_the_newest_first(storage: PostgresStorage) -> None:
    for _ in range(2):
        async with storage.transaction() as tx:
            for _ in range(3):
                await a_record(tx, await a_run(tx))
    seen: list[Record] = []
    page = PageRequest(size=4)
    async with storage.reading() as tx:
        while True:
            listed = await tx.records.list(ListQuery(page=page))
            seen += listed.items
            if listed.after is None:
                break
            page = PageRequest(size=4, after=listed.after)
    assert len(seen) == 6
    assert seen == sorted(seen, key=lambda r: (r.created_at, r.ref.id), reverse=True)
