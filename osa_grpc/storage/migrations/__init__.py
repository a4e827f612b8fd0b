"""The database's schema, step by step: Alembic's revisions, each a file of SQL beside a file of Python."""
