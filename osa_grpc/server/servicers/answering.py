"""What servicers have in common: answering request ids, and pages."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from osa_grpc.application.requests import answer_once
from osa_grpc.application.storage_ports import PageRequest, Storage, Transaction
from osa_grpc.wire import tokens
from osa_grpc.wire.resource_names import page_size
from osa_grpc.wire.tokens import PageBinding

M = TypeVar("M", bound=Message)


class PagedRequest(Protocol):
    """A request for a page of a listing."""

    page_size: int
    page_token: str


async def answer_mutation(
    storage: Storage, request: Message, answer: type[M], act: Callable[[Transaction], Awaitable[M]]
) -> M:
    """Answer a mutation once for its `request_id`: what is compared is the request without it."""
    content = type(request)()
    content.CopyFrom(request)
    request_id: str = getattr(request, "request_id")  # noqa: B009 - every mutation has one; a test sees to it
    content.ClearField("request_id")
    return await answer_content(
        storage,
        method=request.DESCRIPTOR.name,
        request_id=request_id,
        content=content.SerializeToString(deterministic=True),
        answer=answer,
        act=act,
    )


async def answer_content(
    storage: Storage,
    *,
    method: str,
    request_id: str,
    content: bytes,
    answer: type[M],
    act: Callable[[Transaction], Awaitable[M]],
) -> M:
    """Answer once for a request id and a content."""

    async def acted(tx: Transaction) -> bytes:
        return (await act(tx)).SerializeToString()

    stored = await answer_once(
        storage,
        method=method,
        request_id=request_id,
        fingerprint=hashlib.sha256(content).digest(),
        act=acted,
    )
    return answer.FromString(stored)


def page_request(request: PagedRequest, binding: PageBinding) -> PageRequest:
    """Read size and token of a request for a page."""
    after = tokens.read_page_token(request.page_token, binding)
    return PageRequest(size=page_size(request.page_size), after=after)
