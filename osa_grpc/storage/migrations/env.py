"""Alembic's entry: runs the revisions on the connection that `runner` gives, in the transaction that it began."""

from alembic import context

from osa_grpc.storage.migrations.schema import VERSION_SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema=VERSION_SCHEMA,
)
context.run_migrations()
