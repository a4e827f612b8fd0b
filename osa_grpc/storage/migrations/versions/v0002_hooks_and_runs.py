"""Reviews, retries and their waits, adoption after a crash, discarded deliveries."""

from osa_grpc.storage.migrations.runner import execute_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add to it."""
    execute_file("v0002_hooks_and_runs.sql")
