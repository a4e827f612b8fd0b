pytest_plugins = [
    "tests.fixtures.archive",
    "tests.fixtures.engine",
    "tests.fixtures.hooks",
    "tests.fixtures.postgres",
    "tests.fixtures.server",
    "tests.fixtures.server_process",
    "tests.fixtures.storage",
]
