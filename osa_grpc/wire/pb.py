"""The contract's messages, enums, stubs and servicer bases in one flat namespace: `pb.HookDefinition`, `pb.RunServiceServicer`."""

from typing import Final

from opensciencearchive.v1 import (
    admin_service_pb2,
    convention_pb2,
    convention_service_pb2,
    delivery_pb2,
    deposition_pb2,
    deposition_service_pb2,
    error_details_pb2,
    feature_pb2,
    feature_service_pb2,
    hook_pb2,
    hook_service_pb2,
    record_pb2,
    record_service_pb2,
    run_event_pb2,
    run_pb2,
    run_service_pb2,
    server_service_pb2,
)
from opensciencearchive.v1.admin_service_pb2 import *  # noqa: F403 - the point of this module
from opensciencearchive.v1.admin_service_pb2_grpc import *  # noqa: F403
from opensciencearchive.v1.convention_pb2 import *  # noqa: F403
from opensciencearchive.v1.convention_service_pb2 import *  # noqa: F403
from opensciencearchive.v1.convention_service_pb2_grpc import *  # noqa: F403
from opensciencearchive.v1.delivery_pb2 import *  # noqa: F403
from opensciencearchive.v1.deposition_pb2 import *  # noqa: F403
from opensciencearchive.v1.deposition_service_pb2 import *  # noqa: F403
from opensciencearchive.v1.deposition_service_pb2_grpc import *  # noqa: F403
from opensciencearchive.v1.error_details_pb2 import *  # noqa: F403
from opensciencearchive.v1.feature_pb2 import *  # noqa: F403
from opensciencearchive.v1.feature_service_pb2 import *  # noqa: F403
from opensciencearchive.v1.feature_service_pb2_grpc import *  # noqa: F403
from opensciencearchive.v1.hook_pb2 import *  # noqa: F403
from opensciencearchive.v1.hook_service_pb2 import *  # noqa: F403
from opensciencearchive.v1.hook_service_pb2_grpc import *  # noqa: F403
from opensciencearchive.v1.record_pb2 import *  # noqa: F403
from opensciencearchive.v1.record_service_pb2 import *  # noqa: F403
from opensciencearchive.v1.record_service_pb2_grpc import *  # noqa: F403
from opensciencearchive.v1.run_event_pb2 import *  # noqa: F403
from opensciencearchive.v1.run_pb2 import *  # noqa: F403
from opensciencearchive.v1.run_service_pb2 import *  # noqa: F403
from opensciencearchive.v1.run_service_pb2_grpc import *  # noqa: F403
from opensciencearchive.v1.server_service_pb2 import *  # noqa: F403
from opensciencearchive.v1.server_service_pb2_grpc import *  # noqa: F403

FILES: Final = tuple(
    module.DESCRIPTOR
    for module in (
        admin_service_pb2,
        convention_pb2,
        convention_service_pb2,
        delivery_pb2,
        deposition_pb2,
        deposition_service_pb2,
        error_details_pb2,
        feature_pb2,
        feature_service_pb2,
        hook_pb2,
        hook_service_pb2,
        record_pb2,
        record_service_pb2,
        run_event_pb2,
        run_pb2,
        run_service_pb2,
        server_service_pb2,
    )
)
"""The descriptors of the contract's files."""

SERVICES: Final = tuple(
    sorted(service.full_name for file in FILES for service in file.services_by_name.values())
)
"""The full names of the contract's services."""
