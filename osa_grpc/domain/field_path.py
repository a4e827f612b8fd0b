"""Paths of fields within a request, as clients see them: `convention.hooks[1].table.columns[0].name`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldPath:
    """A path. `path / "field"` goes down, `path[3]` into a repeated field."""

    text: str = ""

    def __truediv__(self, field: str) -> "FieldPath":
        return FieldPath(f"{self.text}.{field}" if self.text else field)

    def __getitem__(self, index: int | str) -> "FieldPath":
        return FieldPath(f"{self.text}[{index}]")

    def __str__(self) -> str:
        return self.text
