"""Hooks: two discriminated unions. How a hook runs (`RuntimeConfig`) times what it produces (`FeatureSpec`).

The unions are annotated unions with one member each today, not base classes, so that `match` and `assert_never` keep their
force when a member is added.
"""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, JsonValue, StringConstraints, Tag, model_validator

from osa_grpc.domain.column import RESERVED_COLUMN_NAMES, ColumnDef
from osa_grpc.domain.names import PgIdentifier
from osa_grpc.domain.value import Value

MAX_TIMEOUT_SECONDS: Final = 86_400
MAX_COLUMNS: Final = 256
_UNITS: Final = {"k": 2**10, "m": 2**20, "g": 2**30}
_MIN_MEMORY: Final = 6 * 2**20  # the least Docker accepts
_MAX_MEMORY: Final = 1024 * 2**30


def _memory(text: str) -> str:
    match = re.fullmatch(r"([0-9]{1,12})([kmg])", text)
    if match is None:
        raise ValueError("expected a number and a unit k, m or g, for example 512m or 2g")
    if not _MIN_MEMORY <= int(match[1]) * _UNITS[match[2]] <= _MAX_MEMORY:
        raise ValueError("expected between 6m and 1024g")
    return text


def memory_text(memory_bytes: int) -> str:
    """Return a number of bytes as limits have it, in the largest unit in which it is whole; of KiB, if in none."""
    for unit in ("g", "m"):
        if memory_bytes % _UNITS[unit] == 0:
            return f"{memory_bytes // _UNITS[unit]}{unit}"
    return f"{memory_bytes // _UNITS['k']}k"


def memory_bytes(text: "MemorySize") -> int:
    """Return a memory size in bytes."""
    return int(text[:-1]) * _UNITS[text[-1]]


MemorySize = Annotated[str, AfterValidator(_memory)]
"""A number and a unit: `512m`, `2g`."""


def _cpu(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text):
        raise ValueError("expected a decimal number of cores, for example 0.5 or 2.0")
    if not Decimal("0.01") <= Decimal(text) <= Decimal(1024):
        raise ValueError("expected between 0.01 and 1024 cores")
    return text


class OciLimits(Value):
    """What one container may use."""

    timeout_seconds: int = Field(default=300, ge=1, le=MAX_TIMEOUT_SECONDS)
    memory: MemorySize = "2g"
    cpu: Annotated[str, AfterValidator(_cpu)] = "2.0"

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        return memory_bytes(self.memory)

    @property
    def cpu_cores(self) -> Decimal:
        """The processor limit in cores."""
        return Decimal(self.cpu)


ImageName = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[!-?A-~]+$")]
"""Where an image can be pulled from: ASCII without spaces and, because what runs is decided by a digest of its own, without `@`."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class OciConfig(Value):
    """A hook that runs as a container of an OCI image. What runs is decided by `digest` alone."""

    type: Literal["oci"] = "oci"
    image: ImageName
    digest: Digest
    config: dict[str, JsonValue] = Field(default_factory=dict)
    limits: OciLimits = OciLimits()


class Cardinality(StrEnum):
    """How many rows a hook produces for one record."""

    ONE = "one"
    MANY = "many"


class TableFeatureSpec(Value):
    """A feature that is rows of a typed table. Without columns: a hook that only judges."""

    kind: Literal["table"] = "table"
    cardinality: Cardinality
    columns: tuple[ColumnDef, ...] = Field(default=(), max_length=MAX_COLUMNS)

    @model_validator(mode="after")
    def _names_are_unique_and_free(self) -> Self:
        seen: set[str] = set()
        for column in self.columns:
            if column.name in RESERVED_COLUMN_NAMES:
                raise ValueError(f"{column.name} is the name of a system column")
            if column.name in seen:
                raise ValueError(f"two columns are called {column.name}")
            seen.add(column.name)
        return self


def _tag(name: str) -> Any:  # noqa: ANN401 - pydantic hands on whatever it was given
    def discriminate(value: Any) -> Any:  # noqa: ANN401 - the same
        return value.get(name) if isinstance(value, dict) else getattr(value, name, None)

    return discriminate


# Callable discriminators, because a plain `discriminator=` needs two members.
RuntimeConfig = Annotated[Annotated[OciConfig, Tag("oci")], Discriminator(_tag("type"))]
"""How a hook runs; discriminated on `type`."""

FeatureSpec = Annotated[Annotated[TableFeatureSpec, Tag("table")], Discriminator(_tag("kind"))]
"""What a hook produces; discriminated on `kind`."""


class HookDefinition(Value):
    """A hook: its name, how it runs and what it produces."""

    name: PgIdentifier
    runtime: RuntimeConfig
    feature: FeatureSpec
