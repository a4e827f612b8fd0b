"""Registration: a convention is accepted in one transaction; its feature tables are made by a delivery.

What registration decides about tables is in the catalog from then on, so the second of two conflicting registrations is
refused although no table is made yet. The handler only brings Postgres to what the catalog says: it may be delivered again at
any time, on several servers at once, or after a crash half-way, and changes nothing then.
"""

import json
from typing import Any, Final

from osa_grpc.application.storage_ports import Transaction
from osa_grpc.domain.convention import Convention, ConventionDefinition, ConventionState
from osa_grpc.domain.errors import ConventionExistsError, FieldDifference
from osa_grpc.domain.events import ConventionReady, ConventionRegistered, DomainEvent
from osa_grpc.domain.feature import merge_feature_spec

MAKE_FEATURE_TABLES: Final = "make_feature_tables"
"""The handler that `ConventionRegistered` is owed to."""

_SHOWN_JSON = 120


async def register_convention(tx: Transaction, definition: ConventionDefinition) -> Convention:
    """Register it, or return the one of that name if it says the same; a FAILED one is tried again.

    Raises:
        ConventionExistsError: one of that name says something else.
        ConflictError: a hook's columns do not fit the feature table that its name owns.
    """
    await tx.conventions.lock(definition.ref)
    existing = await tx.conventions.find(definition.ref)
    if existing is not None:
        return await _register_again(tx, existing, definition)
    # In the order of names, so that two registrations never wait for each other.
    for hook in sorted(definition.hooks, key=lambda hook: hook.name):
        await tx.feature_tables.lock(hook.name)
        table = await tx.feature_tables.find(hook.name)
        spec = hook.feature if table is None else merge_feature_spec(hook.name, table.spec, hook.feature)
        if table is None or spec != table.spec:
            await tx.feature_tables.record(hook.name, spec)
    convention = await tx.conventions.insert(definition)
    event = ConventionRegistered(convention=definition.ref, hooks=definition.hooks)
    await tx.events.append(event, owed_to=[MAKE_FEATURE_TABLES])
    return convention


async def _register_again(
    tx: Transaction, existing: Convention, definition: ConventionDefinition
) -> Convention:
    differences = existing.definition.differences(definition)
    if differences:
        raise ConventionExistsError(
            name=existing.ref.name,
            differences=[
                FieldDifference(
                    field=f"convention.{_contract_path(path)}", expected=_shown(here), found=_shown(there)
                )
                for path, here, there in differences
            ],
        )
    if existing.state is ConventionState.FAILED and await tx.conventions.mark_pending(existing.ref):
        await tx.events.deliver_again("ConventionRegistered", existing.ref.key, MAKE_FEATURE_TABLES)
        return existing.model_copy(update={"state": ConventionState.PENDING, "failure": None})
    return existing


async def make_feature_tables(tx: Transaction, event: DomainEvent) -> None:
    """Handle `ConventionRegistered`: make the tables, and say that the convention is ready, once."""
    assert isinstance(event, ConventionRegistered)
    for hook in sorted(event.hooks, key=lambda hook: hook.name):
        await tx.feature_tables.create_table(hook)
    if await tx.conventions.mark_ready(event.convention):
        await tx.events.append(ConventionReady(convention=event.convention))


async def give_up_feature_tables(tx: Transaction, event: DomainEvent, error: str) -> None:
    """Say that a convention's tables could not be made, when its delivery is given up."""
    assert isinstance(event, ConventionRegistered)
    await tx.conventions.mark_failed(event.convention, error)


def _contract_path(path: str) -> str:
    # The domain nests what the contract's oneofs name: `runtime` is `oci`, `feature` is `table`.
    return path.replace(".runtime.", ".oci.").replace(".feature.", ".table.").removeprefix("ref.")


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_JSON else text[: _SHOWN_JSON - 1] + "…"
