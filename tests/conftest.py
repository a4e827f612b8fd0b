import os

from hypothesis import HealthCheck, settings

# A busy machine is no fault of what is tested.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# Tests start programs as other users while gRPC runs in this process: its handlers crash the child between fork and exec.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

pytest_plugins = [
    "tests.fixtures.archive",
    "tests.fixtures.certificates",
    "tests.fixtures.engine",
    "tests.fixtures.go_programs",
    "tests.fixtures.hooks",
    "tests.fixtures.nginx",
    "tests.fixtures.postgres",
    "tests.fixtures.registry",
    "tests.fixtures.server",
    "tests.fixtures.server_process",
    "tests.fixtures.small_disk",
    "tests.fixtures.storage",
]
