"""What the process ends with, so that scripts can tell outcomes apart."""

from typing import Final

import grpc

from osa_grpc.wire import pb

OK: Final = 0
UNEXPECTED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
INVALID: Final = 4
PRECONDITION: Final = 5
UNAVAILABLE: Final = 6
DEADLINE: Final = 7
NOT_ALLOWED: Final = 8
REJECTED: Final = 10
FAILED: Final = 11
CANCELLED: Final = 12
AWAITING_REVIEW: Final = 13
INTERRUPTED: Final = 130

_OF_STATUS: Final = {
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT: INVALID,
    grpc.StatusCode.OUT_OF_RANGE: INVALID,
    grpc.StatusCode.UNIMPLEMENTED: INVALID,
    grpc.StatusCode.FAILED_PRECONDITION: PRECONDITION,
    grpc.StatusCode.ALREADY_EXISTS: PRECONDITION,
    grpc.StatusCode.ABORTED: PRECONDITION,
    grpc.StatusCode.UNAVAILABLE: UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: DEADLINE,
    grpc.StatusCode.PERMISSION_DENIED: NOT_ALLOWED,
    grpc.StatusCode.UNAUTHENTICATED: NOT_ALLOWED,
}

_OF_RUN: Final[dict[int, int]] = {
    pb.RUN_STATE_COMPLETED: OK,
    pb.RUN_STATE_REJECTED: REJECTED,
    pb.RUN_STATE_FAILED: FAILED,
    pb.RUN_STATE_CANCELLED: CANCELLED,
    pb.RUN_STATE_AWAITING_REVIEW: AWAITING_REVIEW,
}


def of_status(code: grpc.StatusCode) -> int:
    """Return the exit code for an error of the server."""
    return _OF_STATUS.get(code, UNEXPECTED)


def of_run(state: int) -> int:
    """Return the exit code for a run that was followed: for its end, or the review that it waits for.

    An end of a newer contract is not taken for success.
    """
    return _OF_RUN.get(state, UNEXPECTED)
