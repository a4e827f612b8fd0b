import asyncio
from datetime import timedelta

import asyncpg
import pytest

from osa_grpc.application.storage_ports import ListQuery, PageRequest, Transaction
from osa_grpc.domain.deposition import Deposition, DepositionFile, DepositionState
from osa_grpc.domain.names import DepositionId, new_id
from osa_grpc.domain.run import RunState
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import (
    a_deposition,
    a_record,
    a_run,
    a_run_that_is,
    registered,
    until_somebody_waits,
)

METADATA = {
    "title": "Crambin, ½ é 🧬",
    "resolution": 1.5,
    "count": 4,
    "big": 2**53,
    "nested": {"a": [1, None, True, "\\u0000"], "empty": {}},
}


async def a_file(tx: Transaction, deposition: DepositionId, name: str = "1cbn.cif") -> DepositionFile:
    return DepositionFile(
        deposition=deposition,
        file_name=name,
        key=new_id(),
        size_bytes=2**33,
        sha256=64 * "a",
        media_type="chemical/x-cif",
        created_at=await tx.now(),
    )


async def found(tx: Transaction, deposition: DepositionId) -> Deposition:
    found = await tx.depositions.find(deposition)
    assert found is not None
    return found


async def test_a_draft_is_read_as_it_was_stored(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        convention = await registered(tx)
        stored = await tx.depositions.insert(DepositionId(new_id()), convention, METADATA)
    async with storage.reading() as tx:
        assert await found(tx, stored.id) == stored
        assert await tx.depositions.find(DepositionId(new_id())) is None
    assert stored.metadata == METADATA
    kinds = {name: type(value) for name, value in stored.metadata.items()}
    assert kinds == {"title": str, "resolution": float, "count": int, "big": int, "nested": dict}
    assert (stored.state, stored.revision, stored.file_count) == (DepositionState.DRAFT, 1, 0)


async def test_every_change_raises_the_revision(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        draft = await tx.depositions.find(await a_deposition(tx), for_update=True)
        assert draft is not None
        saved = await tx.depositions.save(draft.model_copy(update={"metadata": {"title": "New"}}))
        assert (saved.metadata, saved.revision) == ({"title": "New"}, 2)
        file = await a_file(tx, draft.id)
        assert await tx.depositions.insert_file(file) == file
        assert ((await found(tx, draft.id)).revision, (await found(tx, draft.id)).file_count) == (3, 1)
        assert await tx.depositions.delete_file(draft.id, file.file_name) == file.key
        assert ((await found(tx, draft.id)).revision, (await found(tx, draft.id)).file_count) == (4, 0)


async def test_what_changes_nothing_keeps_the_revision(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        draft = await a_deposition(tx)
        await tx.depositions.insert_file(await a_file(tx, draft))
        before = await found(tx, draft)
        assert await tx.depositions.insert_file(await a_file(tx, draft)) is None
        assert await tx.depositions.delete_file(draft, "other.cif") is None
        assert await found(tx, draft) == before


async def test_a_submitted_deposition_keeps_its_run_and_a_published_one_its_record(
    storage: PostgresStorage,
) -> None:
    async with storage.transaction() as tx:
        draft = await found(tx, await a_deposition(tx))
        run = await a_run(tx, draft.id)
        submitted = await tx.depositions.save(
            draft.model_copy(update={"state": DepositionState.SUBMITTED, "run": run.id})
        )
    assert (submitted.state, submitted.run) == (DepositionState.SUBMITTED, run.id)
    async with storage.transaction() as tx:
        ref = await a_record(tx, run)
        await tx.depositions.save(
            submitted.model_copy(update={"state": DepositionState.PUBLISHED, "record": ref})
        )
    async with storage.reading() as tx:
        assert (await found(tx, draft.id)).record == ref


async def test_a_rejected_deposition_is_a_draft_with_the_reason(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        run = await a_run_that_is(tx, RunState.REJECTED)
        draft = await found(tx, run.source.deposition)
        await tx.depositions.save(draft.model_copy(update={"run": run.id, "rejection_reason": "too coarse"}))
        assert (await found(tx, draft.id)).rejection_reason == "too coarse"


async def test_a_deposition_that_is_not_there_cannot_be_saved(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        draft = await found(tx, await a_deposition(tx))
        await tx.depositions.delete(draft.id)
        with pytest.raises(LookupError):
            await tx.depositions.save(draft)


async def test_deleting_gives_back_the_keys_and_leaves_the_runs(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        run = await a_run_that_is(tx, RunState.REJECTED)
        draft = run.source.deposition
        files = [await a_file(tx, draft, f"{n}.cif") for n in range(3)]
        for file in files:
            await tx.depositions.insert_file(file)
    async with storage.transaction() as tx:
        assert sorted(await tx.depositions.delete(draft)) == sorted(file.key for file in files)
    async with storage.reading() as tx:
        assert await tx.depositions.find(draft) is None
        assert await tx.depositions.find_file(draft, "0.cif") is None
        assert await tx.runs.find(run.id) == run


async def test_of_two_uploads_of_one_name_at_once_one_is_kept(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        draft = await a_deposition(tx)

    async def upload() -> DepositionFile | None:
        async with storage.transaction() as tx:
            return await tx.depositions.insert_file(await a_file(tx, draft))

    kept = [file for file in await asyncio.gather(*(upload() for _ in range(4))) if file is not None]
    async with storage.reading() as tx:
        assert kept == [await tx.depositions.find_file(draft, "1cbn.cif")]
        assert (await found(tx, draft)).file_count == 1


async def test_for_update_holds_off_other_changes_and_shows_what_they_were(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with storage.transaction() as tx:
        draft = await a_deposition(tx)

    async def submit() -> int:
        async with storage.transaction() as tx:
            found = await tx.depositions.find(draft, for_update=True)
            assert found is not None
            return found.file_count

    async with storage.transaction() as tx:
        await tx.depositions.find(draft, for_update=True)
        submitting = asyncio.create_task(submit())
        await until_somebody_waits(connection)
        await tx.depositions.insert_file(await a_file(tx, draft))
    assert await submitting == 1


async def test_files_are_listed_by_name_whatever_it_is(storage: PostgresStorage) -> None:
    names = ["B.cif", "a b.cif", "a%.cif", "b.cif", "é.cif", "🧬.cif", "'; drop.cif"]
    async with storage.transaction() as tx:
        draft, other = await a_deposition(tx), await a_deposition(tx)
        for name in names:
            await tx.depositions.insert_file(await a_file(tx, draft, name))
        await tx.depositions.insert_file(await a_file(tx, other, "z.cif"))
    seen: list[str] = []
    page = PageRequest(size=3)
    async with storage.reading() as tx:
        while True:
            listed = await tx.depositions.list_files(draft, page)
            seen += [file.file_name for file in listed.items]
            if listed.after is None:
                break
            page = PageRequest(size=3, after=listed.after)
    assert seen == sorted(names, key=str.encode)


async def test_pages_list_every_deposition_once_the_newest_first(storage: PostgresStorage) -> None:
    stored: list[Deposition] = []
    for _ in range(2):
        async with storage.transaction() as tx:
            stored += [await found(tx, await a_deposition(tx)) for _ in range(3)]
    seen: list[Deposition] = []
    page = PageRequest(size=3)
    async with storage.reading() as tx:
        while True:
            listed = await tx.depositions.list(ListQuery(page=page))
            seen += listed.items
            if listed.after is None:
                break
            page = PageRequest(size=3, after=listed.after)
    assert seen == sorted(stored, key=lambda d: (d.created_at, d.id), reverse=True)


async def test_every_key_is_streamed(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        draft = await a_deposition(tx)
        files = [await a_file(tx, draft, f"{n}.cif") for n in range(5)]
        for file in files:
            await tx.depositions.insert_file(file)
    async with storage.reading() as tx:
        assert {key async for key in tx.depositions.file_keys()} == {file.key for file in files}


async def test_times_are_the_databases(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        draft = await found(tx, await a_deposition(tx))
        assert draft.created_at == draft.updated_at == await tx.now()
        assert draft.created_at.utcoffset() == timedelta(0)
