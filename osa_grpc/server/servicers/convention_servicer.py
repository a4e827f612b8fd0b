from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Final

import grpc.aio

from osa_grpc.application.convention_watching import ConventionWatching
from osa_grpc.application.depositing import convention_of
from osa_grpc.application.registration import register_convention
from osa_grpc.application.requests import check_request_id
from osa_grpc.application.storage_ports import Storage, Transaction
from osa_grpc.domain.convention import Convention
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.server.servicers.answering import answer_mutation, answer_page
from osa_grpc.wire import pb, tokens
from osa_grpc.wire.convention_codec import convention_to_proto, definition_from_proto
from osa_grpc.wire.resource_names import convention_ref

_LISTING: Final = tokens.page_binding("ListConventions")


class _OnlyValidatedError(Exception):
    """Undoes a registration that was only to be tried."""


class ConventionServicer(pb.ConventionServiceServicer):
    """Serves ConventionService."""

    def __init__(self, *, storage: Storage, watching: ConventionWatching, authority: SrnAuthority) -> None:
        self._storage = storage
        self._watching = watching
        self._authority = authority

    async def RegisterConvention(
        self, request: pb.RegisterConventionRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.RegisterConventionResponse:
        """Register it; or, with `validate_only`, do all of it and undo it."""
        definition = definition_from_proto(request)

        async def act(tx: Transaction) -> pb.RegisterConventionResponse:
            return self._answer(await register_convention(tx, definition))

        if not request.validate_only:
            return await answer_mutation(self._storage, request, pb.RegisterConventionResponse, act)
        check_request_id(request.request_id)
        answer = pb.RegisterConventionResponse()
        with suppress(_OnlyValidatedError):
            async with self._storage.transaction() as tx:
                answer = await act(tx)
                raise _OnlyValidatedError
        return answer

    async def GetConvention(
        self, request: pb.GetConventionRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.GetConventionResponse:
        """Return it."""
        async with self._storage.reading() as tx:
            found = await convention_of(tx, convention_ref(request.name))
        return pb.GetConventionResponse(convention=convention_to_proto(found, self._authority))

    async def ListConventions(
        self, request: pb.ListConventionsRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ListConventionsResponse:
        """Return a page."""
        async with self._storage.reading() as tx:
            conventions, token = await answer_page(
                request,
                _LISTING,
                tx.conventions.list,
                lambda found: convention_to_proto(found, self._authority),
            )
        return pb.ListConventionsResponse(conventions=conventions, next_page_token=token)

    async def WatchConvention(
        self, request: pb.WatchConventionRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> AsyncIterator[pb.WatchConventionResponse]:
        """Send its states."""
        async with aclosing(self._watching.watch(convention_ref(request.name))) as states:
            async for state in states:
                yield pb.WatchConventionResponse(convention=convention_to_proto(state, self._authority))

    def _answer(self, convention: Convention) -> pb.RegisterConventionResponse:
        return pb.RegisterConventionResponse(convention=convention_to_proto(convention, self._authority))
