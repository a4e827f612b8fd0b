"""From SQLAlchemy's expressions to text and parameters for asyncpg. SQLAlchemy serves as a compiler only; it never connects."""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from osa_grpc.domain.column import ColumnType

# Texts sort and compare by their code points, whatever the database's locale: pages have one order.
_SQL_TYPES: Final[dict[ColumnType, sa.types.TypeEngine[Any]]] = {
    ColumnType.TEXT: sa.Text(collation="C"),
    ColumnType.NUMBER: sa.Double(),
    ColumnType.INTEGER: sa.BigInteger(),
    ColumnType.BOOLEAN: sa.Boolean(),
    ColumnType.TIMESTAMP: sa.DateTime(timezone=True),
    ColumnType.DATE: sa.Date(),
    ColumnType.UUID: sa.Uuid(),
    ColumnType.JSON: JSONB(),
}
TYPE_NAMES: Final[dict[ColumnType, str]] = {
    ColumnType.TEXT: "text",
    ColumnType.NUMBER: "double precision",
    ColumnType.INTEGER: "bigint",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TIMESTAMP: "timestamp with time zone",
    ColumnType.DATE: "date",
    ColumnType.UUID: "uuid",
    ColumnType.JSON: "jsonb",
}
"""What Postgres's `format_type` calls each type."""

_DIALECT = asyncpg_dialect()  # type: ignore[no-untyped-call]
_DIALECT._backslash_escapes = False  # noqa: SLF001 - known of a server only when connected; standard_conforming_strings is on


def sql_type(kind: ColumnType) -> sa.types.TypeEngine[Any]:
    """Return a column's type in SQL."""
    return _SQL_TYPES[kind]


def compile_ddl(element: sa.schema.ExecutableDDLElement) -> str:
    """Return a definition's text."""
    return str(element.compile(dialect=_DIALECT))


def compile_statement(statement: sa.sql.ClauseElement) -> tuple[str, list[Any]]:
    """Return a statement's text and its parameters, in order."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    assert isinstance(compiled, sa.sql.compiler.SQLCompiler)
    return str(compiled), [compiled.params[name] for name in compiled.positiontup or ()]
