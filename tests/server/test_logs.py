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

HOSTILE = r"""
import sys
import structlog
from osa_grpc.server.logs import configure_logs

configure_logs(form=sys.argv[1], level="info")
structlog.get_logger().info("rpc", request_id="\x1b[2J\x07a\nforged=1\x85\u2028\u202e", reason="Größe 😀")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_what_callers_choose_reaches_no_terminal_as_a_command_and_makes_no_line(
    form: Literal["console", "json"],
) -> None:
    logged = subprocess.run(
        [sys.executable, "-c", HOSTILE, form], capture_output=True, text=True, check=True
    ).stderr
    line = logged.removesuffix("\n")
    assert line.isprintable()
    assert "forged=1" in line
    assert form == "json" or "Größe 😀" in line


GONE = """
import logging
import grpc.aio
from osa_grpc.server.logs import configure_logs

configure_logs(form="console", level="info")
for error in (grpc.aio.InternalError("not sent"), ValueError("a defect")):
    try:
        raise error
    except Exception as raised:
        logging.getLogger("grpc._cython.cygrpc").exception("%s raised", type(raised).__name__)
"""


def test_an_answer_that_reached_nobody_is_no_error_of_the_server() -> None:
    logged = subprocess.run([sys.executable, "-c", GONE], capture_output=True, text=True, check=True).stderr
    assert "not sent" not in logged
    assert "ValueError raised" in logged
    assert "a defect" in logged


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_is_logged_without_the_values_of_variables(form: Literal["console", "json"]) -> None:
    logged = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], capture_output=True, text=True, check=True
    ).stderr
    assert "it went wrong" in logged
    assert "secret" not in logged
