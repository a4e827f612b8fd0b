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
    report = place / "report.xml"
    code = subprocess.run(
        engine.command(
            [
                *(
                    sys.executable,
                    "-m",
                    "pytest",
                    *files,
                    "--basetemp",
                    place / "pytest",
                    "--junitxml",
                    report,
                ),
                *("--timeout", "300", *pytest_arguments),
            ]
        ),
        cwd=REPOSITORY,
        check=False,
    ).returncode
    left_out = "; ".join(f"without {name}: {why}" for name, why in engine.leaves_out.items())
    counts, skipped = counted(report)
    detail = "; ".join(part for part in (counts, *skipped, left_out) if part)
    return Outcome(kind=kind, result="passed" if code == 0 else "FAILED", detail=detail, is_failure=code != 0)


def counted(report: Path) -> tuple[str, list[str]]:
    """How many tests passed, failed and were skipped, and why they were."""
    if not report.exists():
        return "the tests did not come to an end", []
    root = ET.parse(report).getroot()
    total = len(root.findall(".//testcase"))
    failed = len(
        {
            case
            for case in root.iter("testcase")
            if case.find("failure") is not None or case.find("error") is not None
        }
    )
    skipped = [found.get("message", "") for found in root.iter("skipped")]
    words = f"{total - failed - len(skipped)} passed, {failed} failed, {len(skipped)} skipped"
    return words, [f"{skipped.count(reason)} skipped: {reason}" for reason in dict.fromkeys(skipped)]


def table(outcomes: list[Outcome]) -> str:
    """The summary."""
    width = max(len(outcome.kind) for outcome in outcomes)
    return "\n".join(f"{one.kind:{width}}  {one.result:15}  {one.detail}" for one in outcomes)


if __name__ == "__main__":
    sys.exit(main())
