"""Names: identifiers, ids, and the resource names made of them.

`conventions/{id}@{version}`, `depositions/{id}`, `depositions/{id}/files/{file}`, `runs/{id}`,
`runs/{id}/executions/{hook}`, `records/{id}@{version}`, `featureTables/{hook}`, `hooks/{hook}`, `deliveries/{number}`.
"""

import re
import unicodedata
import uuid
from enum import StrEnum
from typing import Annotated, Final, NewType, assert_never

from pydantic import AfterValidator, StringConstraints

from osa_grpc.domain.value import Value

PgIdentifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A name that is a Postgres identifier without quoting, and fits its 63 bytes: hooks and columns have such."""

ConventionId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]

_CORE = r"(?:0|[1-9][0-9]{0,8})"
_SEMVER = re.compile(
    rf"{_CORE}\.{_CORE}\.{_CORE}"
    r"(?:-(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


def _semantic_version(text: str) -> str:
    if len(text) > 64 or not _SEMVER.fullmatch(text):  # noqa: PLR2004 - said in the message
        raise ValueError("expected a semantic version such as 1.0.0, of at most 64 characters")
    return text


Version = Annotated[str, AfterValidator(_semantic_version)]
"""A version as https://semver.org/spec/v2.0.0.html has it."""

FILE_NAME_BYTES = 255


def _file_name(text: str) -> str:
    if not 1 <= len(text.encode("utf-8", "surrogatepass")) <= FILE_NAME_BYTES:
        raise ValueError("expected 1 to 255 bytes of UTF-8")
    if text.startswith(".") or "/" in text or "\\" in text:
        raise ValueError("expected a file name without '/' or '\\' that does not start with a dot")
    if any(unicodedata.category(c) in {"Cc", "Cs", "Cf", "Zl", "Zp"} for c in text):
        raise ValueError("expected a file name without control or formatting characters")
    return text


FileName = Annotated[str, AfterValidator(_file_name)]
"""A file's name within a deposition, and within what a hook sees. It is data; on our disks nothing is called so
but the read-only view made for a container."""

DepositionId = NewType("DepositionId", str)
RunId = NewType("RunId", str)
RecordId = NewType("RecordId", str)
ExecutionId = NewType("ExecutionId", uuid.UUID)

_MAX_NUMBER: Final = 2**63 - 1

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def new_id() -> str:
    """Return a fresh id: a random UUID in its canonical form."""
    return str(uuid.uuid4())


def is_id(text: str) -> bool:
    """Whether the text has the form of an id we give."""
    return re.fullmatch(_UUID, text) is not None


class ConventionRef(Value):
    """Which convention: its id and version."""

    id: ConventionId
    version: Version

    @property
    def key(self) -> str:
        """`{id}@{version}`, as resource names and SRNs have it."""
        return f"{self.id}@{self.version}"

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"conventions/{self.key}"


class RecordRef(Value):
    """Which record: its id and version, from 1."""

    id: str
    version: int = 1

    @property
    def key(self) -> str:
        """`{id}@{version}`, as resource names and SRNs have it."""
        return f"{self.id}@{self.version}"

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"records/{self.key}"


def deposition_name(deposition: DepositionId) -> str:
    """Return `depositions/{id}`."""
    return f"depositions/{deposition}"


def file_resource_name(deposition: DepositionId, file: str) -> str:
    """Return `depositions/{id}/files/{file}`."""
    return f"depositions/{deposition}/files/{file}"


def run_name(run: RunId) -> str:
    """Return `runs/{id}`."""
    return f"runs/{run}"


def execution_name(run: RunId, hook: str) -> str:
    """Return `runs/{run}/executions/{hook}`."""
    return f"runs/{run}/executions/{hook}"


def feature_table_name(hook: str) -> str:
    """Return `featureTables/{hook}`."""
    return f"featureTables/{hook}"


def hook_name(hook: str) -> str:
    """Return `hooks/{hook}`."""
    return f"hooks/{hook}"


def delivery_name(delivery: int) -> str:
    """Return `deliveries/{number}`."""
    return f"deliveries/{delivery}"


def _match(pattern: str, name: str, expected: str) -> re.Match[str]:
    match = re.fullmatch(pattern, name, re.DOTALL)
    if match is None:
        raise ValueError(f"expected {expected}, found {name[:80]!r}")
    return match


def parse_convention_name(name: str) -> ConventionRef:
    """Read `conventions/{id}@{version}`. Raises ValueError, which says what was expected."""
    match = _match(
        rf"conventions/([a-z][a-z0-9-]{{0,62}})@({_SEMVER.pattern})", name, "conventions/{id}@{version}"
    )
    return ConventionRef(id=match[1], version=match[2])


def parse_deposition_name(name: str) -> DepositionId:
    """Read `depositions/{id}`. Raises ValueError, which says what was expected."""
    return DepositionId(_match(rf"depositions/({_UUID})", name, "depositions/{id}, the id a UUID")[1])


def parse_file_name(name: str) -> tuple[DepositionId, str]:
    """Read `depositions/{id}/files/{file}`. Raises ValueError, which says what was expected."""
    match = _match(rf"depositions/({_UUID})/files/([^/]+)", name, "depositions/{id}/files/{file}")
    return DepositionId(match[1]), match[2]


def parse_run_name(name: str) -> RunId:
    """Read `runs/{id}`. Raises ValueError, which says what was expected."""
    return RunId(_match(rf"runs/({_UUID})", name, "runs/{id}, the id a UUID")[1])


def parse_execution_name(name: str) -> tuple[RunId, str]:
    """Read `runs/{run}/executions/{hook}`. Raises ValueError, which says what was expected."""
    match = _match(
        rf"runs/({_UUID})/executions/([a-z][a-z0-9_]{{0,62}})", name, "runs/{run}/executions/{hook}"
    )
    return RunId(match[1]), match[2]


def parse_record_name(name: str) -> RecordRef:
    """Read `records/{id}@{version}`. Raises ValueError, which says what was expected."""
    match = _match(rf"records/({_UUID})@([1-9][0-9]{{0,8}})", name, "records/{id}@{version}")
    return RecordRef(id=match[1], version=int(match[2]))


def parse_feature_table_name(name: str) -> str:
    """Read `featureTables/{hook}`. Raises ValueError, which says what was expected."""
    return _match(r"featureTables/([a-z][a-z0-9_]{0,62})", name, "featureTables/{hook}")[1]


def parse_hook_name(name: str) -> str:
    """Read `hooks/{hook}`. Raises ValueError, which says what was expected."""
    return _match(r"hooks/([a-z][a-z0-9_]{0,62})", name, "hooks/{hook}")[1]


def parse_delivery_name(name: str) -> int:
    """Read `deliveries/{number}`. Raises ValueError, which says what was expected."""
    expected = "deliveries/{number}"
    number = int(_match(r"deliveries/([1-9][0-9]{0,18})", name, expected)[1])
    if number > _MAX_NUMBER:
        raise ValueError(f"expected {expected}, found {name!r}")
    return number


class ResourceKind(StrEnum):
    """A kind of resource that lists can be filtered by; the value is the form of its names."""

    CONVENTION = "conventions/{id}@{version}"
    DEPOSITION = "depositions/{id}"
    RUN = "runs/{id}"
    RECORD = "records/{id}@{version}"
    DELIVERY = "deliveries/{number}"


def name_parts(kind: ResourceKind, name: str) -> tuple[str | int, ...]:
    """Return what a resource's name is made of: its id, and its version where it has one.

    Raises:
        ValueError: it is no name of such a resource.
    """
    match kind:
        case ResourceKind.CONVENTION:
            convention = parse_convention_name(name)
            return convention.id, convention.version
        case ResourceKind.DEPOSITION:
            return (parse_deposition_name(name),)
        case ResourceKind.RUN:
            return (parse_run_name(name),)
        case ResourceKind.RECORD:
            record = parse_record_name(name)
            return record.id, record.version
        case ResourceKind.DELIVERY:
            return (parse_delivery_name(name),)
        case unhandled:
            assert_never(unhandled)
