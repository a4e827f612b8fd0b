"""Who called, when a proxy passes calls on.

Anybody can send the header `x-forwarded-for`. It counts only from proxies that the operator has named: the client is the last
address in it that is not itself one of them.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from osa_grpc.server.rpc_wrapping import Rpc

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_HEADER: Final = "x-forwarded-for"
_MOST: Final = 16


class ClientAddresses:
    """Tells the address of a call's client."""

    def __init__(self, trusted_proxies: Sequence[IpNetwork] = ()) -> None:
        self._trusted: Final = tuple(trusted_proxies)

    def client_of(self, rpc: Rpc) -> str | None:
        """Return who a trusted proxy says has called; None: no trusted proxy passed the call on."""
        peer = _peer_address(rpc.context.peer())
        if peer is None or not self._is_trusted(peer):
            return None
        said = [
            address
            for key, value in rpc.context.invocation_metadata() or ()
            if key == _HEADER
            for address in str(value).split(",")
        ]
        client: IpAddress | None = None
        for text in reversed(said[-_MOST:]):
            try:
                client = ipaddress.ip_address(text.strip())
            except ValueError:
                break
            if not self._is_trusted(client):
                break
        return None if client is None else str(client)

    def _is_trusted(self, address: IpAddress) -> bool:
        return any(address in network for network in self._trusted)


def _peer_address(peer: str) -> IpAddress | None:
    """Return the address in what gRPC calls a peer: `ipv4:1.2.3.4:5` or `ipv6:%5B::1%5D:5`; None for anything else."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return None
    try:
        address = ipaddress.ip_address(unquote(rest).rpartition(":")[0].strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
