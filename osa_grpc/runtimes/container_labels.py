"""The labels of containers: whose they are, and of which attempt. By them they are found again after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from osa_grpc.domain.run import Provenance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osa_grpc.application.ports import HookJob

_PREFIX: Final = "org.opensciencearchive."
SERVER_LABEL: Final = _PREFIX + "server"
RUN_LABEL: Final = _PREFIX + "run"
HOOK_LABEL: Final = _PREFIX + "hook"
ATTEMPT_LABEL: Final = _PREFIX + "attempt"
PROVENANCE_LABEL: Final = _PREFIX + "provenance"
"""What runs, as JSON: whoever adopts the container has to know, and cannot find it out."""
PROOF_LABEL: Final = _PREFIX + "proof"
"""Of a container that is made to look at a directory, and never started."""


def attempt_labels(job: HookJob, *, server_id: str, provenance: Provenance) -> dict[str, str]:
    """Return the labels of an attempt's container."""
    return {
        SERVER_LABEL: server_id,
        RUN_LABEL: job.run,
        HOOK_LABEL: job.hook.name,
        ATTEMPT_LABEL: str(job.attempt),
        PROVENANCE_LABEL: provenance.model_dump_json(),
    }


def provenance_of(labels: Mapping[str, str], job: HookJob) -> Provenance | None:
    """Return what a container of the job's run runs, if it is this attempt's, and is labelled as we do it."""
    if (labels.get(HOOK_LABEL), labels.get(ATTEMPT_LABEL)) != (job.hook.name, str(job.attempt)):
        return None
    try:
        provenance = Provenance.model_validate_json(labels.get(PROVENANCE_LABEL, ""))
    except ValidationError:  # another release has made it
        return None
    return None if provenance.limits is None else provenance
