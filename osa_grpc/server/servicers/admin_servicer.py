import grpc.aio

from osa_grpc.application.delivery_control import delivery_of, discard_delivery, retry_delivery
from osa_grpc.application.listing import DELIVERY_COLUMNS
from osa_grpc.application.storage_ports import Storage, Transaction
from osa_grpc.server.servicers.answering import answer_list, answer_mutation
from osa_grpc.wire import pb
from osa_grpc.wire.delivery_codec import delivery_to_proto
from osa_grpc.wire.resource_names import delivery_number


class AdminServicer(pb.AdminServiceServicer):
    """Serves AdminService."""

    def __init__(self, *, storage: Storage) -> None:
        self._storage = storage

    async def GetDelivery(
        self, request: pb.GetDeliveryRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.GetDeliveryResponse:
        """Return it."""
        delivery = delivery_number(request.name)
        async with self._storage.reading() as tx:
            found = await delivery_of(tx, delivery)
        return pb.GetDeliveryResponse(delivery=delivery_to_proto(found))

    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ListDeliveriesResponse:
        """Return a page."""
        async with self._storage.reading() as tx:
            deliveries, token = await answer_list(
                request, DELIVERY_COLUMNS, tx.events.list_deliveries, delivery_to_proto
            )
        return pb.ListDeliveriesResponse(deliveries=deliveries, next_page_token=token)

    async def RetryDelivery(
        self, request: pb.RetryDeliveryRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.RetryDeliveryResponse:
        """Make it due again."""
        delivery = delivery_number(request.name)

        async def act(tx: Transaction) -> pb.RetryDeliveryResponse:
            return pb.RetryDeliveryResponse(delivery=delivery_to_proto(await retry_delivery(tx, delivery)))

        return await answer_mutation(self._storage, request, pb.RetryDeliveryResponse, act)

    async def DiscardDelivery(
        self, request: pb.DiscardDeliveryRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.DiscardDeliveryResponse:
        """Give it up for good."""
        delivery = delivery_number(request.name)

        async def act(tx: Transaction) -> pb.DiscardDeliveryResponse:
            return pb.DiscardDeliveryResponse(
                delivery=delivery_to_proto(await discard_delivery(tx, delivery))
            )

        return await answer_mutation(self._storage, request, pb.DiscardDeliveryResponse, act)
