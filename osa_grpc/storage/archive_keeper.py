"""Which server keeps an archive's files.

The database knows files by keys; their bytes are in one server's data directory. A server with another directory would find none of
them, so the database remembers whose it is.
"""

from uuid import UUID

from osa_grpc.storage.database import Database
from osa_grpc.storage.statements import Statements

_SQL = Statements("archive.sql")


async def keeper_of(database: Database, server_id: str) -> str:
    """Return the id of the server that keeps the archive's files: the first that asked."""
    async with database.transaction() as connection:
        await connection.execute(_SQL["claim"], UUID(server_id))
        return str(await connection.fetchval(_SQL["keeper"]))
