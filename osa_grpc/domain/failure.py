"""What went wrong in a run. Errors *making* a run are exceptions (`errors`); these are values of the run."""

from enum import StrEnum

from osa_grpc.domain.value import Value


class FailureKind(StrEnum):
    """What kind of thing went wrong."""

    IMAGE_PULL = "IMAGE_PULL"
    CONFIG = "CONFIG"
    TIMEOUT = "TIMEOUT"
    OOM = "OOM"
    HOOK_EXIT = "HOOK_EXIT"
    BAD_OUTPUT = "BAD_OUTPUT"
    ENGINE = "ENGINE"
    INTERNAL = "INTERNAL"


class Failure(Value):
    """What went wrong; `retryable` says that the same submission may well succeed another time."""

    kind: FailureKind
    message: str
    retryable: bool = False
