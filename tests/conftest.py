pytest_plugins = [
    "tests.fixtures.engine",
    "tests.fixtures.hooks",
    "tests.fixtures.postgres",
    "tests.fixtures.storage",
]
