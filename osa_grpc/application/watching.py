"""Watching a run: the table is the record, bells only wake us.

A watcher is a cursor, not a queue. Watchers of one run at one position share one read and one encoded batch. Messages are
made as bytes; a protobuf message is the concatenation of its fields, so events and control are encoded apart.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final, Protocol

from osa_grpc.application.ports import Doorbell, run_bell
from osa_grpc.application.run_control import no_run
from osa_grpc.application.storage_ports import Storage
from osa_grpc.domain.errors import InvalidRequestError, UnavailableError, Violation
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import RunId
from osa_grpc.domain.run_event import RunEvent

DEFAULT_BOOKMARK: Final = timedelta(seconds=15)
_LEAST_BOOKMARK: Final = timedelta(seconds=1)
_MOST_BOOKMARK: Final = timedelta(seconds=60)
_SHARED_READS: Final = 64


class Control(Enum):
    """What a watch message says besides events."""

    CAUGHT_UP = "caught_up"
    BOOKMARK = "bookmark"
    SERVER_DRAINING = "server_draining"
    REBALANCE = "rebalance"


class WatchEncoder(Protocol):
    """Makes watch messages as bytes."""

    def events(self, run: RunId, events: Sequence[RunEvent]) -> bytes:
        """Encode events and the token after the last of them."""

    def control(self, run: RunId, sequence: int, control: Control) -> bytes:
        """Encode a control and the token of a position."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Events after a position, encoded. `after` is the position behind them."""

    encoded: bytes | None
    after: int
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class WatchRequest:
    """Whom to watch and from where. `after` None: from now. `bookmark_interval` is taken into its bounds."""

    run: RunId
    after: int | None
    until_now: bool = False
    bookmark_interval: timedelta = DEFAULT_BOOKMARK


class _Feed:
    """What the watchers of one run share: a version that rises with every ring, and the reads of the present version."""

    def __init__(self) -> None:
        self.version = 0
        self.watchers = 0
        self.pump: asyncio.Task[None] | None = None
        self._reads: dict[int, asyncio.Task[Batch]] = {}
        self._news = asyncio.Event()

    def ring(self) -> None:
        """Wake every watcher. What was read before the ring is not given to anybody who comes after it."""
        self.version += 1
        self._reads.clear()
        self._news.set()
        self._news = asyncio.Event()

    async def read(self, after: int, read: Callable[[int], "asyncio.Task[Batch]"]) -> Batch:
        """Join the read of this position, or begin it."""
        task = self._reads.get(after)
        if task is None:
            task = self._reads[after] = read(after)
            if len(self._reads) > _SHARED_READS:
                del self._reads[next(iter(self._reads))]
        return await asyncio.shield(task)

    async def changed(self, since: int, at_most: float) -> None:
        """Wait for a ring after version `since`, or until the time is over."""
        news = self._news
        if self.version == since:
            with suppress(TimeoutError):
                async with asyncio.timeout(at_most):
                    await news.wait()


class RunWatching:
    """Serves the watchers of runs."""

    def __init__(
        self,
        *,
        storage: Storage,
        doorbell: Doorbell,
        encoder: WatchEncoder,
        batch_size: int = 200,
        max_age: timedelta = timedelta(hours=1),
        poll: timedelta = timedelta(seconds=5),
    ) -> None:
        self._storage = storage
        self._doorbell = doorbell
        self._encoder = encoder
        self._is_draining = False
        self._batch_size = batch_size
        self._max_age = max_age
        self._poll = poll
        self._feeds: dict[RunId, _Feed] = {}

    @property
    def watched_runs(self) -> int:
        """How many runs have a watcher."""
        return len(self._feeds)

    def drain(self) -> None:
        """End every watch, and every one that comes, with SERVER_DRAINING and a token."""
        self._is_draining = True
        for feed in self._feeds.values():
            feed.ring()

    async def watch(self, request: WatchRequest) -> AsyncGenerator[bytes, None]:
        """Yield messages until the run's last event or, with `until_now`, until the last that there is.

        Raises:
            UnavailableError: the server ends the watch before (`SERVER_DRAINING`, `REBALANCE`), after a closing control.
            NotFoundError: there is no such run.
            InvalidRequestError: `after` is beyond its history.
        """
        loop = asyncio.get_running_loop()
        now_at, is_over = await self._look(request.run)
        # From now, of a run that is over: its end, so that the watch ends honestly.
        after = request.after if request.after is not None else now_at - is_over
        if after > now_at:
            raise InvalidRequestError(
                [
                    Violation(
                        at=FieldPath("resume_token"),
                        message="it is beyond the run's history",
                        reason="INVALID_RESUME_TOKEN",
                    )
                ],
                reason="INVALID_RESUME_TOKEN",
            )
        bookmark = min(max(request.bookmark_interval, _LEAST_BOOKMARK), _MOST_BOOKMARK).total_seconds()
        ends_at = loop.time() + self._max_age.total_seconds()
        caught_up = False
        with self._feed(request.run) as feed:
            bookmark_at = loop.time() + bookmark
            while True:
                version = feed.version
                batch = await feed.read(after, lambda at: self._begin_read(request.run, at))
                if batch.encoded is not None:
                    after = batch.after
                    bookmark_at = loop.time() + bookmark
                    yield batch.encoded
                if not caught_up and after >= now_at:
                    caught_up = True
                    yield self._encoder.control(request.run, after, Control.CAUGHT_UP)
                if batch.is_last or (caught_up and request.until_now):
                    return
                if self._is_draining:
                    yield self._encoder.control(request.run, after, Control.SERVER_DRAINING)
                    raise UnavailableError(
                        "the server stops; watch on with the last token", reason="SERVER_DRAINING"
                    )
                if loop.time() >= ends_at:
                    yield self._encoder.control(request.run, after, Control.REBALANCE)
                    raise UnavailableError(
                        "the watch is at its greatest age; watch on with the last token", reason="REBALANCE"
                    )
                if loop.time() >= bookmark_at:
                    bookmark_at = loop.time() + bookmark
                    yield self._encoder.control(request.run, after, Control.BOOKMARK)
                if batch.encoded is None:
                    await feed.changed(version, min(bookmark_at, ends_at) - loop.time())

    async def _look(self, run: RunId) -> tuple[int, bool]:
        """Return the run's last sequence, and whether it is over."""
        async with self._storage.reading() as tx:
            found = await tx.runs.find(run)
        if found is None:
            raise no_run(run)
        return found.last_sequence, found.state.is_terminal

    def _begin_read(self, run: RunId, after: int) -> "asyncio.Task[Batch]":
        return asyncio.create_task(self._read(run, after), name=f"read {run} after {after}")

    async def _read(self, run: RunId, after: int) -> Batch:
        try:
            async with self._storage.reading() as tx:
                history = await tx.runs.events_after(run, after, limit=self._batch_size)
        except UnavailableError:
            # A database that is gone for a minute is a pause: bookmarks go on, and the poll looks again.
            return Batch(encoded=None, after=after, is_last=False)
        if history is None:
            raise no_run(run)
        if not history.events:
            return Batch(encoded=None, after=after, is_last=history.is_complete)
        return Batch(
            encoded=self._encoder.events(run, history.events),
            after=history.events[-1].sequence,
            is_last=history.is_complete,
        )

    @contextmanager
    def _feed(self, run: RunId) -> Iterator[_Feed]:
        feed = self._feeds.get(run)
        if feed is None:
            feed = self._feeds[run] = _Feed()
            feed.pump = asyncio.create_task(self._pump(run, feed), name=f"feed {run}")
        feed.watchers += 1
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                del self._feeds[run]
                if feed.pump is not None:
                    feed.pump.cancel()

    async def _pump(self, run: RunId, feed: _Feed) -> None:
        with self._doorbell.subscription(run_bell(run)) as bell:
            while True:
                feed.ring()  # at first too: what was read before we listened may be old
                await bell.wait(at_most=self._poll)
                bell.clear()
