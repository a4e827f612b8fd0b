import os

# Tests start programs as other users while gRPC runs in this process: its handlers crash the child between fork and exec.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

pytest_plugins = [
    "tests.fixtures.archive",
    "tests.fixtures.engine",
    "tests.fixtures.hooks",
    "tests.fixtures.postgres",
    "tests.fixtures.registry",
    "tests.fixtures.server",
    "tests.fixtures.server_process",
    "tests.fixtures.small_disk",
    "tests.fixtures.storage",
]
