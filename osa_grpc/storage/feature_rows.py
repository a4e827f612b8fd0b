"""Rows of feature tables: replaced whole per record and hook, read page by page."""

from collections.abc import AsyncIterable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from osa_grpc.application.storage_ports import Page
from osa_grpc.domain.filter import FeatureQuery, FeatureRow
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.names import ExecutionId
from osa_grpc.storage.compilation import compile_statement
from osa_grpc.storage.feature_query import read_page
from osa_grpc.storage.feature_table import SCHEMA, feature_table
from osa_grpc.storage.statements import Statements

if TYPE_CHECKING:
    from osa_grpc.storage.database import Connection

_SQL = Statements("feature_rows.sql")

_COPY_TIMEOUT: Final = timedelta(hours=1)  # a big result is one statement, and takes longer than others may


class PostgresFeatureRowStore:
    """Rows of feature tables, in one transaction."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def replace(
        self,
        *,
        hook: HookDefinition,
        record_srn: str,
        execution: ExecutionId,
        rows: AsyncIterable[tuple[object, ...]],
    ) -> int:
        """Delete the record's rows in the hook's table and COPY these; return how many.

        `rows` are positional against `hook.feature.columns` (as `application.row_decoding` gives them); memory is bounded. A hook
        without columns has no rows to replace.
        """
        if not hook.feature.columns:
            return 0
        table = feature_table(hook.name, hook.feature)
        deletion, parameters = compile_statement(sa.delete(table).where(table.c.record_srn == record_srn))
        await self._connection.execute(deletion, *parameters)

        async def records() -> AsyncIterable[tuple[object, ...]]:
            async for row in rows:
                yield (record_srn, execution, *row)

        timeout = _COPY_TIMEOUT.total_seconds()
        limit = await self._connection.fetchval(_SQL["statement_timeout"])
        await self._connection.execute(_SQL["set_statement_timeout"], f"{timeout:.0f}s")
        status = await self._connection.copy_records_to_table(
            hook.name,
            schema_name=SCHEMA,
            columns=["record_srn", "execution_id", *(column.name for column in hook.feature.columns)],
            records=records(),
            timeout=timeout,
        )
        await self._connection.execute(_SQL["set_statement_timeout"], limit)
        return int(status.removeprefix("COPY "))

    async def query(self, query: FeatureQuery) -> Page[FeatureRow]:
        """Return a page of rows, sized in rows and bytes; `after` has the sort keys' values as JSON texts.

        It holds at least one row if there is one, whatever its size.
        """
        return await read_page(self._connection, query)
