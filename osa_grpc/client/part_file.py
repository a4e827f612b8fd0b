"""A file that exists under its name only once it is whole."""

import uuid
from pathlib import Path
from typing import Self


class PartFile:
    """A file beside its target while it is written; a context manager, after which it is the target or is gone."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = target.with_name(f".{uuid.uuid4()}.part")
        self._file = self._part.open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        """Append a piece."""
        self._file.write(piece)

    def keep(self) -> None:
        """Let it be the target, replacing what was there."""
        self._file.close()
        self._part.replace(self._target)
