"""The calls about deliveries."""

from __future__ import annotations

from osa_grpc.client.calls import Call, Listing, new_request_id
from osa_grpc.wire import pb


def get_delivery(
    name: str,
) -> Call[pb.GetDeliveryRequest, pb.GetDeliveryResponse, pb.Delivery]:
    """Get a delivery."""
    return Call(
        rpc=lambda stubs: stubs.admin.GetDelivery,
        request=pb.GetDeliveryRequest(name=name),
        take=lambda answer: answer.delivery,
    )


def list_deliveries(
    *,
    filter: str,  # noqa: A002 - the contract's word
    order_by: str,
    page_size: int,
) -> Listing[pb.Delivery]:
    """List deliveries."""
    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.admin.ListDeliveries,
            request=pb.ListDeliveriesRequest(
                filter=filter, order_by=order_by, page_size=page_size, page_token=token
            ),
            take=lambda answer: (answer.deliveries, answer.next_page_token),
        )
    )


def retry_delivery(
    name: str, *, request_id: str | None
) -> Call[pb.RetryDeliveryRequest, pb.RetryDeliveryResponse, pb.Delivery]:
    """Make a delivery due again."""
    return Call(
        rpc=lambda stubs: stubs.admin.RetryDelivery,
        request=pb.RetryDeliveryRequest(name=name, request_id=request_id or new_request_id()),
        take=lambda answer: answer.delivery,
        is_mutation=True,
    )


def discard_delivery(
    name: str, *, request_id: str | None
) -> Call[pb.DiscardDeliveryRequest, pb.DiscardDeliveryResponse, pb.Delivery]:
    """Decide that a delivery need not be delivered."""
    return Call(
        rpc=lambda stubs: stubs.admin.DiscardDelivery,
        request=pb.DiscardDeliveryRequest(name=name, request_id=request_id or new_request_id()),
        take=lambda answer: answer.delivery,
        is_mutation=True,
    )
