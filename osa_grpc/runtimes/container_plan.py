"""What container an attempt gets: its limits, and all that the engine is told about it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from osa_grpc.domain.hook import memory_text
from osa_grpc.runtimes.container_labels import attempt_labels
from osa_grpc.runtimes.engine import ContainerSpec
from osa_grpc.runtimes.staging import container_user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osa_grpc.application.ports import EngineDescription, HookJob
    from osa_grpc.domain.hook import OciLimits
    from osa_grpc.domain.run import Provenance
    from osa_grpc.runtimes.engine import Mount, ResolvedImage
    from osa_grpc.runtimes.oci_attempt import OciRules
    from osa_grpc.runtimes.staging import StagedInput

_BEYOND_QUOTA_BYTES: Final = 2**20
"""Files can grow a little beyond the quota, so that it is the quota that is seen to be exceeded."""
_CACHES: Final = {"HOME": "/tmp", "TMPDIR": "/tmp", "XDG_CACHE_HOME": "/tmp/.cache"}  # noqa: S108 - inside the container


def limits_in_force(job: HookJob, engine: EngineDescription) -> OciLimits:
    """Return the limits with the memory this attempt may use, and no more cores than the engine has; it refuses to promise more."""
    limits = job.hook.runtime.limits
    if job.memory_bytes is not None:
        limits = limits.model_copy(update={"memory": memory_text(job.memory_bytes)})
    cores = Decimal(str(engine.cpus))
    return limits if limits.cpu_cores <= cores else limits.model_copy(update={"cpu": f"{cores:.3f}"})


def container_spec(
    job: HookJob,
    *,
    server_id: str,
    image: ResolvedImage,
    staged: StagedInput,
    mounts: Sequence[Mount],
    provenance: Provenance,
    rules: OciRules,
) -> ContainerSpec:
    """Return the container to be made. `mounts`: the staged ones as the engine has them."""
    limits = provenance.limits
    assert limits is not None, "an attempt's provenance is whole before its container is planned"
    caches = {name: place for name, place in _CACHES.items() if name not in image.environment}
    return ContainerSpec(
        name=f"osa-{server_id[:8]}-{job.run}-{job.hook.name}-{job.attempt}",
        image=image,
        labels=attempt_labels(job, server_id=server_id, provenance=provenance),
        user=container_user(),
        environment={**caches, **staged.environment},
        mounts=mounts,
        memory_bytes=limits.memory_bytes,
        nano_cpus=int(limits.cpu_cores * 10**9),
        file_bytes=rules.output_quota_bytes + _BEYOND_QUOTA_BYTES,
        log_bytes=2 * rules.log_cap_bytes,
    )
