"""What servicers have in common: answering request ids, and pages."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from osa_grpc.application.requests import answer_once
from osa_grpc.application.storage_ports import Page, PageRequest, Storage, Transaction
from osa_grpc.wire import tokens
from osa_grpc.wire.resource_names import page_size

M = TypeVar("M", bound=Message)
T = TypeVar("T")


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
    content.ClearField("request_id")
    return await answer_content(
        storage,
        method=request.DESCRIPTOR.name,
        request_id=request.request_id,  # type: ignore[attr-defined] - every mutation has one; a test sees to it
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


def page_request(request: PagedRequest, *, of: str) -> PageRequest:
    """Read size and token; `of` names the listing, to which tokens are bound."""
    after = tokens.read_page_token(request.page_token, of) if request.page_token else None
    return PageRequest(size=page_size(request.page_size), after=after)


def next_page_token(page: Page[T], *, of: str) -> str:
    """Return the token that continues a listing; empty on its last page."""
    return _token(page.after, of)


def _token(after: Sequence[str] | None, of: str) -> str:
    return "" if after is None else tokens.page_token(of, after)
