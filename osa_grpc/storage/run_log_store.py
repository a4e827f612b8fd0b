from typing import TYPE_CHECKING

from osa_grpc.application.ports import run_bell
from osa_grpc.application.storage_ports import LogState, RunLease
from osa_grpc.domain.errors import LeaseLostError
from osa_grpc.domain.names import ExecutionId, RunId
from osa_grpc.storage.run_store import lost
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("run_log.sql")


class PostgresRunLogStore:
    """What hooks' containers wrote, in one transaction. `rings` takes the bells to be rung at its commit."""

    def __init__(self, connection: "Connection", rings: set[str]) -> None:
        self._connection = connection
        self._rings = rings

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

        The run's row is locked (shared) by the statement that adds: whoever claims the run afterwards finds all that was added.

        Raises:
            LeaseLostError: another worker has the run, or the log is closed.
            ValueError: the end is before `offset`: bytes would be missing.
        """
        if offset == 0:
            await self._connection.execute(_SQL["open"], execution, attempt)
        if not data and not is_truncated:
            return
        row = await self._connection.fetchrow(
            _SQL["append"],
            execution,
            attempt,
            offset,
            data,
            lease.run,
            lease.worker,
            lease.epoch,
            is_truncated,
        )
        assert row is not None
        if not row["is_held"]:
            raise lost(lease)
        if row["is_added"]:
            self._rings.add(run_bell(lease.run))
            return
        state = await self.state(execution, attempt)
        if state is None or state.size_bytes < offset:
            raise ValueError(f"the log of attempt {attempt} of {execution} has not come to {offset} bytes")
        if state.size_bytes == offset:
            raise LeaseLostError(f"the log of attempt {attempt} of {execution} is closed")

    async def mark_gap(self, lease: RunLease, execution: ExecutionId, attempt: int) -> None:
        """Say that at the end of what is there now bytes may be missing, or come twice. Idempotent. Raises LeaseLostError."""
        await self._connection.execute(_SQL["open"], execution, attempt)
        marked = await self._connection.fetchval(
            _SQL["mark_gap"], execution, attempt, lease.run, lease.worker, lease.epoch
        )
        if not marked:
            raise lost(lease)
        self._rings.add(run_bell(lease.run))

    async def close(self, execution: ExecutionId, attempt: int, *, is_truncated: bool) -> None:
        """Say that no more comes. Idempotent."""
        run = await self._connection.fetchval(_SQL["close"], execution, attempt, is_truncated)
        self._rings.add(run_bell(RunId(str(run))))

    async def state(self, execution: ExecutionId, attempt: int) -> LogState | None:
        """Return how far it has come; None if the attempt never was."""
        row = await self._connection.fetchrow(_SQL["state"], execution, attempt)
        if row is None:
            return None
        return LogState(
            size_bytes=row["size_bytes"],
            is_closed=row["is_closed"],
            is_truncated=row["is_truncated"],
            gap_offsets=tuple(row["gap_offsets"]),
        )

    async def read(self, execution: ExecutionId, attempt: int, offset: int, *, limit: int) -> bytes:
        """Return at most `limit` bytes from `offset` on; empty at the end."""
        data: bytes | None = await self._connection.fetchval(_SQL["read"], execution, attempt, offset, limit)
        return data or b""
