"""Columns of feature tables and fields of metadata: what their JSON may be, and what Postgres holds."""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, StringConstraints, model_validator

from osa_grpc.domain.names import PgIdentifier, ResourceKind
from osa_grpc.domain.value import Value


class JsonType(StrEnum):
    """The type of a JSON value."""

    STRING = "string"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"


ColumnFormat = Literal["", "date-time", "date", "uuid"]
COLUMN_FORMATS: Final = ("date-time", "date", "uuid")


class ColumnType(StrEnum):
    """What a column holds, seen from a query: the arms of the contract's `Value`."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"
    UUID = "uuid"
    JSON = "json"


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("expected text without the NUL character")
    return text


PlainText = Annotated[str, AfterValidator(_without_nul)]
"""Text that Postgres can hold."""

ShortText = Annotated[PlainText, StringConstraints(max_length=4096)]
DescriptionText = Annotated[PlainText, StringConstraints(max_length=512)]
"""So short that the columns of a table, which an answer may have twice, leave room in it for a row."""

UnitText = Annotated[PlainText, StringConstraints(max_length=64)]


class ColumnDef(Value):
    """A declared column, or a field of a convention's metadata."""

    name: PgIdentifier
    json_type: JsonType
    format: ColumnFormat = ""
    required: bool = False
    description: DescriptionText = ""
    unit: UnitText = ""

    @model_validator(mode="after")
    def _format_is_for_strings(self) -> Self:
        if self.format and self.json_type is not JsonType.STRING:
            raise ValueError(f"a format ({self.format}) goes with the type string only")
        return self

    @property
    def column_type(self) -> ColumnType:
        """What the column holds."""
        if self.json_type is JsonType.STRING:
            return _FORMAT_TYPES[self.format]
        return _JSON_TYPES[self.json_type]

    @property
    def shape(self) -> str:
        """What must be equal for two definitions to be of one column, for example `number, required`."""
        kind = f"{self.json_type.value} ({self.format})" if self.format else self.json_type.value
        return f"{kind}, required" if self.required else kind


_FORMAT_TYPES: Final[dict[str, ColumnType]] = {
    "": ColumnType.TEXT,
    "date-time": ColumnType.TIMESTAMP,
    "date": ColumnType.DATE,
    "uuid": ColumnType.UUID,
}
_JSON_TYPES: Final[dict[JsonType, ColumnType]] = {
    JsonType.NUMBER: ColumnType.NUMBER,
    JsonType.INTEGER: ColumnType.INTEGER,
    JsonType.BOOLEAN: ColumnType.BOOLEAN,
    JsonType.ARRAY: ColumnType.JSON,
    JsonType.OBJECT: ColumnType.JSON,
}


class QueryColumn(Value):
    """A column as a query sees it: the contract's `ColumnInfo`; or a field of a resource that lists are filtered by."""

    name: str
    type: ColumnType
    system: bool = False
    required: bool = False
    description: str = ""
    unit: str = ""
    words: tuple[str, ...] = ()
    """All that a text may be, where it is one of a few words."""
    word_prefix: str = ""
    """What the contract's names of those words begin with; may be written before a word."""
    resource: ResourceKind | None = None
    """What a text is the name of."""

    @classmethod
    def of(cls, column: ColumnDef) -> Self:
        """Return how a query sees a declared column."""
        return cls(
            name=column.name,
            type=column.column_type,
            required=column.required,
            description=column.description,
            unit=column.unit,
        )


SYSTEM_COLUMNS: Final = (
    QueryColumn(name="id", type=ColumnType.INTEGER, system=True, required=True, description="Row number."),
    QueryColumn(
        name="record_srn",
        type=ColumnType.TEXT,
        system=True,
        required=True,
        description="The record the row is about.",
    ),
    QueryColumn(
        name="execution_id",
        type=ColumnType.UUID,
        system=True,
        required=True,
        description="The hook execution that made the row: its provenance.",
    ),
    QueryColumn(
        name="created_at",
        type=ColumnType.TIMESTAMP,
        system=True,
        required=True,
        description="When the row was published.",
    ),
)
"""The columns every feature table has, before the declared ones."""

RESERVED_COLUMN_NAMES: Final = frozenset(column.name for column in SYSTEM_COLUMNS) | {
    "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"
}  # fmt: skip
"""Names no declared column may have: ours and Postgres's."""
