"""SRNs, the federated identities: `urn:osa:{domain}:{type}:{id}[@version]`."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from osa_grpc.domain.names import ConventionRef, DepositionId, RecordRef, RunId
from osa_grpc.domain.value import Value

SrnDomain = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$", max_length=253
    ),
]
"""The archive's domain, a host name in lower case."""

SrnType = Literal["conv", "dep", "val", "rec", "schema"]


class SrnAuthority(Value):
    """Gives SRNs in one archive's domain."""

    domain: SrnDomain

    def _srn(self, kind: SrnType, key: str) -> str:
        return f"urn:osa:{self.domain}:{kind}:{key}"

    def convention(self, ref: ConventionRef) -> str:
        """Return `urn:osa:{domain}:conv:{id}@{version}`."""
        return self._srn("conv", ref.key)

    def deposition(self, deposition: DepositionId) -> str:
        """Return `urn:osa:{domain}:dep:{id}`."""
        return self._srn("dep", deposition)

    def run(self, run: RunId) -> str:
        """Return `urn:osa:{domain}:val:{id}`."""
        return self._srn("val", run)

    def record(self, ref: RecordRef) -> str:
        """Return `urn:osa:{domain}:rec:{id}@{version}`."""
        return self._srn("rec", ref.key)
