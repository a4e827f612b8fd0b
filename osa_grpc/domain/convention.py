"""Conventions: what an archive accepts. Immutable per version."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from osa_grpc.domain.column import ColumnDef, PlainText
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.names import ConventionRef
from osa_grpc.domain.value import Value

MAX_CONVENTION_BYTES: Final = 2**20
"""How large a convention may be, encoded as it is sent: its hooks alone could be many times what a message holds."""

MAX_HOOKS: Final = 64
MAX_METADATA_FIELDS: Final = 256
MAX_FILE_COUNT: Final = 10_000
MAX_FILE_BYTES: Final = 2**40


def _extension(text: str) -> str:
    if not 2 <= len(text) <= 32 or not text.startswith(".") or "/" in text or text != text.strip():  # noqa: PLR2004 - said in the message
        raise ValueError("expected an ending with its dot, for example .cif, of 2 to 32 characters")
    return text.lower()


class FileRequirements(Value):
    """The files a deposition must bring. Endings are compared without regard to case."""

    min_count: int = Field(default=1, ge=0, le=MAX_FILE_COUNT)
    max_count: int = Field(default=1000, ge=1, le=MAX_FILE_COUNT)
    max_size_bytes: int = Field(default=2**33, ge=1, le=MAX_FILE_BYTES)
    extensions: tuple[Annotated[PlainText, AfterValidator(_extension)], ...] = Field(
        default=(), max_length=64
    )

    @model_validator(mode="after")
    def _minimum_is_below_maximum(self) -> Self:
        if self.min_count > self.max_count:
            raise ValueError(f"min_count ({self.min_count}) is more than max_count ({self.max_count})")
        return self

    def accepts_name(self, file_name: str) -> bool:
        """Whether a file may be called so."""
        return not self.extensions or file_name.lower().endswith(self.extensions)


class ConventionState(StrEnum):
    """Whether a convention can be used."""

    PENDING = "PENDING"
    READY = "READY"
    FAILED = "FAILED"


class ReviewMode(StrEnum):
    """Who decides about a run whose hooks have all passed: nobody, or a person."""

    AUTO = "AUTO"
    MANUAL = "MANUAL"


class ConventionDefinition(Value):
    """What a convention says; the part that never changes."""

    ref: ConventionRef
    title: Annotated[PlainText, StringConstraints(min_length=1, max_length=256)]
    description: Annotated[PlainText, StringConstraints(max_length=16_384)] = ""
    metadata_schema: tuple[ColumnDef, ...] = Field(default=(), max_length=MAX_METADATA_FIELDS)
    file_requirements: FileRequirements = FileRequirements()
    hooks: tuple[HookDefinition, ...] = Field(default=(), max_length=MAX_HOOKS)
    review: ReviewMode = ReviewMode.AUTO

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("hooks", [hook.name for hook in self.hooks]),
            ("metadata fields", [field.name for field in self.metadata_schema]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two {what} are called {twice[0]}")
        return self

    def hook(self, name: str) -> HookDefinition:
        """Return the hook of that name. Raises KeyError."""
        for hook in self.hooks:
            if hook.name == name:
                return hook
        raise KeyError(name)

    def differences(self, other: "ConventionDefinition") -> list[tuple[str, Any, Any]]:
        """Return (path, here, there) for every leaf in which the two differ; paths are of this model's JSON."""
        return _differences("", self.model_dump(mode="json"), other.model_dump(mode="json"))


class Convention(Value):
    """A registered convention."""

    definition: ConventionDefinition
    state: ConventionState
    failure: str | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def ref(self) -> ConventionRef:
        """Which one it is."""
        return self.definition.ref


def _differences(path: str, here: Any, there: Any) -> list[tuple[str, Any, Any]]:  # noqa: ANN401 - JSON
    if isinstance(here, dict) and isinstance(there, dict):
        return [
            difference
            for key in sorted({*here, *there})
            for difference in _differences(f"{path}.{key}" if path else key, here.get(key), there.get(key))
        ]
    if isinstance(here, list) and isinstance(there, list):
        return [
            difference
            for i in range(max(len(here), len(there)))
            for difference in _differences(
                f"{path}[{i}]",
                here[i] if i < len(here) else None,
                there[i] if i < len(there) else None,
            )
        ]
    return [] if here == there and type(here) is type(there) else [(path, here, there)]
