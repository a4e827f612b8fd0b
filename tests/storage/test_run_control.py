"""Retrying and reviewing runs against the real database, also by several people at the same moment."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from osa_grpc.application.depositing import submit
from osa_grpc.application.run_control import end_run, request_cancel, retry_run, review_run
from osa_grpc.application.storage_ports import Transaction
from osa_grpc.domain.column import ColumnDef, JsonType
from osa_grpc.domain.convention import ConventionDefinition, FileRequirements
from osa_grpc.domain.deposition import Deposition, DepositionState
from osa_grpc.domain.errors import NotFoundError, PreconditionError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.names import ConventionRef, DepositionId, RunId, new_id
from osa_grpc.domain.run import HookExecutionState, ReviewDecision, Ruling, Run, RunState
from osa_grpc.domain.run_event import CancelRequested, Reviewed, RunEventKind, RunFinished
from osa_grpc.storage.transaction import PostgresStorage
from tests.fixtures.storage import ONE, OVERDUE, hook, stepped, until_somebody_waits

APPROVE = Ruling(decision=ReviewDecision.APPROVE, reason="fine")
REJECT = Ruling(decision=ReviewDecision.REJECT, reason="the scale is wrong")
LENIENT = ConventionDefinition(
    ref=ConventionRef(id="lenient", version="1.0.0"),
    title="Lenient",
    metadata_schema=(ColumnDef(name="title", json_type=JsonType.STRING, required=True),),
    file_requirements=FileRequirements(min_count=0),
    hooks=(hook("summary"), hook("chains")),
)


async def submitted(tx: Transaction) -> Run:
    """A run of a deposition that was submitted."""
    await tx.conventions.lock(LENIENT.ref)
    if await tx.conventions.find(LENIENT.ref) is None:
        await tx.conventions.insert(LENIENT)
    draft = await tx.depositions.insert(DepositionId(new_id()), LENIENT.ref, {"title": "Crambin"})
    return await submit(tx, draft.id, etag="")


async def one_that_is(storage: PostgresStorage, *way: RunState) -> Run:
    """A submitted run that has gone that way."""
    async with storage.transaction() as tx:
        run = await submitted(tx)
        for state in way:
            run = await stepped(tx, run, state)
            if state.is_terminal:
                await end_run(tx, run)
            else:
                await tx.runs.save(run)
        return await found(tx, run.id)


async def in_review(storage: PostgresStorage) -> Run:
    return await one_that_is(storage, RunState.RUNNING, RunState.AWAITING_REVIEW)


async def found(tx: Transaction, run: RunId) -> Run:
    stored = await tx.runs.find(run)
    assert stored is not None
    return stored


async def deposition_of(tx: Transaction, run: Run) -> Deposition:
    deposition = await tx.depositions.find(run.source.deposition)
    assert deposition is not None
    return deposition


async def history(tx: Transaction, run: RunId) -> Sequence[RunEventKind]:
    events = await tx.runs.events_after(run, 0, limit=100)
    assert events is not None
    return [event.body for event in events.events]


async def reviewed(storage: PostgresStorage, run: Run, ruling: Ruling) -> Run:
    async with storage.transaction() as tx:
        return await review_run(tx, run.id, ruling)


async def retried(storage: PostgresStorage, run: Run) -> Run:
    async with storage.transaction() as tx:
        return await retry_run(tx, run.id)


async def refused(storage: PostgresStorage, run: Run, ruling: Ruling | None = None) -> PreconditionError:
    with pytest.raises(PreconditionError) as caught:
        await (retried(storage, run) if ruling is None else reviewed(storage, run, ruling))
    async with storage.reading() as tx:
        assert await found(tx, run.id) == run
    return caught.value


async def test_a_run_that_waits_for_a_review_is_nobodys_to_claim(storage: PostgresStorage) -> None:
    await in_review(storage)
    async with storage.transaction() as tx:
        assert await tx.runs.claim(ONE, OVERDUE) is None


async def test_an_approved_run_is_a_workers_to_publish(storage: PostgresStorage) -> None:
    run = await in_review(storage)
    approved = await reviewed(storage, run, APPROVE)
    assert approved.state is RunState.PUBLISHING
    async with storage.transaction() as tx:
        stored = await found(tx, run.id)
        assert stored == approved
        assert stored.review is not None
        assert (stored.review.decision, stored.review.reason) == (ReviewDecision.APPROVE, "fine")
        assert await history(tx, run.id) == [Reviewed(decision=ReviewDecision.APPROVE, reason="fine")]
        assert (await deposition_of(tx, run)).state is DepositionState.SUBMITTED
        lease = await tx.runs.claim(ONE, OVERDUE)
        assert lease is not None
        assert lease.run == run.id


async def test_a_rejected_run_is_over_and_its_deposition_a_draft_with_the_reason(
    storage: PostgresStorage,
) -> None:
    run = await in_review(storage)
    rejected = await reviewed(storage, run, REJECT)
    assert (rejected.state, rejected.rejection_reason) == (RunState.REJECTED, REJECT.reason)
    async with storage.transaction() as tx:
        assert await found(tx, run.id) == rejected
        assert await history(tx, run.id) == [
            Reviewed(decision=ReviewDecision.REJECT, reason=REJECT.reason),
            RunFinished(state=RunState.REJECTED, rejection_reason=REJECT.reason),
        ]
        deposition = await deposition_of(tx, run)
        assert (deposition.state, deposition.rejection_reason) == (DepositionState.DRAFT, REJECT.reason)
        assert await tx.runs.claim(ONE, OVERDUE) is None


@pytest.mark.parametrize(("first", "second"), [(APPROVE, REJECT), (REJECT, APPROVE)])
async def test_the_same_decision_again_changes_nothing_and_another_is_refused(
    storage: PostgresStorage, first: Ruling, second: Ruling
) -> None:
    decided = await reviewed(storage, await in_review(storage), first)
    again = first.model_copy(update={"reason": "said otherwise"})
    assert await reviewed(storage, decided, again) == decided
    error = await refused(storage, decided, second)
    assert (error.reason, error.metadata["state"]) == ("RUN_NOT_REVIEWABLE", decided.state.value)
    assert f"it was decided otherwise: {first.decision.value}" in error.message


@pytest.mark.parametrize(
    "way",
    [
        (),
        (RunState.RUNNING,),
        (RunState.RUNNING, RunState.PUBLISHING),
        (RunState.RUNNING, RunState.PUBLISHING, RunState.COMPLETED),
        (RunState.RUNNING, RunState.REJECTED),
        (RunState.RUNNING, RunState.FAILED),
        (RunState.CANCELLING,),
        (RunState.CANCELLING, RunState.CANCELLED),
    ],
)
async def test_what_does_not_wait_for_a_review_is_not_reviewed(
    storage: PostgresStorage, way: tuple[RunState, ...]
) -> None:
    run = await one_that_is(storage, *way)
    for ruling in (APPROVE, REJECT):
        assert (await refused(storage, run, ruling)).reason == "RUN_NOT_REVIEWABLE"


async def test_of_two_who_decide_otherwise_at_the_same_moment_one_is_refused(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    run = await in_review(storage)
    async with storage.transaction() as tx:
        await review_run(tx, run.id, REJECT)
        other = asyncio.create_task(reviewed(storage, run, APPROVE))
        await until_somebody_waits(connection)
    with pytest.raises(PreconditionError, match="it was decided otherwise: REJECT"):
        await other
    async with storage.reading() as tx:
        assert (await found(tx, run.id)).state is RunState.REJECTED
        assert [event.kind for event in await history(tx, run.id)] == ["reviewed", "run_finished"]


async def test_a_run_is_cancelled_while_it_waits_for_a_review(storage: PostgresStorage) -> None:
    run = await in_review(storage)
    async with storage.transaction() as tx:
        cancelling = await request_cancel(tx, run.id)
    assert cancelling.state is RunState.CANCELLING
    assert (await refused(storage, cancelling, APPROVE)).reason == "RUN_NOT_REVIEWABLE"
    async with storage.transaction() as tx:
        assert await history(tx, run.id) == [CancelRequested()]
        lease = await tx.runs.claim(ONE, OVERDUE)
        assert lease is not None
        assert lease.run == run.id


@pytest.mark.parametrize("state", ["AWAITING_REVIEW", "RUNNING", "CANCELLED", "REJECTED"])
async def test_the_database_itself_takes_a_review_with_what_follows_from_it_only(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]", state: str
) -> None:
    run = await in_review(storage)
    with pytest.raises(asyncpg.CheckViolationError, match="run_review_check"):
        await connection.execute(
            """UPDATE osa.run SET state = $2, review = '{"decision": "APPROVE"}' WHERE id = $1""",
            run.id,
            state,
        )


@pytest.mark.parametrize(
    "way",
    [
        (RunState.RUNNING, RunState.REJECTED),
        (RunState.RUNNING, RunState.FAILED),
        (RunState.RUNNING, RunState.PUBLISHING, RunState.FAILED),
        (RunState.RUNNING, RunState.AWAITING_REVIEW, RunState.REJECTED),
        (RunState.CANCELLING, RunState.CANCELLED),
    ],
)
async def test_a_run_that_did_not_publish_is_retried_by_a_new_one(
    storage: PostgresStorage, way: tuple[RunState, ...]
) -> None:
    run = await one_that_is(storage, *way)
    new = await retried(storage, run)
    assert (new.state, new.retry_of, new.source) == (RunState.PENDING, run.id, run.source)
    assert [e.hook for e in new.executions] == ["summary", "chains"]
    assert {e.state for e in new.executions} == {HookExecutionState.PENDING}
    assert {e.id for e in new.executions}.isdisjoint(e.id for e in run.executions)
    async with storage.transaction() as tx:
        assert await found(tx, run.id) == run
        assert await found(tx, new.id) == new
        deposition = await deposition_of(tx, run)
        assert (deposition.state, deposition.run) == (DepositionState.SUBMITTED, new.id)
        assert deposition.rejection_reason is None
        lease = await tx.runs.claim(ONE, OVERDUE)
        assert lease is not None
        assert lease.run == new.id


@pytest.mark.parametrize(
    "way",
    [
        (),
        (RunState.RUNNING,),
        (RunState.RUNNING, RunState.AWAITING_REVIEW),
        (RunState.RUNNING, RunState.PUBLISHING),
        (RunState.RUNNING, RunState.PUBLISHING, RunState.COMPLETED),
        (RunState.CANCELLING,),
    ],
)
async def test_a_run_that_is_not_over_or_published_is_not_retried(
    storage: PostgresStorage, way: tuple[RunState, ...]
) -> None:
    run = await one_that_is(storage, *way)
    error = await refused(storage, run)
    assert (error.reason, error.metadata["state"]) == ("RUN_NOT_RETRYABLE", run.state.value)


async def test_only_a_depositions_latest_run_is_retried(storage: PostgresStorage) -> None:
    first = await one_that_is(storage, RunState.RUNNING, RunState.FAILED)
    second = await retried(storage, first)
    assert f"its deposition was submitted again: runs/{second.id}" in (await refused(storage, first)).message
    async with storage.transaction() as tx:
        await request_cancel(tx, second.id)
    assert (await refused(storage, first)).reason == "RUN_NOT_RETRYABLE"
    third = await retried(storage, second)
    assert third.retry_of == second.id


async def test_of_two_retries_at_the_same_moment_one_is_refused(
    storage: PostgresStorage, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    run = await one_that_is(storage, RunState.RUNNING, RunState.FAILED)
    async with storage.transaction() as tx:
        new = await retry_run(tx, run.id)
        other = asyncio.create_task(retried(storage, run))
        await until_somebody_waits(connection)
    with pytest.raises(PreconditionError, match=f"submitted again: runs/{new.id}"):
        await other
    assert await connection.fetchval("SELECT count(*) FROM osa.run") == 2


async def test_the_database_itself_lets_a_run_be_retried_once(storage: PostgresStorage) -> None:
    run = await one_that_is(storage, RunState.RUNNING, RunState.FAILED)

    async def insert_twice() -> None:
        async with storage.transaction() as tx:
            for _ in range(2):
                await tx.runs.insert(
                    run.model_copy(update={"id": RunId(new_id()), "executions": (), "retry_of": run.id})
                )

    with pytest.raises(asyncpg.UniqueViolationError, match="run_retry_of_idx"):
        await insert_twice()


async def test_a_deposition_that_is_incomplete_by_now_is_not_submitted_by_a_retry(
    storage: PostgresStorage,
) -> None:
    run = await one_that_is(storage, RunState.RUNNING, RunState.FAILED)
    async with storage.transaction() as tx:
        draft = await deposition_of(tx, run)
        await tx.depositions.save(draft.model_copy(update={"metadata": {}}))
    error = await refused(storage, run)
    assert error.reason == "DEPOSITION_INCOMPLETE"
    assert [violation.type for violation in error.violations] == ["METADATA"]


async def test_a_run_whose_deposition_was_deleted_is_not_retried(storage: PostgresStorage) -> None:
    run = await one_that_is(storage, RunState.RUNNING, RunState.FAILED)
    async with storage.transaction() as tx:
        await tx.depositions.delete(run.source.deposition)
    error = await refused(storage, run)
    assert (error.reason, "was deleted" in error.message) == ("RUN_NOT_RETRYABLE", True)


async def test_a_run_that_failed_in_publication_keeps_its_review(storage: PostgresStorage) -> None:
    run = await reviewed(storage, await in_review(storage), APPROVE)
    failure = Failure(kind=FailureKind.INTERNAL, message="what a hook wrote is gone", retryable=True)
    async with storage.transaction() as tx:
        locked = await tx.runs.lock_unleased(run.id)
        assert locked is not None
        await end_run(tx, locked.failed(failure=failure, at=await tx.now()))
    async with storage.reading() as tx:
        assert (await found(tx, run.id)).review == run.review
    assert (await retried(storage, run)).review is None


async def test_a_run_that_is_not_there_is_neither_retried_nor_reviewed(storage: PostgresStorage) -> None:
    async with storage.transaction() as tx:
        with pytest.raises(NotFoundError):
            await retry_run(tx, RunId(new_id()))
        with pytest.raises(NotFoundError):
            await review_run(tx, RunId(new_id()), APPROVE)
