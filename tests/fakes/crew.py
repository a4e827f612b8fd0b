"""Workers as servers have them, on a fake machine: they are killed, stalled, cut off and stopped in the middle of anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
)
from datetime import timedelta

import asyncpg

from osa_grpc.application.places import Places
from osa_grpc.application.ports import HookOutputs, Telemetry
from osa_grpc.application.retry_policy import RetryRules
from osa_grpc.application.row_decoding import count_rows, stream_rows
from osa_grpc.application.run_execution import ExecutionRules, RunExecutor
from osa_grpc.application.run_worker import RunWorker
from osa_grpc.application.storage_ports import Storage, Transaction, WorkerId
from osa_grpc.domain.errors import UnavailableError
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.run import Verdict
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.storage.database import Database
from osa_grpc.storage.doorbell import Doorbell
from osa_grpc.storage.transaction import PostgresStorage
from tests.fakes.hook_runtime import FakeHookRuntime, Machine

AUTHORITY = SrnAuthority(domain="example.org")
LEASE = timedelta(seconds=0.6)
RULES = ExecutionRules(
    retry=RetryRules(
        max_attempts=3,
        delay=timedelta(milliseconds=20),
        max_delay=timedelta(milliseconds=60),
        max_memory_bytes=2**40,
    )
)


class Line:
    """A storage that can stall, also before a commit, and go dead. Fills the port `Storage`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._moves = asyncio.Event()
        self._moves.set()
        self._is_dead = False

    def stall(self) -> None:
        self._moves.clear()

    def go_on(self) -> None:
        self._moves.set()

    def die(self) -> None:
        self._is_dead = True
        self._moves.set()

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._through(self._storage.transaction())

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return self._through(self._storage.reading())

    @asynccontextmanager
    async def _through(
        self, beginning: AbstractAsyncContextManager[Transaction]
    ) -> AsyncIterator[Transaction]:
        await self._moving()
        async with beginning as tx:
            yield tx
            await self._moving()

    async def _moving(self) -> None:
        await self._moves.wait()
        if self._is_dead:
            raise UnavailableError("its server was killed", reason="DATABASE_UNAVAILABLE")


class Hand:
    """One worker at work, and all it stands on."""

    def __init__(self, *, number: int, dsn: str, doorbell: Doorbell, machine: Machine) -> None:
        self.name = f"worker-{number}"
        self._database = Database(dsn=dsn, max_size=4, application_name=self.name)
        self.line = Line(PostgresStorage(database=self._database, doorbell=doorbell))
        self._runtime = FakeHookRuntime(machine)
        executor = RunExecutor(
            storage=self.line,
            runtimes={self._runtime.runtime_type: self._runtime},
            authority=AUTHORITY,
            count_rows=_count_rows,
            stream_rows=_stream_rows,
            places=Places(2),
            rules=RULES,
            telemetry=Silence(),
        )
        self._worker = RunWorker(
            storage=self.line,
            doorbell=doorbell,
            executor=executor,
            worker=WorkerId(self.name),
            max_runs=4,
            lease=LEASE,
            poll=timedelta(seconds=0.05),
        )
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        await self._database.connect()
        self._task = asyncio.create_task(self._worker.run(), name=self.name)

    @property
    def ended_by_itself(self) -> bool:
        """Whether it has, which it never should."""
        return self._task is not None and self._task.done()

    async def kill(self) -> None:
        """End it as kill -9 does: what it was about to write is not written, what it holds is not given back."""
        self.line.die()
        self._runtime.kill()
        assert self._database._pool is not None
        self._database._pool.terminate()
        await self._over()

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        self.line.go_on()
        await self._over()
        await self._database.aclose()

    async def _over(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()


async def cut(dsn: str, application_name: str) -> None:
    """Cut all connections of that name."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE $1
            """,
            application_name,
        )
    finally:
        await connection.close()


def _count_rows(outputs: HookOutputs, hook: HookDefinition, subject_id: str) -> int:
    return count_rows(outputs, hook, subject_id=subject_id)


def _stream_rows(
    outputs: HookOutputs, hook: HookDefinition, subject_id: str
) -> AsyncIterator[tuple[object, ...]]:
    return stream_rows(outputs, hook, subject_id=subject_id)


class Silence:
    """Counts nothing. Fills the port `Telemetry`."""

    def hook_retried(self, hook: str, kind: FailureKind) -> None:
        pass

    def running_hook(self, hook: str) -> AbstractContextManager[None]:  # noqa: ARG002 - as the port has it
        return nullcontext()

    def hook_ended(self, hook: str, verdict: Verdict) -> None:
        pass


def conforms(line: Line, silence: Silence) -> tuple[Storage, Telemetry]:
    """Checked by mypy: they have the shapes of the ports."""
    return line, silence
