"""Hooks across conventions: who uses them, and how they have judged."""

from datetime import datetime

from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.names import ConventionRef
from osa_grpc.domain.value import Value


class VerdictCounts(Value):
    """How often a hook has come to each verdict."""

    passed: int = 0
    rejected: int = 0
    failed: int = 0


class HookSummary(Value):
    """A hook by its name. `definition` is the one of the convention registered last, at `updated_at`."""

    definition: HookDefinition
    convention_count: int
    verdict_counts: VerdictCounts
    created_at: datetime
    updated_at: datetime


class HookUse(Value):
    """A convention's definition of a hook."""

    convention: ConventionRef
    definition: HookDefinition
    created_at: datetime
