"""ReviewRun: a run whose hooks have passed waits for a person, holding nothing but its outputs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import grpc
import pytest

from osa_grpc.client import Client, OsaRpcError
from osa_grpc.client.channel import Stubs
from osa_grpc.runtimes.docker_engine import DockerEngine
from osa_grpc.server.app import Started, running
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, kinds, refusal, reject, rows, until

FINE = rows('{"score": 2.5}')


@pytest.fixture
def server_settings(server_settings: Settings) -> Settings:
    return server_settings.model_copy(update={"max_running_hooks": 1})


async def reviewed_convention(archive: Archive, *hooks: pb.HookDefinition) -> str:
    return await archive.convention(*hooks, review=pb.REVIEW_MODE_MANUAL)


async def in_review(archive: Archive, convention: str | None = None, **scripts: str) -> str:
    """The name of a run that waits for a review."""
    run = await archive.start(
        convention or await reviewed_convention(archive), **(scripts or {"check": FINE})
    )
    await archive.until(run, "review_requested")
    return run


async def scores(archive: Archive) -> list[Any]:
    return [row["score"] async for row in archive.client.query("featureTables/check")]


async def test_a_run_waits_for_a_person_and_is_published_once_approved(archive: Archive) -> None:
    client = archive.client
    run = await in_review(archive)
    waiting = await client.get_run(run)
    assert waiting.state == pb.RUN_STATE_AWAITING_REVIEW
    assert [execution.verdict for execution in waiting.executions] == [pb.VERDICT_PASSED]
    assert not waiting.HasField("review")
    assert not waiting.HasField("end_time")
    assert (await client.get_deposition(waiting.deposition.deposition)).state == pb.DEPOSITION_STATE_SUBMITTED
    assert await scores(archive) == []

    approved = await client.approve_run(run, reason="as it should be")
    assert approved.state == pb.RUN_STATE_PUBLISHING
    assert approved.review.decision == pb.REVIEW_DECISION_APPROVE
    assert approved.review.reason == "as it should be"
    assert approved.review.HasField("review_time")
    published = await archive.end_of(run)
    assert (published.state, published.review) == (pb.RUN_STATE_COMPLETED, approved.review)
    assert await scores(archive) == [2.5]
    assert (await client.get_record(published.record)).run == run
    history = await archive.history(run)
    assert kinds(history) == [
        "run_started",
        "hook_started",
        "hook_finished",
        "review_requested",
        "reviewed",
        "record_published",
        "run_finished",
    ]
    assert history[4].reviewed == pb.Reviewed(decision=pb.REVIEW_DECISION_APPROVE, reason="as it should be")


async def test_a_rejected_run_makes_its_deposition_a_draft_with_the_reason(archive: Archive) -> None:
    client = archive.client
    run = await in_review(archive)
    rejected = await client.reject_run(run, reason="the scale is wrong")
    assert rejected.state == pb.RUN_STATE_REJECTED
    assert await archive.end_of(run) == rejected
    assert (rejected.rejection_reason, rejected.review.reason) == ("the scale is wrong",) * 2
    assert kinds(await archive.history(run))[-3:] == ["review_requested", "reviewed", "run_finished"]
    draft = await client.get_deposition(rejected.deposition.deposition)
    assert (draft.state, draft.rejection_reason) == (pb.DEPOSITION_STATE_DRAFT, "the scale is wrong")
    assert await scores(archive) == []

    again = await client.submit_deposition(draft.name)
    await archive.until(again.name, "review_requested")
    await client.approve_run(again.name)
    over = await archive.end_of(again.name)
    assert over.state == pb.RUN_STATE_COMPLETED, over.failure


async def test_what_a_hook_rejects_is_not_shown_to_a_person(archive: Archive) -> None:
    run = await archive.finish(await reviewed_convention(archive), check=reject("too coarse"))
    assert (run.state, run.HasField("review")) == (pb.RUN_STATE_REJECTED, False)
    error = await refusal(archive.client.approve_run(run.name))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_REVIEWABLE")


async def test_a_convention_without_hooks_is_reviewed_as_well(archive: Archive) -> None:
    made = await archive.client.register_convention(
        "bare", pb.Convention(title="Bare", version="1.0.0", review=pb.REVIEW_MODE_MANUAL)
    )
    assert made.review == pb.REVIEW_MODE_MANUAL
    await archive.client.wait_until_ready(made.name)
    run = await in_review(archive, made.name, note="")
    await archive.client.approve_run(run)
    assert (await archive.end_of(run)).state == pb.RUN_STATE_COMPLETED


async def test_only_after_the_last_hook_a_person_is_asked(archive: Archive) -> None:
    convention = await reviewed_convention(archive, archive.hook("check"), archive.hook("last"))
    run = await in_review(archive, convention, check=FINE, last="")
    assert kinds(await archive.history(run)) == [
        "run_started",
        "hook_started",
        "hook_finished",
        "hook_started",
        "hook_finished",
        "review_requested",
    ]


@pytest.mark.parametrize("first_approves", [True, False])
async def test_a_decision_stands(archive: Archive, *, first_approves: bool) -> None:
    client = archive.client
    run = await in_review(archive)

    async def decide(*, approve: bool, reason: str) -> pb.Run:
        return await (client.approve_run if approve else client.reject_run)(run, reason=reason)

    await decide(approve=first_approves, reason="first")
    over = await archive.end_of(run)
    assert await decide(approve=first_approves, reason="second") == over
    error = await refusal(decide(approve=not first_approves, reason="third"))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_REVIEWABLE")
    assert error.metadata["state"] == ("COMPLETED" if first_approves else "REJECTED")
    assert await client.get_run(run) == over
    assert kinds(await archive.history(run)).count("reviewed") == 1


async def test_of_many_who_decide_at_once_and_otherwise_one_side_wins(archive: Archive) -> None:
    client = archive.client
    run = await in_review(archive)
    calls = [
        call for _ in range(4) for call in (client.approve_run(run), client.reject_run(run, reason="no"))
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    over = await archive.end_of(run)
    won = [answer for answer in answers if isinstance(answer, pb.Run)]
    lost = [answer for answer in answers if isinstance(answer, OsaRpcError)]
    assert (len(won), len(lost)) == (4, 4)
    assert {answer.review.decision for answer in won} == {over.review.decision}
    assert {error.reason for error in lost} == {"RUN_NOT_REVIEWABLE"}
    history = kinds(await archive.history(run))
    assert (history.count("reviewed"), history.count("run_finished")) == (1, 1)
    approved = over.review.decision == pb.REVIEW_DECISION_APPROVE
    assert over.state == (pb.RUN_STATE_COMPLETED if approved else pb.RUN_STATE_REJECTED)
    assert await scores(archive) == ([2.5] if approved else [])


async def test_a_run_that_waits_for_a_review_is_cancelled(archive: Archive) -> None:
    client = archive.client
    run = await in_review(archive)
    assert (await client.cancel_run(run)).state in (pb.RUN_STATE_CANCELLING, pb.RUN_STATE_CANCELLED)
    over = await archive.end_of(run)
    assert (over.state, over.executions[0].verdict) == (pb.RUN_STATE_CANCELLED, pb.VERDICT_PASSED)
    assert kinds(await archive.history(run))[-3:] == ["review_requested", "cancel_requested", "run_finished"]
    assert (await refusal(client.approve_run(run))).reason == "RUN_NOT_REVIEWABLE"
    draft = await client.get_deposition(over.deposition.deposition)
    assert (draft.state, draft.rejection_reason) == (pb.DEPOSITION_STATE_DRAFT, "cancelled")
    await until(lambda: not outputs(archive, run))


async def test_a_run_that_waits_for_a_review_holds_its_outputs_and_nothing_else(
    archive: Archive, docker_host: str
) -> None:
    run = await in_review(archive)
    other = await archive.finish(await archive.convention(version="2.0.0"), check=rows('{"score": 7}'))
    assert other.state == pb.RUN_STATE_COMPLETED
    assert (await archive.client.get_run(run)).state == pb.RUN_STATE_AWAITING_REVIEW
    server = (archive.data_directory / "server-id").read_text().strip()
    async with DockerEngine(docker_host=docker_host) as engine:
        assert await engine.find({"org.opensciencearchive.server": server}) == []
    assert outputs(archive, run)
    await archive.client.approve_run(run)
    assert (await archive.end_of(run)).state == pb.RUN_STATE_COMPLETED
    assert sorted(await scores(archive)) == [2.5, 7.0]
    await until(lambda: not outputs(archive, run))


async def test_many_reviews_wait_at_once_beside_one_place(archive: Archive) -> None:
    convention = await reviewed_convention(archive)
    runs = [await in_review(archive, convention) for _ in range(4)]
    for run in reversed(runs):
        await archive.client.approve_run(run)
        assert (await archive.end_of(run)).state == pb.RUN_STATE_COMPLETED
    assert await scores(archive) == [2.5] * 4


async def test_what_a_rejected_run_left_behind_goes_at_once_and_nothing_of_others(archive: Archive) -> None:
    convention = await reviewed_convention(archive)
    run, other = [await in_review(archive, convention) for _ in range(2)]
    directory = archive.data_directory / "work" / run.removeprefix("runs/")
    assert directory.exists()
    await archive.client.reject_run(run, reason="no")
    await until(lambda: not directory.exists())
    assert outputs(archive, other)


async def test_what_a_rejected_run_left_behind_is_gone_at_the_next_start_at_the_latest(
    server_settings: Settings, obedient_image: str
) -> None:
    async with archive_of(server_settings, obedient_image) as archive:
        run = await in_review(archive)
        await archive.client.reject_run(run, reason="no")
    async with archive_of(server_settings, obedient_image) as archive:
        await until(lambda: not outputs(archive, run))


async def test_a_review_outlives_the_server_that_asked_for_it(
    server_settings: Settings, obedient_image: str
) -> None:
    async with archive_of(server_settings, obedient_image) as archive:
        convention = await reviewed_convention(archive)
        to_approve = await in_review(archive, convention)
        to_reject = await in_review(archive, convention)
        to_cancel = await in_review(archive, convention)
    async with archive_of(server_settings, obedient_image) as archive:
        client = archive.client
        for run in (to_approve, to_reject, to_cancel):
            assert (await client.get_run(run)).state == pb.RUN_STATE_AWAITING_REVIEW
            assert outputs(archive, run)
        await client.approve_run(to_approve)
        await client.reject_run(to_reject, reason="no")
        await client.cancel_run(to_cancel)
        assert (await archive.end_of(to_approve)).state == pb.RUN_STATE_COMPLETED
        assert (await archive.end_of(to_reject)).state == pb.RUN_STATE_REJECTED
        assert (await archive.end_of(to_cancel)).state == pb.RUN_STATE_CANCELLED
        assert await scores(archive) == [2.5]
        assert "hook_retrying" not in kinds(await archive.history(to_approve))


async def test_a_review_that_was_taken_just_before_the_server_stopped_is_carried_out_by_the_next(
    server_settings: Settings, obedient_image: str
) -> None:
    async with archive_of(server_settings, obedient_image) as archive:
        run = await in_review(archive)
        await archive.client.approve_run(run)
    async with archive_of(server_settings, obedient_image) as archive:
        assert (await archive.end_of(run)).state == pb.RUN_STATE_COMPLETED
        assert await scores(archive) == [2.5]


async def test_an_approval_under_a_request_id_happens_once(archive: Archive) -> None:
    run = await in_review(archive)
    first = await archive.client.approve_run(run, request_id="yes")
    await archive.end_of(run)
    assert await archive.client.approve_run(run, request_id="yes") == first
    error = await refusal(archive.client.reject_run(run, reason="no", request_id="yes"))
    assert error.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("fields", "code", "reason", "at"),
    [
        ({"decision": 2}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", ["reason"]),
        ({"decision": 2, "reason": "\n"}, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", ["reason"]),
        (
            {"decision": 2, "reason": "x" * 4097},
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            ["reason"],
        ),
        (
            {"reason": "a\x00", "name": "runs/1"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            ["name", "decision", "reason"],
        ),
        ({"decision": 3}, grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_VALUE", ["decision"]),
        (
            {"decision": 1, "name": f"runs/{uuid4()}"},
            grpc.StatusCode.NOT_FOUND,
            "RESOURCE_NOT_FOUND",
            [],
        ),
    ],
)
async def test_a_review_that_is_wrong_is_refused_and_changes_nothing(
    archive: Archive,
    server: Started,
    fields: dict[str, Any],
    code: grpc.StatusCode,
    reason: str,
    at: list[str],
) -> None:
    run = await in_review(archive)
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = Stubs(channel).runs.ReviewRun(pb.ReviewRunRequest(**{"name": run, **fields}))
        error = await refusal(call)
    assert (error.code, error.reason) == (code, reason)
    assert [violation.field for violation in error.violations] == at
    assert (await archive.client.get_run(run)).state == pb.RUN_STATE_AWAITING_REVIEW


def outputs(archive: Archive, run: str) -> list[str]:
    """The files that the run's hooks left behind."""
    directory = archive.data_directory / "work" / run.removeprefix("runs/")
    return [path.name for path in directory.glob("*/out/*")]


@asynccontextmanager
async def archive_of(settings: Settings, image_id: str) -> AsyncIterator[Archive]:
    """An archive with a server of its own."""
    async with running(settings) as (started, _), Client(started.address) as client:
        yield Archive(client=client, data_directory=settings.data_directory, image_id=image_id)
