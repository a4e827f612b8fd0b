"""What servicers have in common: answering request ids, and pages."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from osa_grpc.application.listing import parse_selection
from osa_grpc.application.query_errors import foreign_position
from osa_grpc.application.requests import REQUEST_ID, answer_once
from osa_grpc.application.storage_ports import ListQuery, Page, PageRequest, Storage, Transaction
from osa_grpc.domain.column import QueryColumn
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.position import PositionError
from osa_grpc.wire import tokens
from osa_grpc.wire.resource_names import page_size
from osa_grpc.wire.tokens import PageBinding
from osa_grpc.wire.transport import MAX_PAGE_BYTES

M = TypeVar("M", bound=Message)
T = TypeVar("T")

_FRAME_BYTES: Final = 8  # tag and length of a message in a message
_READ_ITEMS: Final = 50  # at a time, so that few large ones are in memory


class PagedRequest(Protocol):
    """A request for a page of a listing."""

    page_size: int
    page_token: str


class ListRequest(PagedRequest, Protocol):
    """A request for a page of a listing that can be filtered and sorted."""

    filter: str
    order_by: str

    @property
    def DESCRIPTOR(self) -> Descriptor:
        """Which request it is."""


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
    at: FieldPath = REQUEST_ID,
) -> M:
    """Answer once for a request id, which the request has at `at`, and a content."""

    async def acted(tx: Transaction) -> bytes:
        return (await act(tx)).SerializeToString()

    stored = await answer_once(
        storage,
        method=method,
        request_id=request_id,
        fingerprint=hashlib.sha256(content).digest(),
        act=acted,
        at=at,
    )
    return answer.FromString(stored)


async def answer_list(
    request: ListRequest,
    columns: Sequence[QueryColumn],
    read: Callable[[ListQuery], Awaitable[Page[T]]],
    make: Callable[[T], M],
) -> tuple[list[M], str]:
    """Return a page as `answer_page`, of what fits the request's filter over these columns, in its order.

    Raises:
        InvalidRequestError: `INVALID_FILTER`, `INVALID_ORDER_BY`, `UNKNOWN_COLUMN`, `INVALID_PAGE_TOKEN`.
    """
    selection = parse_selection(columns, filter=request.filter, order_by=request.order_by)
    binding = tokens.page_binding(request.DESCRIPTOR.name, request.filter, request.order_by)
    return await answer_page(request, binding, lambda page: read(selection.query(page)), make)


async def answer_page(
    request: PagedRequest,
    binding: PageBinding,
    read: Callable[[PageRequest], Awaitable[Page[T]]],
    make: Callable[[T], M],
) -> tuple[list[M], str]:
    """Return a page of a listing as messages, and the token that continues it; fewer than asked for where more fit no message."""
    size = page_size(request.page_size)
    after: Sequence[str] | None = tokens.read_page_token(request.page_token, binding)
    messages: list[M] = []
    bytes_left = MAX_PAGE_BYTES
    while True:
        try:
            page = await read(PageRequest(size=min(size - len(messages), _READ_ITEMS), after=after))
        except PositionError as error:
            raise foreign_position() from error
        for item, position in zip(page.items, page.positions, strict=True):
            message = make(item)
            bytes_left -= message.ByteSize() + _FRAME_BYTES
            if messages and bytes_left < 0:
                return messages, tokens.page_token(binding, after)
            messages.append(message)
            after = position
        if page.after is None or len(messages) == size:
            return messages, tokens.page_token(binding, page.after)
