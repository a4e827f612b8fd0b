import re
from collections.abc import Iterator, Mapping
from importlib.resources import files

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


class Statements(Mapping[str, str]):
    """The named blocks of one file of `osa_grpc/storage/sql/`.

    A block begins with a line `-- name: claim` and goes on to the next one; comments after the name explain
    it and its parameters. Each is one statement, sent to the server with its comments, so that they show up
    in its log.

    Raises:
        ValueError: two blocks of one name, an empty one, or SQL before the first name.
    """

    def __init__(self, file_name: str) -> None:
        text = files("osa_grpc.storage").joinpath("sql", file_name).read_text(encoding="utf-8")
        preamble, *parts = _NAME.split(text)
        if _without_comments(preamble):
            raise ValueError(f"{file_name}: SQL before the first name")
        self._blocks: dict[str, str] = {}
        for name, block in zip(parts[::2], parts[1::2], strict=True):
            if name in self._blocks:
                raise ValueError(f"{file_name}: {name} is there twice")
            if not _without_comments(block):
                raise ValueError(f"{file_name}: {name} is empty")
            self._blocks[name] = f"-- {name}{block.rstrip().removesuffix(';')}"

    def __getitem__(self, name: str) -> str:
        return self._blocks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)


def statement_files() -> list[str]:
    """The names of all files of statements, sorted."""
    directory = files("osa_grpc.storage").joinpath("sql")
    return (
        sorted(f.name for f in directory.iterdir() if f.name.endswith(".sql")) if directory.is_dir() else []
    )


def _without_comments(text: str) -> str:
    return "".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).strip()
