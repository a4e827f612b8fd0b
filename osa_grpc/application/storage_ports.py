"""What the service needs of its database: one transaction at a time, with every store bound to it.

A store method reads or writes in the transaction it was taken from; nothing is visible to others before the `async with` block
ends, and all of it is undone when the block raises. Times are the database's (`now()`), so that replicas agree on them.
"""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, NewType, Protocol, TypeVar

from osa_grpc.domain.convention import Convention, ConventionDefinition
from osa_grpc.domain.delivery import Delivery, DeliveryState
from osa_grpc.domain.deposition import Deposition, DepositionFile
from osa_grpc.domain.events import DomainEvent, StoredEvent
from osa_grpc.domain.feature import FeatureTable
from osa_grpc.domain.filter import FeatureQuery, FeatureRow, Filter, SortKey
from osa_grpc.domain.hook import FeatureSpec, HookDefinition
from osa_grpc.domain.hook_summary import HookSummary, HookUse
from osa_grpc.domain.names import ConventionRef, DepositionId, ExecutionId, RecordRef, RunId
from osa_grpc.domain.record import Record
from osa_grpc.domain.run import Run
from osa_grpc.domain.run_event import RunEvent, RunEventKind

WorkerId = NewType("WorkerId", str)
"""One worker of one server process; unique among all that ever ran."""

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T_co]):
    """A page of a listing. `after` is the position that continues it, None on the last page; `positions` are those behind each
    item, where a listing can be continued in the middle of a page.
    """

    items: Sequence[T_co]
    after: Sequence[str] | None
    positions: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """At most `size` items, after a position that a page before gave; None: from the start."""

    size: int
    after: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class ListQuery:
    """What of a listing is wanted: those that fit `filter` (None: all), in `order` (empty: the newest first), a page of them.

    Columns are those of `application.listing`; positions are the sort keys' values as JSON texts.
    """

    page: PageRequest
    filter: Filter | None = None
    order: Sequence[SortKey] = ()


@dataclass(frozen=True, kw_only=True)
class RunLease:
    """A run held by a worker. Every write under it is refused once another worker has claimed the run (`epoch`)."""

    run: RunId
    worker: WorkerId
    epoch: int


@dataclass(frozen=True, kw_only=True)
class DeliveryLease:
    """A delivery held by a worker, with the event that is owed; `attempt` counts from 1."""

    delivery: int
    event: StoredEvent
    handler: str
    worker: WorkerId
    epoch: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """Events after a position, in order; `is_complete`: the last of them is the run's last event."""

    events: Sequence[RunEvent]
    last_sequence: int
    is_complete: bool


@dataclass(frozen=True, kw_only=True)
class LogState:
    """How far a log has come. `is_closed`: no more comes. `is_truncated`: more came than is kept. `gap_offsets`: before which
    bytes may be missing, or be there twice.
    """

    size_bytes: int
    is_closed: bool
    is_truncated: bool
    gap_offsets: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class StoredAnswer:
    """What a request id was answered with: a digest of the request and the answer, both as the caller gave them."""

    fingerprint: bytes
    answer: bytes


class ConventionStore(Protocol):
    """Conventions."""

    async def lock(self, ref: ConventionRef) -> None:
        """Hold off other registrations of this name until the transaction ends (an advisory lock)."""

    async def insert(self, definition: ConventionDefinition) -> Convention:
        """Store a new one, PENDING."""

    async def find(self, ref: ConventionRef) -> Convention | None:
        """Return it, or None."""

    async def list(self, page: PageRequest) -> Page[Convention]:
        """Return a page, the newest first."""

    async def mark_pending(self, ref: ConventionRef) -> bool:
        """FAILED → PENDING. False if it was not FAILED."""

    async def mark_ready(self, ref: ConventionRef) -> bool:
        """PENDING or FAILED → READY. False if it was READY already."""

    async def mark_failed(self, ref: ConventionRef, message: str) -> bool:
        """PENDING → FAILED. False if it was not PENDING."""


class FeatureTableStore(Protocol):
    """The catalog of feature tables, and the tables themselves."""

    async def lock(self, hook: str) -> None:
        """Hold off everybody else's changes of this table until the transaction ends (an advisory lock). Take several in
        the order of their names.
        """

    async def find(self, hook: str) -> FeatureTable | None:
        """Return the catalog's entry, made or not, or None."""

    async def list(self, page: PageRequest) -> Page[FeatureTable]:
        """Return a page of those that were made, by name."""

    async def record(self, hook: str, spec: FeatureSpec) -> FeatureTable:
        """Store what registration decided: a new entry, or the next version of it when `spec` differs. Under `lock`."""

    async def create_table(self, hook: HookDefinition) -> FeatureTable:
        """Make the hook's feature table, or bring it to the catalog's version. Takes `lock` itself; idempotent.

        The one way in which feature tables come to be, for all callers. Without a catalog entry it makes one; what it makes is
        always the catalog's newest spec, so that a late redelivery takes nothing back.

        Raises:
            ConflictError: the catalog, or the table that is there, has other columns.
        """


class FeatureRowStore(Protocol):
    """Rows of feature tables."""

    async def replace(
        self,
        *,
        hook: HookDefinition,
        record_srn: str,
        execution: ExecutionId,
        rows: AsyncIterable[tuple[object, ...]],
    ) -> int:
        """Delete the record's rows in the hook's table and COPY these; return how many.

        `rows` are positional against `hook.feature.columns` (as `application.row_decoding` gives them); memory is bounded.
        """

    async def query(self, query: FeatureQuery) -> Page[FeatureRow]:
        """Return a page of rows, sized in rows and bytes; `after` has the sort keys' values as JSON texts."""


class DepositionStore(Protocol):
    """Depositions and their files."""

    async def insert(
        self, deposition: DepositionId, convention: ConventionRef, metadata: Mapping[str, object]
    ) -> Deposition:
        """Store a new draft."""

    async def find(self, deposition: DepositionId, *, for_update: bool = False) -> Deposition | None:
        """Return it, or None; `for_update` holds off other changes until the transaction ends."""

    async def list(self, query: ListQuery) -> Page[Deposition]:
        """Return a page, by default the newest first."""

    async def save(self, deposition: Deposition) -> Deposition:
        """Write metadata, state, run, record and rejection reason; raises `revision`, and gives back what is stored.
        After `find(for_update=True)`.
        """

    async def delete(self, deposition: DepositionId) -> Sequence[str]:
        """Delete it and its files; return the files' keys. Its runs stay."""

    async def insert_file(self, file: DepositionFile) -> DepositionFile | None:
        """Add a file and raise the deposition's revision and file count; None if one of that name is there."""

    async def find_file(self, deposition: DepositionId, file_name: str) -> DepositionFile | None:
        """Return it, or None."""

    async def list_files(self, deposition: DepositionId, page: PageRequest) -> Page[DepositionFile]:
        """Return a page, by name."""

    async def delete_file(self, deposition: DepositionId, file_name: str) -> str | None:
        """Delete it and return its key; None if it is not there. Raises the revision."""

    def file_keys(self) -> AsyncIterator[str]:
        """Stream every key there is, for the sweep of what no row knows."""


class RunStore(Protocol):
    """Runs, their executions and their events. The run's row is the queue: workers claim it."""

    async def insert(self, run: Run) -> Run:
        """Store a new run, PENDING and free to be claimed, with its executions; rings `RUN_QUEUE` at commit."""

    async def find(self, run: RunId) -> Run | None:
        """Return it with its executions, or None."""

    async def list(self, query: ListQuery) -> Page[Run]:
        """Return a page, by default the newest first."""

    async def claim(self, worker: WorkerId, duration: timedelta) -> RunLease | None:
        """Take a run that a worker can do something for and that nobody holds (or whose lease is overdue); None if there is none.

        Those that were under way come first; then the oldest of the convention of which the fewest are held.
        """

    async def claim_without_hooks(self, worker: WorkerId, duration: timedelta) -> RunLease | None:
        """Take a run of these that is past its hooks: PUBLISHING or CANCELLING; None if there is none."""

    async def renew(self, lease: RunLease, duration: timedelta) -> None:
        """Prolong it. Raises LeaseLostError."""

    async def release(self, lease: RunLease, *, not_before: datetime | None = None) -> None:
        """Let it go, so that another worker can claim the run: at once, or from a time on unless somebody saves it before. Does
        nothing if it was lost.
        """

    async def lock(self, lease: RunLease) -> Run:
        """Lock the run's row and return the run. Raises LeaseLostError."""

    async def lock_unleased(self, run: RunId) -> Run | None:
        """Lock the run's row whoever holds it, for what users ask (cancel). None if there is no such run."""

    async def save(self, run: Run) -> None:
        """Write a run that was locked in this transaction, with its executions. Raises IllegalTransitionError when the stored
        state may not be followed by this one (a terminal state never changes: the database holds to it).
        """

    async def append(self, run: RunId, events: Sequence[RunEventKind]) -> int:
        """Append to the history of a run that was locked in this transaction; return the last sequence. Watchers are rung at
        commit.
        """

    async def events_after(self, run: RunId, sequence: int, *, limit: int) -> RunHistory | None:
        """Return the events after a sequence, at most `limit`; None if there is no such run."""


class RunLogStore(Protocol):
    """What hooks' containers wrote, byte by byte, per execution and attempt. Followers are rung at commit."""

    async def append(
        self,
        lease: RunLease,
        execution: ExecutionId,
        attempt: int,
        offset: int,
        data: bytes,
        *,
        is_truncated: bool = False,
    ) -> None:
        """Add bytes at the end, which is `offset`; `is_truncated`: more came than is kept. What is there is not added again.

        Raises:
            LeaseLostError: another worker has the run, or the log is closed.
            ValueError: the log has not come to `offset`.
        """

    async def mark_gap(self, lease: RunLease, execution: ExecutionId, attempt: int) -> None:
        """Say that at the end of what is there now bytes may be missing, or come twice. Idempotent. Raises LeaseLostError."""

    async def close(self, execution: ExecutionId, attempt: int, *, is_truncated: bool) -> None:
        """Say that no more comes."""

    async def state(self, execution: ExecutionId, attempt: int) -> LogState | None:
        """Return how far it has come; None if the attempt never was."""

    async def read(self, execution: ExecutionId, attempt: int, offset: int, *, limit: int) -> bytes:
        """Return at most `limit` bytes from `offset` on; empty at the end."""


class RecordStore(Protocol):
    """Records."""

    async def insert(self, record: Record) -> None:
        """Store a new record. Raises LeaseLostError when its run has one already, made by whoever took the run over."""

    async def find(self, ref: RecordRef) -> Record | None:
        """Return it, or None."""

    async def list(self, query: ListQuery) -> Page[Record]:
        """Return a page, by default the newest first."""


class RequestStore(Protocol):
    """What request ids were answered with."""

    async def find(self, method: str, request_id: str) -> StoredAnswer | None:
        """Return the stored answer, or None. Holds off the same id until the transaction ends (an advisory lock)."""

    async def insert(self, method: str, request_id: str, answer: StoredAnswer) -> None:
        """Store it."""

    async def purge(self, *, older_than: timedelta, limit: int) -> int:
        """Forget at most `limit` answers of that age; return how many."""


class EventStore(Protocol):
    """The audit log, and the deliveries owed to handlers."""

    async def append(self, event: DomainEvent, *, owed_to: Sequence[str] = ()) -> int:
        """Append an event and owe it to handlers, who are rung at commit; return its id."""

    async def claim(
        self, handlers: Sequence[str], worker: WorkerId, duration: timedelta
    ) -> DeliveryLease | None:
        """Take the oldest delivery that is due and nobody holds (or whose lease is overdue). A re-pick counts as an attempt."""

    async def renew(self, lease: DeliveryLease, duration: timedelta) -> None:
        """Prolong it. Raises LeaseLostError."""

    async def finish(self, lease: DeliveryLease) -> None:
        """Mark it done, in the handler's own transaction. Raises LeaseLostError."""

    async def fail(self, lease: DeliveryLease, error: str, *, retry_at: datetime | None) -> None:
        """Note the error; due again at `retry_at`, or dead when None. Raises LeaseLostError."""

    async def postpone(self, lease: DeliveryLease, error: str, *, retry_at: datetime) -> None:
        """Note what is in the way; due again at `retry_at`, and the attempt does not count. Raises LeaseLostError."""

    async def deliver_again(self, event_type: str, key: str, handler: str) -> None:
        """Make the latest event of that type about `key` due to a handler again, at once and with its attempts reset; whoever holds
        the delivery loses it. Raises LookupError when there is no such event. A convention's or a record's key is its
        `{id}@{version}`, a deposition's or a run's its id.
        """

    async def find_delivery(self, delivery: int, *, for_update: bool = False) -> Delivery | None:
        """Return it, or None; `for_update` holds off other changes until the transaction ends."""

    async def list_deliveries(self, query: ListQuery) -> Page[Delivery]:
        """Return a page, by default the newest first."""

    async def count_dead(self) -> int:
        """Return how many deliveries are DEAD."""

    async def set_delivery_state(self, delivery: int, state: DeliveryState) -> Delivery:
        """Make a delivery that was locked in this transaction PENDING (due at once, its attempts reset) or DISCARDED. Whoever holds
        it loses it.
        """


class HookStore(Protocol):
    """Hooks across conventions, as registrations and executions have made them."""

    async def find(self, hook: str) -> HookSummary | None:
        """Return it, or None."""

    async def list(self, page: PageRequest) -> Page[HookSummary]:
        """Return a page, by name."""

    async def list_uses(self, hook: str, page: PageRequest) -> Page[HookUse]:
        """Return a page of the conventions that use it, the newest first."""


class Transaction(Protocol):
    """One transaction, and every store bound to it."""

    conventions: ConventionStore
    feature_tables: FeatureTableStore
    feature_rows: FeatureRowStore
    depositions: DepositionStore
    runs: RunStore
    run_logs: RunLogStore
    records: RecordStore
    requests: RequestStore
    events: EventStore
    hooks: HookStore

    async def now(self) -> datetime:
        """Return the transaction's time, with time zone."""


class Storage(Protocol):
    """The database."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a transaction; it commits when the block ends, and rings whoever waits for what it wrote.

        Raises:
            UnavailableError: the database is away (`DATABASE_UNAVAILABLE`).
        """

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a read-only transaction with a statement timeout; cheaper, and it blocks nobody. All of it sees one moment."""
