"""The first schema: conventions, depositions, runs and their history, records, events and deliveries."""

from osa_grpc.storage.migrations.runner import execute_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make it."""
    execute_file("v0001_first_schema.sql")
