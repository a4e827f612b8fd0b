import re
from pathlib import Path

import asyncpg
import pytest

import osa_grpc.storage
from osa_grpc.storage.statements import Statements, statement_files

BLOCKS = [(file, name) for file in statement_files() for name in Statements(file)]


@pytest.mark.parametrize("file", statement_files())
async def test_every_statement_fits_the_migrated_schema(database_dsn: str, file: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    wrong = {}
    for name, statement in Statements(file).items():
        try:
            await connection.prepare(statement)
        except asyncpg.PostgresError as error:
            wrong[name] = str(error)
    await connection.close()
    assert not wrong


@pytest.mark.parametrize(("file", "name"), BLOCKS)
def test_every_parameter_is_explained(file: str, name: str) -> None:
    statement = Statements(file)[name]
    comments = "\n".join(line for line in statement.splitlines() if line.lstrip().startswith("--"))
    sql = "\n".join(line for line in statement.splitlines() if not line.lstrip().startswith("--"))
    assert set(re.findall(r"\$\d+", sql)) <= set(re.findall(r"\$\d+", comments))


@pytest.mark.parametrize(("file", "name"), BLOCKS)
def test_every_statement_is_used(file: str, name: str) -> None:
    sources = [path.read_text() for path in Path(osa_grpc.storage.__path__[0]).rglob("*.py")]
    users = [source for source in sources if f'Statements("{file}")' in source]
    assert any(f'["{name}"]' in source for source in users)
