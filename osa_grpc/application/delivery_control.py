"""What operators ask of deliveries. Each change is made under the delivery's row lock, as every worker's is."""

from osa_grpc.application.storage_ports import Transaction
from osa_grpc.domain.delivery import Delivery, DeliveryState
from osa_grpc.domain.errors import NotFoundError, PreconditionError, PreconditionViolation
from osa_grpc.domain.names import delivery_name


async def delivery_of(tx: Transaction, delivery: int, *, for_update: bool = False) -> Delivery:
    """Return it; `for_update` holds off other changes until the transaction ends.

    Raises:
        NotFoundError: there is none of that number.
    """
    found = await tx.events.find_delivery(delivery, for_update=for_update)
    if found is None:
        raise NotFoundError(resource_type="opensciencearchive.org/Delivery", name=delivery_name(delivery))
    return found


async def retry_delivery(tx: Transaction, delivery: int) -> Delivery:
    """Make a delivery that is DEAD or DISCARDED due again, at once, its attempts counted anew; give a PENDING one back as it is.

    Raises:
        PreconditionError: it is DONE (`DELIVERY_DONE`).
    """
    found = await delivery_of(tx, delivery, for_update=True)
    match found.state:
        case DeliveryState.DEAD | DeliveryState.DISCARDED:
            return await tx.events.set_delivery_state(delivery, DeliveryState.PENDING)
        case DeliveryState.PENDING:
            return found
        case DeliveryState.DONE:
            raise _refusal(found, "was handled already", reason="DELIVERY_DONE")


async def discard_delivery(tx: Transaction, delivery: int) -> Delivery:
    """Decide that a DEAD delivery need not be delivered. A DISCARDED one is given back as it is.

    Raises:
        PreconditionError: it is PENDING or DONE (`DELIVERY_NOT_DEAD`).
    """
    found = await delivery_of(tx, delivery, for_update=True)
    match found.state:
        case DeliveryState.DEAD:
            return await tx.events.set_delivery_state(delivery, DeliveryState.DISCARDED)
        case DeliveryState.DISCARDED:
            return found
        case DeliveryState.PENDING:
            raise _refusal(found, "is still being tried", reason="DELIVERY_NOT_DEAD")
        case DeliveryState.DONE:
            raise _refusal(found, "was handled already", reason="DELIVERY_NOT_DEAD")


def _refusal(delivery: Delivery, why: str, *, reason: str) -> PreconditionError:
    name = delivery_name(delivery.id)
    return PreconditionError(
        f"{name} {why}",
        reason=reason,
        violations=[
            PreconditionViolation(type=reason, subject=name, message=f"it is {delivery.state.value}")
        ],
        metadata={"delivery": name, "state": delivery.state.value},
    )
