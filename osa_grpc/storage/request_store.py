from datetime import timedelta
from typing import TYPE_CHECKING

from osa_grpc.application.storage_ports import StoredAnswer
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("request.sql")


class PostgresRequestStore:
    """What request ids were answered with, in one transaction."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def find(self, method: str, request_id: str) -> StoredAnswer | None:
        """Return the stored answer, or None. Holds off the same id until the transaction ends."""
        await self._connection.execute(_SQL["lock"], method, request_id)
        row = await self._connection.fetchrow(_SQL["find"], method, request_id)
        return None if row is None else StoredAnswer(fingerprint=row["fingerprint"], answer=row["answer"])

    async def insert(self, method: str, request_id: str, answer: StoredAnswer) -> None:
        """Store it."""
        await self._connection.execute(_SQL["insert"], method, request_id, answer.fingerprint, answer.answer)

    async def purge(self, *, older_than: timedelta, limit: int) -> int:
        """Forget at most `limit` answers of that age; return how many."""
        return int(await self._connection.fetchval(_SQL["purge"], older_than, limit))
