from typing import Final

import grpc.aio

from osa_grpc.application.storage_ports import Storage, Transaction
from osa_grpc.domain.errors import NotFoundError
from osa_grpc.domain.hook_summary import HookSummary
from osa_grpc.domain.names import hook_name
from osa_grpc.server.servicers.answering import answer_page
from osa_grpc.wire import pb, tokens
from osa_grpc.wire.hook_summary_codec import hook_summary_to_proto, hook_use_to_proto
from osa_grpc.wire.resource_names import PARENT, hook

_LISTING: Final = tokens.page_binding("ListHooks")


class HookServicer(pb.HookServiceServicer):
    """Serves HookService."""

    def __init__(self, *, storage: Storage) -> None:
        self._storage = storage

    async def GetHook(
        self, request: pb.GetHookRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.GetHookResponse:
        """Return it."""
        wanted = hook(request.name)
        async with self._storage.reading() as tx:
            found = await _hook_of(tx, wanted)
        return pb.GetHookResponse(hook=hook_summary_to_proto(found))

    async def ListHooks(
        self, request: pb.ListHooksRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ListHooksResponse:
        """Return a page."""
        async with self._storage.reading() as tx:
            hooks, token = await answer_page(request, _LISTING, tx.hooks.list, hook_summary_to_proto)
        return pb.ListHooksResponse(hooks=hooks, next_page_token=token)

    async def ListHookUses(
        self, request: pb.ListHookUsesRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ListHookUsesResponse:
        """Return a page of the conventions that use it."""
        used = hook(request.parent, at=PARENT)
        listing = tokens.page_binding("ListHookUses", used)
        async with self._storage.reading() as tx:
            await _hook_of(tx, used)
            uses, token = await answer_page(
                request, listing, lambda page: tx.hooks.list_uses(used, page), hook_use_to_proto
            )
        return pb.ListHookUsesResponse(uses=uses, next_page_token=token)


async def _hook_of(tx: Transaction, name: str) -> HookSummary:
    found = await tx.hooks.find(name)
    if found is None:
        raise NotFoundError(resource_type="opensciencearchive.org/Hook", name=hook_name(name))
    return found
