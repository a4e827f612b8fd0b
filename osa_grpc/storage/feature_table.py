"""What a feature table is in Postgres: from the feature's spec to a `sqlalchemy.Table`, from which all its SQL derives."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, CreateTable, SetColumnComment

from osa_grpc.domain.column import ColumnDef, ColumnType, QueryColumn
from osa_grpc.domain.hook import TableFeatureSpec
from osa_grpc.storage.compilation import compile_ddl, sql_type

SCHEMA: Final = "features"
_MAX_NAME_BYTES: Final = 63
_HASH_LETTERS: Final = 8


class _NamedIdentity(sa.Identity):
    """An identity whose sequence has a name of ours, because Postgres's choice could be another hook's name."""

    def __init__(self, sequence: str) -> None:
        super().__init__(always=True)
        self.sequence = sequence


@compiles(_NamedIdentity)
def _named_identity(element: _NamedIdentity, compiler: PGDDLCompiler, **kw: Any) -> str:  # noqa: ANN401 - as SQLAlchemy calls it
    name = compiler.preparer.quote(element.sequence)
    return f"{compiler.visit_identity_column(element, **kw)} (SEQUENCE NAME {SCHEMA}.{name})"  # type: ignore[no-untyped-call]


def feature_table(hook: str, spec: TableFeatureSpec) -> sa.Table:
    """Return the table of a hook: system columns, then the declared ones in order."""
    metadata = sa.MetaData()
    sa.Table("record", metadata, sa.Column("srn", sa.Text()), schema="osa")
    sa.Table("hook_execution", metadata, sa.Column("id", sa.Uuid()), schema="osa")
    table = sa.Table(
        sa.quoted_name(hook, quote=True),
        metadata,
        sa.Column("id", sa.BigInteger(), _NamedIdentity(derived_name(hook, "id_seq")), nullable=False),
        sa.Column("record_srn", sql_type(ColumnType.TEXT), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        *(_declared(column) for column in spec.columns),
        sa.PrimaryKeyConstraint("id", name=derived_name(hook, "id_key")),
        # Looked at in the end: the record comes after its rows. While one is inserted no table can be made, and a COPY takes long.
        sa.ForeignKeyConstraint(
            ["record_srn"],
            ["osa.record.srn"],
            name=derived_name(hook, "record_srn_fk"),
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["osa.hook_execution.id"], name=derived_name(hook, "execution_id_fk")
        ),
        schema=SCHEMA,
    )
    sa.Index(derived_name(hook, "record_srn_idx"), table.c.record_srn)
    return table


def _declared(column: ColumnDef) -> sa.Column[Any]:
    unit = f"[{column.unit}]" if column.unit else ""
    return sa.Column(
        sa.quoted_name(column.name, quote=True),
        sql_type(column.column_type),
        nullable=not column.required,
        comment=f"{column.description} {unit}".strip() or None,
    )


def query_table(hook: str, columns: Sequence[QueryColumn]) -> sa.TableClause:
    """Return the part of a hook's table that a query is about."""
    return sa.table(
        sa.quoted_name(hook, quote=True),
        *(
            sa.column(sa.quoted_name(name, quote=True), sql_type(kind))
            for name, kind in {column.name: column.type for column in columns}.items()
        ),
        schema=SCHEMA,
    )


def derived_name(hook: str, suffix: str) -> str:
    """Return the name of something of a hook's table, of at most 63 bytes.

    It begins with an underscore, as no hook's name does: tables, indexes and sequences share one namespace.
    """
    name = f"_{hook}_{suffix}"
    if len(name) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(hook.encode()).hexdigest()[:_HASH_LETTERS]
    kept = _MAX_NAME_BYTES - len(suffix) - _HASH_LETTERS - 3
    return f"_{hook[:kept]}_{digest}_{suffix}"


def creation(table: sa.Table) -> Iterator[str]:
    """Yield the statements that make a table."""
    yield compile_ddl(CreateTable(table))
    for index in table.indexes:
        yield compile_ddl(CreateIndex(index))


def addition(table: sa.Table, column: str) -> str:
    """Return the statement that adds a column to a table that is there without it."""
    return compile_ddl(_AddColumn(table.c[column]))


def comments(table: sa.Table) -> Iterator[str]:
    """Yield the statements that say what the declared columns mean."""
    for column in table.columns:
        if column.comment is not None:
            yield compile_ddl(SetColumnComment(column))


class _AddColumn(sa.schema.ExecutableDDLElement):
    def __init__(self, column: sa.Column[Any]) -> None:
        self.column = column


@compiles(_AddColumn)
def _add_column(element: _AddColumn, compiler: PGDDLCompiler, **_: Any) -> str:  # noqa: ANN401 - as SQLAlchemy calls it
    table = compiler.preparer.format_table(element.column.table)
    return f"ALTER TABLE {table} ADD COLUMN {compiler.get_column_specification(element.column)}"  # type: ignore[no-untyped-call]
