"""Answers a request id the same way each time it comes.

What a request id was answered with is stored in the transaction of the change itself: either both are there or neither.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from osa_grpc.application.storage_ports import Storage, StoredAnswer, Transaction
from osa_grpc.domain.errors import InvalidRequestError, Violation
from osa_grpc.domain.field_path import FieldPath

MAX_REQUEST_ID_LENGTH: Final = 128
REQUEST_ID: Final = FieldPath("request_id")


def check_request_id(request_id: str, *, at: FieldPath = REQUEST_ID) -> None:
    """Raise InvalidRequestError if it can be no request id."""
    is_long = len(request_id) > MAX_REQUEST_ID_LENGTH
    if is_long or "\x00" in request_id:
        raise InvalidRequestError(
            [
                Violation(
                    at=at,
                    message=f"expected at most {MAX_REQUEST_ID_LENGTH} characters without NUL, "
                    f"found {len(request_id)} characters",
                    reason="TOO_LONG" if is_long else "INVALID_VALUE",
                )
            ]
        )


async def answer_once(
    storage: Storage,
    *,
    method: str,
    request_id: str,
    fingerprint: bytes,
    act: Callable[[Transaction], Awaitable[bytes]],
    at: FieldPath = REQUEST_ID,
) -> bytes:
    """Do what is asked and return the answer; or, if the request id was answered before, that answer, and do nothing.

    `fingerprint` stands for the request's content; `at` is where the request has its id. An empty `request_id` makes no promise.
    Concurrent calls with one id wait for each other.

    Raises:
        InvalidRequestError: the id was used for another request (`REQUEST_ID_REUSED`), or can be none.
    """
    check_request_id(request_id, at=at)
    async with storage.transaction() as tx:
        if not request_id:
            return await act(tx)
        stored = await tx.requests.find(method, request_id)
        if stored is None:
            answer = await act(tx)
            await tx.requests.insert(method, request_id, StoredAnswer(fingerprint=fingerprint, answer=answer))
            return answer
    if stored.fingerprint != fingerprint:
        raise InvalidRequestError(
            [
                Violation(
                    at=at,
                    message=f"{request_id!r} was used for another request; expected a fresh id",
                    reason="REQUEST_ID_REUSED",
                )
            ],
            reason="REQUEST_ID_REUSED",
        )
    return stored.answer
