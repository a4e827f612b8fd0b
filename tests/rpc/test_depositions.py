"""Drafts: metadata, etags, submission and deletion."""

import asyncio
from typing import Any

import grpc
import pytest

from osa_grpc.wire import pb
from tests.fixtures.archive import WAIT, Archive, column, refusal, reject, rows

METADATA = (
    column("title", pb.JSON_TYPE_STRING, required=True),
    column("resolution"),
    column("chains", pb.JSON_TYPE_INTEGER),
)
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def convention(archive: Archive) -> str:
    return await archive.convention(metadata=METADATA)


async def test_metadata_that_does_not_fit_is_refused_field_by_field(
    archive: Archive, convention: str
) -> None:
    wrong = {"title": 7, "resolution": "high", "chains": 2.5, "colour": "blue"}
    error = await refusal(archive.client.create_deposition(convention, metadata=wrong))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert {violation.field for violation in error.violations} == {
        f"deposition.metadata.{name}" for name in wrong
    }
    assert [one async for one in archive.client.list_depositions()] == []


async def test_a_draft_may_lack_what_a_submission_needs(archive: Archive, convention: str) -> None:
    draft = await archive.client.create_deposition(convention)
    error = await refusal(archive.client.submit_deposition(draft.name))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DEPOSITION_INCOMPLETE")
    assert {(p.type, p.subject) for p in error.preconditions} == {
        ("METADATA", "deposition.metadata.title"),
        ("FILES", draft.name),
    }
    assert (await archive.client.get_deposition(draft.name)).state == pb.DEPOSITION_STATE_DRAFT


async def test_an_update_mask_changes_what_it_names_and_nothing_else(
    archive: Archive, convention: str
) -> None:
    client = archive.client
    draft = await client.create_deposition(convention, metadata={"title": "Crambin", "resolution": 1.5})
    changed = await client.update_deposition(
        draft.name, metadata={"chains": 1}, fields=["chains", "resolution"]
    )
    assert dict(changed.metadata) == {"title": "Crambin", "chains": 1}
    replaced = await client.update_deposition(draft.name, metadata={"title": "Other"})
    assert dict(replaced.metadata) == {"title": "Other"}
    error = await refusal(client.update_deposition(draft.name, metadata={"chains": "two"}, fields=["chains"]))
    assert [violation.field for violation in error.violations] == ["deposition.metadata.chains"]
    assert dict((await client.get_deposition(draft.name)).metadata) == {"title": "Other"}


async def test_an_old_etag_changes_submits_and_deletes_nothing(archive: Archive, convention: str) -> None:
    client = archive.client
    draft = await client.create_deposition(convention, metadata={"title": "Crambin"})
    await client.upload_file(draft.name, b"data", file_name="a.cif")
    for call in (
        client.update_deposition(draft.name, metadata={"title": "Mine"}, etag=draft.etag),
        client.submit_deposition(draft.name, etag=draft.etag),
        client.delete_deposition(draft.name, etag=draft.etag),
    ):
        error = await refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    now = await client.get_deposition(draft.name)
    assert (now.state, dict(now.metadata)) == (pb.DEPOSITION_STATE_DRAFT, {"title": "Crambin"})
    assert error.metadata["etag"] == now.etag
    await client.delete_deposition(draft.name, etag=now.etag)


async def test_what_is_submitted_can_be_neither_submitted_nor_changed_nor_deleted(archive: Archive) -> None:
    client = archive.client
    draft = await archive.draft(await archive.convention(), scripts={"check": WAIT})
    run = (await client.submit_deposition(draft)).name
    for call in (
        client.submit_deposition(draft),
        client.update_deposition(draft, metadata={}),
        client.delete_deposition(draft),
        client.upload_file(draft, b"", file_name="late"),
        client.delete_file(f"{draft}/files/check.sh"),
    ):
        error = await refusal(call)
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DEPOSITION_NOT_DRAFT")
        assert error.metadata["run"] == run
    await archive.until(run, "hook_started")
    archive.go(run)
    assert (await archive.end_of(run)).state == pb.RUN_STATE_COMPLETED
    assert (await refusal(client.submit_deposition(draft))).reason == "DEPOSITION_NOT_DRAFT"
    assert [one.name async for one in client.list_runs()] == [run]


async def test_two_submissions_at_once_make_one_run(archive: Archive) -> None:
    draft = await archive.draft(await archive.convention(), scripts={"check": ""})
    answers = await asyncio.gather(
        *(archive.client.submit_deposition(draft) for _ in range(4)), return_exceptions=True
    )
    assert len([answer for answer in answers if isinstance(answer, pb.Run)]) == 1
    assert len([one async for one in archive.client.list_runs()]) == 1
    await archive.end_of(next(answer for answer in answers if isinstance(answer, pb.Run)).name)


async def test_a_deleted_draft_and_its_files_are_gone(archive: Archive, convention: str) -> None:
    client = archive.client
    draft = (await client.create_deposition(convention)).name
    await client.upload_file(draft, b"data", file_name="a.cif")
    await client.delete_deposition(draft)
    assert (await refusal(client.get_deposition(draft))).code is grpc.StatusCode.NOT_FOUND
    assert [path for path in (archive.data_directory / "files").rglob("*") if path.is_file()] == []


async def test_a_rejected_deposition_is_corrected_and_judged_afresh(archive: Archive) -> None:
    client = archive.client
    convention = await archive.convention(archive.hook("check"), archive.hook("last"))
    too_coarse = "touch /osa/out/leftover\n" + reject("too coarse")
    draft = await archive.draft(convention, scripts={"check": too_coarse})
    first = await archive.end_of((await client.submit_deposition(draft)).name)
    assert (first.state, first.rejection_reason) == (pb.RUN_STATE_REJECTED, "too coarse")
    assert [execution.state for execution in first.executions] == [
        pb.HOOK_EXECUTION_STATE_FINISHED,
        pb.HOOK_EXECUTION_STATE_SKIPPED,
    ]
    rejected = await client.get_deposition(draft)
    assert (rejected.state, rejected.rejection_reason) == (pb.DEPOSITION_STATE_DRAFT, "too coarse")
    assert rejected.record == ""
    assert [row async for row in client.query("featureTables/check")] == []

    await client.delete_file(f"{draft}/files/check.sh")
    fine = "[ ! -e /osa/out/leftover ] || exit 1\n" + rows('{"score": 2}')
    await client.upload_file(draft, fine.encode(), file_name="check.sh")
    second = await archive.end_of((await client.submit_deposition(draft)).name)
    assert (second.name != first.name, second.state) == (True, pb.RUN_STATE_COMPLETED)
    published = await client.get_deposition(draft)
    assert (published.state, published.rejection_reason) == (pb.DEPOSITION_STATE_PUBLISHED, "")
    assert [row["score"] async for row in client.query("featureTables/check")] == [2]
    assert (await client.get_run(first.name)) == first


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get_deposition(f"depositions/{NOBODY}"),
        lambda client: client.update_deposition(f"depositions/{NOBODY}", metadata={}),
        lambda client: client.delete_deposition(f"depositions/{NOBODY}"),
        lambda client: client.submit_deposition(f"depositions/{NOBODY}"),
        lambda client: client.upload_file(f"depositions/{NOBODY}", b"", file_name="a"),
        lambda client: client.delete_file(f"depositions/{NOBODY}/files/a"),
        lambda client: anext(client.list_files(f"depositions/{NOBODY}")),
        lambda client: client.create_deposition("conventions/none@1.0.0"),
    ],
)
async def test_what_is_not_there_is_not_found(archive: Archive, call: Any) -> None:
    error = await refusal(call(archive.client))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert error.metadata["name"]
