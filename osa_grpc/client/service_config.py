"""The service config of our channels: which calls grpc itself may send again.

These are the reads, which the contract marks `NO_SIDE_EFFECTS`, when the server was not there to answer. A stream is
sent again before its first message only; what comes after is `resumption`'s.
"""

import json
from typing import Final

from google.protobuf.descriptor_pb2 import MethodOptions

from osa_grpc.wire import pb

_RETRY_POLICY: Final = {
    "maxAttempts": 4,
    "initialBackoff": "0.2s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def reads() -> list[dict[str, str]]:
    """Return the calls that change nothing, as a service config names them."""
    return [
        {"service": service.full_name, "method": method.name}
        for file in pb.FILES
        for service in file.services_by_name.values()
        for method in service.methods
        if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    ]


SERVICE_CONFIG: Final = json.dumps({"methodConfig": [{"name": reads(), "retryPolicy": _RETRY_POLICY}]})
