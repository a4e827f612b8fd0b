"""The engine's tests, against each engine that people have and that can be started here: `make test-engines`.

    python -m tests.engines                         every kind
    python -m tests.engines podman docker-rootless  these
    python -m tests.engines podman -- -k sandbox    what is behind `--` goes to pytest

Exit code 0 when every engine that could be started passed. Why another could not is said.
"""

# ruff: noqa: T201 - it is there to print

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from tests.engines.hooks import chosen_tests
from tests.engines.kinds import KINDS, REPOSITORY, CannotRunHereError, RunningEngine

FOLDER = Path("tests/engine")
FILES = (
    "test_docker_engine.py",
    "test_oci_runtime.py",
    "test_sandbox.py",
    "test_registry.py",
    "test_adoption.py",
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one kind."""

    kind: str
    result: str
    detail: str
    is_failure: bool = False


def main() -> int:
    """Run the tests; the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by the way of every cleaning up
    given = sys.argv[1:]
    own, pytest_arguments = (given, [])
    if "--" in given:
        own, pytest_arguments = given[: given.index("--")], given[given.index("--") + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar=f"{{{','.join(KINDS)}}}")
    kinds = parser.parse_args(own).kinds or list(KINDS)
    outcomes = [look_at(kind, pytest_arguments) for kind in kinds]
    print("\n" + table(outcomes))
    return 1 if any(outcome.is_failure for outcome in outcomes) else 0


def look_at(kind: str, pytest_arguments: list[str]) -> Outcome:
    """Start one kind of engine, if that can be done here, and run the tests against it."""
    print(f"\n=== {kind} ===", flush=True)
    folder = Path(tempfile.mkdtemp(prefix=f"osa-{kind}-"))
    try:
        folder.chmod(0o755)
        with KINDS[kind](folder, lambda sentence: print(sentence, flush=True)) as engine:
            return tested(kind, engine, pytest_arguments)
    except CannotRunHereError as error:
        print(error, flush=True)
        return Outcome(kind=kind, result="cannot run here", detail=str(error))
    finally:
        shutil.rmtree(folder)


def tested(kind: str, engine: RunningEngine, pytest_arguments: list[str]) -> Outcome:
    """Run the tests as the user of an engine."""
    place = engine.folder / "tests"
    place.mkdir(mode=0o755)
    if engine.user is not None:
        shutil.chown(place, engine.user.name)
    files = [FOLDER / name for name in FILES if name not in engine.leaves_out]
    tests = [*files, *chosen_tests(engine.leaves_out)]
    report = place / "report.xml"
    pytest = [sys.executable, "-m", "pytest", "--basetemp", place / "pytest", "--junitxml", report]
    options = ["--timeout", "300", "-r", "s", *pytest_arguments]
    program = engine.command([*pytest, *tests, *options])
    code = subprocess.run(program, cwd=REPOSITORY, check=False).returncode
    for name, why in engine.leaves_out.items():
        print(f"left out: {name}, because {why}")
    detail = f"{counted(report)}, {len(engine.leaves_out)} left out"
    return Outcome(kind=kind, result="passed" if code == 0 else "FAILED", detail=detail, is_failure=code != 0)


def counted(report: Path) -> str:
    """How many tests passed, failed and were skipped."""
    if not report.exists():
        return "the tests did not come to an end"
    cases = list(ET.parse(report).getroot().iter("testcase"))
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return f"{len(cases) - failed - skipped} passed, {failed} failed, {skipped} skipped"


def table(outcomes: list[Outcome]) -> str:
    """The summary."""
    width = max(len(outcome.kind) for outcome in outcomes)
    return "\n".join(f"{one.kind:{width}}  {one.result:15}  {one.detail}" for one in outcomes)


if __name__ == "__main__":
    sys.exit(main())
