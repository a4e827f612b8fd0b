"""Runs. Their rows are the queue, and the lock under which their histories grow.

A worker's lease is its `epoch`: each claim raises it, and `lock` finds a run under the epoch it was claimed with or not at all.
So whoever writes has locked the row first, in the same transaction; the store insists on it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import asyncpg
from pydantic import TypeAdapter

from osa_grpc.application.ports import RUN_QUEUE, run_bell
from osa_grpc.application.storage_ports import ListQuery, Page, RunHistory, RunLease, WorkerId
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.failure import Failure
from osa_grpc.domain.names import ConventionRef, RecordRef, RunId
from osa_grpc.domain.run import (
    RUN_TRANSITIONS,
    HookExecution,
    IllegalTransitionError,
    Review,
    Run,
    RunSource,
    RunState,
)
from osa_grpc.domain.run_event import RunEvent, RunEventKind
from osa_grpc.storage.listed_tables import RUNS
from osa_grpc.storage.listing_query import read_keys
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("run.sql")

_SOURCE: Final[TypeAdapter[RunSource]] = TypeAdapter(RunSource)
_EXECUTIONS: Final = TypeAdapter(tuple[HookExecution, ...])
_EVENT: Final[TypeAdapter[RunEventKind]] = TypeAdapter(RunEventKind)

_BEFORE: Final = {
    state: [
        before.value
        for before, after in RUN_TRANSITIONS.items()
        if state in after or (before is state and not state.is_terminal)
    ]
    for state in RunState
}
"""The stored states that may be overwritten with each state: those it may follow, and itself while it is no end."""


class PostgresRunStore:
    """Runs, in one transaction. `rings` takes the bells to be rung at its commit."""

    def __init__(self, connection: "Connection", rings: set[str]) -> None:
        self._connection = connection
        self._rings = rings
        self._locked: set[RunId] = set()

    async def insert(self, run: Run) -> Run:
        """Store a new run, free to be claimed, with its executions."""
        await self._connection.execute(
            _SQL["insert"],
            run.id,
            _SOURCE.dump_json(run.source).decode(),
            run.convention.id,
            run.convention.version,
            run.state,
            run.created_at,
            _EXECUTIONS.dump_json(run.executions).decode(),
            run.retry_of,
        )
        self._locked.add(run.id)  # nobody else sees it yet
        self._rings.add(RUN_QUEUE)
        return await self._get(run.id)

    async def find(self, run: RunId) -> Run | None:
        """Return it with its executions, or None."""
        row = await self._connection.fetchrow(_SQL["find"], run)
        return None if row is None else _run(row)

    async def list(self, query: ListQuery) -> Page[Run]:
        """Return a page, by default the newest first."""
        keys = await read_keys(self._connection, RUNS, query)
        return keys.page(await self._connection.fetch(_SQL["list"], keys.column()), _run)

    async def claim(self, worker: WorkerId, duration: timedelta) -> RunLease | None:
        """Take a run that nobody holds (or whose lease is overdue); None if there is none.

        Those that were under way come first; then the oldest of the convention of which the fewest are held.
        """
        return _claimed(await self._connection.fetchrow(_SQL["claim"], worker, duration), worker)

    async def claim_without_hooks(self, worker: WorkerId, duration: timedelta) -> RunLease | None:
        """Take a run of these that is past its hooks: to be published, or to be cancelled; None if there is none."""
        return _claimed(
            await self._connection.fetchrow(_SQL["claim_without_hooks"], worker, duration), worker
        )

    async def renew(self, lease: RunLease, duration: timedelta) -> None:
        """Prolong it. Raises LeaseLostError."""
        if not await self._connection.fetchval(_SQL["renew"], *_under(lease), duration):
            raise lost(lease)

    async def release(self, lease: RunLease, *, not_before: datetime | None = None) -> None:
        """Let it go, so that another worker can claim the run, at once or from a time on. Does nothing if it was lost."""
        if await self._connection.fetchval(_SQL["release"], *_under(lease), not_before):
            self._rings.add(RUN_QUEUE)

    async def lock(self, lease: RunLease) -> Run:
        """Lock the run's row and return the run. Raises LeaseLostError."""
        if not await self._connection.fetchval(_SQL["lock"], *_under(lease)):
            raise lost(lease)
        self._locked.add(lease.run)
        return await self._get(lease.run)  # a statement of its own: it sees what the lock had to wait for

    async def lock_unleased(self, run: RunId) -> Run | None:
        """Lock the run's row whoever holds it. None if there is no such run."""
        if not await self._connection.fetchval(_SQL["lock_unleased"], run):
            return None
        self._locked.add(run)
        return await self._get(run)

    async def save(self, run: Run) -> None:
        """Write a run that was locked in this transaction, with its executions.

        Raises:
            IllegalTransitionError: the stored state may not be followed by this one.
        """
        self._insist_on_lock(run.id)
        is_free = await self._connection.fetchval(
            _SQL["save"],
            run.id,
            run.state,
            None if run.failure is None else run.failure.model_dump_json(),
            run.rejection_reason,
            None if run.record is None else run.record.id,
            None if run.record is None else run.record.version,
            run.started_at,
            run.ended_at,
            _BEFORE[run.state],
            None if run.review is None else run.review.model_dump_json(),
        )
        if is_free is None:
            stored = await self._get(run.id)
            raise IllegalTransitionError(f"a run that is {stored.state} cannot become {run.state}")
        await self._connection.execute(
            _SQL["save_executions"], run.id, _EXECUTIONS.dump_json(run.executions).decode()
        )
        if run.state is RunState.CANCELLING or (is_free and run.state is RunState.PUBLISHING):
            self._rings.add(RUN_QUEUE)  # who holds it must notice, or somebody take it up

    async def append(self, run: RunId, events: Sequence[RunEventKind]) -> int:
        """Append to the history of a run that was locked in this transaction; return the last sequence."""
        self._insist_on_lock(run)
        last_sequence: int = await self._connection.fetchval(
            _SQL["append"],
            run,
            [event.kind for event in events],
            [_EVENT.dump_json(event).decode() for event in events],
        )
        if events:
            self._rings.add(run_bell(run))
        return last_sequence

    async def events_after(self, run: RunId, sequence: int, *, limit: int) -> RunHistory | None:
        """Return the events after a sequence, at most `limit`; None if there is no such run.

        Complete also when there is nothing after the last event of a run that is over.
        """
        rows = await self._connection.fetch(_SQL["events_after"], run, sequence, limit)
        if not rows:
            return None
        events = [_event(row) for row in rows if row["sequence"] is not None]
        last_sequence: int = rows[0]["last_sequence"]
        reached = events[-1].sequence if events else sequence
        return RunHistory(
            events=events,
            last_sequence=last_sequence,
            is_complete=rows[0]["is_over"] and reached >= last_sequence,
        )

    async def _get(self, run: RunId) -> Run:
        found = await self.find(run)
        assert found is not None
        return found

    def _insist_on_lock(self, run: RunId) -> None:
        if run not in self._locked:
            raise RuntimeError(f"run {run} was not locked in this transaction")


def _claimed(row: asyncpg.Record | None, worker: WorkerId) -> RunLease | None:
    return None if row is None else RunLease(run=RunId(str(row["id"])), worker=worker, epoch=row["epoch"])


def _under(lease: RunLease) -> tuple[RunId, WorkerId, int]:
    return lease.run, lease.worker, lease.epoch


def lost(lease: RunLease) -> LeaseLostError:
    """Return the error of a worker whose run is somebody else's."""
    return LeaseLostError(f"run {lease.run} is no longer held by {lease.worker} in epoch {lease.epoch}")


def _run(row: asyncpg.Record) -> Run:
    record_id = row["record_id"]
    return Run(
        id=RunId(str(row["id"])),
        source=_SOURCE.validate_json(row["source"]),
        convention=ConventionRef(id=row["convention_id"], version=row["convention_version"]),
        state=RunState(row["state"]),
        executions=() if row["executions"] is None else _EXECUTIONS.validate_json(row["executions"]),
        failure=None if row["failure"] is None else Failure.model_validate_json(row["failure"]),
        rejection_reason=row["rejection_reason"],
        record=None if record_id is None else RecordRef(id=str(record_id), version=row["record_version"]),
        retry_of=None if row["retry_of"] is None else RunId(str(row["retry_of"])),
        review=None if row["review"] is None else Review.model_validate_json(row["review"]),
        last_sequence=row["last_sequence"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )


def _event(row: asyncpg.Record) -> RunEvent:
    return RunEvent(
        sequence=row["sequence"],
        occurred_at=row["occurred_at"],
        body=_EVENT.validate_json(row["body"]),
    )
