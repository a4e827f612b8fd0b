"""The demo as a visitor runs it, in a process of its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary directory for the demo, which Postgres can enter."""
    directory = Path(tempfile.mkdtemp(prefix="osa-grpc-test-demo-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


def start_demo(scratch: Path, docker_host: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "osa_grpc", "demo"],
        env={**os.environ, "TMPDIR": str(scratch), "DOCKER_HOST": docker_host},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_shows_real_structures_judged_and_leaves_nothing(scratch: Path, docker_host: str) -> None:
    demo = start_demo(scratch, docker_host)
    said, _ = demo.communicate(timeout=280)
    assert demo.returncode == 0, said
    assert "conventions/pdb-structures@1.0.0 is READY" in said
    assert "1as5       REJECTED   rejected: 3 of 23 peptide bonds are twisted" in said
    assert "truncated  FAILED     failed: HOOK_EXIT: truncated.cif" in said
    assert said.count("  COMPLETED  published as records/") == 8
    assert "chain A, CYS 16 - SER 17: 71 degrees out of plane" in said
    assert "X-RAY DIFFRACTION         1.7  1998-03-27" in said
    assert "grpcurl -plaintext 127.0.0.1:50051 list" in said
    assert "together" in said
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_cleans_up(
    scratch: Path, docker_host: str, number: signal.Signals
) -> None:
    demo = start_demo(scratch, docker_host)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "structure_summary: started" in line:
            break
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, rest
    assert rest.splitlines()[-1] == "cleaning up"
    assert "Traceback" not in rest
    assert list(scratch.iterdir()) == []
