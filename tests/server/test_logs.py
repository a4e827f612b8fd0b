"""What log lines show, and what they never show."""

import subprocess
import sys
from typing import Literal

import pytest

PROGRAM = """
import sys
import structlog
from osa_grpc.server.logs import configure_logs

configure_logs(form=sys.argv[1], level="info")
password = "".join(reversed("terces"))
try:
    raise ValueError("it went wrong")
except ValueError:
    structlog.get_logger().exception("failed")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_is_logged_without_the_values_of_variables(form: Literal["console", "json"]) -> None:
    logged = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True
    ).stderr
    assert "it went wrong" in logged
    assert "secret" not in logged
