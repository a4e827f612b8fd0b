"""The clients in other languages: how they are built and run, and what they must see. See examples/clients/SCENARIO.md."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from osa_grpc.wire import pb
from tests.clients.newer_contract import LATER
from tests.fixtures.documents import ROOT

CLIENTS = ROOT / "examples" / "clients"
STRUCTURE = ROOT / "examples" / "pdb-structures" / "structures" / "2beg.cif.gz"

Saw = dict[str, Any]

TOOL_CHAINS: Mapping[str, tuple[str, ...]] = {
    "python": (),
    "go": ("go",),
    "typescript": ("node", "npm"),
    "java": ("java", "mvn"),
    "rust": ("cargo",),
    "cpp": ("g++", "cmake", "protoc", "grpc_cpp_plugin"),
}
"""The programs without which a client cannot be built."""


def languages() -> list[str]:
    """The languages that were asked for, or all that are there."""
    there = [name for name in TOOL_CHAINS if (CLIENTS / name / "build").exists()]
    asked = os.environ.get("OSA_TEST_LANGUAGES", "").split()
    if asked == ["all"]:
        return there
    if unknown := set(asked) - set(there):
        raise ValueError(f"no client in {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    return asked or there


def missing_tools(language: str) -> list[str]:
    """The programs that are missing to build a client.

    What a client's `build` installs by itself when it was asked for by name is not missing.
    """
    installs = language == "cpp" and "OSA_TEST_LANGUAGES" in os.environ and os.geteuid() == 0
    return [] if installs else [tool for tool in TOOL_CHAINS[language] if shutil.which(tool) is None]


NOT_REACHED = "not reached"

NEWER = "newer server"
"""The road at a server of a newer contract: what is not known is passed over."""
LATER_VALUES = "later values"
"""The same where rows have values of a newer kind: to end there and say so is all that is right."""


@dataclass(frozen=True)
class Road:
    """What came of one run of a client."""

    seen: dict[str, Saw]
    """By step."""
    said: str
    exit_code: int


@dataclass
class Result:
    """What became of a client."""

    language: str
    build_seconds: float | None = None
    from_nothing: bool = False
    """Whether nothing had been built before; the tool chains' own caches aside."""
    skipped: str = ""
    wrong: dict[str, str] = field(
        default_factory=lambda: dict.fromkeys((*expected(), NEWER, LATER_VALUES), NOT_REACHED)
    )
    """What is not as it must be, by step; by `NEWER` and `LATER_VALUES` at such servers."""

    def judge(self, wrong: Mapping[str, str], *, at: str = "") -> None:
        """Note what was wrong, by step, with the road; with that `at` a server of a newer contract."""
        for step in [at] if at else expected():
            self.wrong.pop(step, None)
        if at and wrong:
            self.wrong[at] = "\n".join(f"{step}: {why}" for step, why in wrong.items())
        elif wrong:
            self.wrong |= wrong


async def build(language: str) -> tuple[float, bool]:
    """Build a client; return how long that took, and whether nothing was there before."""
    folder = CLIENTS / language
    ignored = [
        line.strip("/") for line in (folder / ".gitignore").read_text().splitlines() if line[:1] != "#"
    ]
    from_nothing = not any((folder / name).exists() for name in ignored if name)
    began = time.monotonic()
    code, _, said = await _run([str(folder / "build")])
    assert code == 0, f"the client in {language} cannot be built:\n{said}"
    return time.monotonic() - began, from_nothing


async def go_the_road(language: str, *, address: str, convention: Path) -> Road:
    """Run a client."""
    code, output, said = await _run(
        [str(CLIENTS / language / "run"), address, str(STRUCTURE), str(convention)]
    )
    seen = {}
    for line in output.splitlines():
        printed = json.loads(line)
        assert set(printed) == {"step", "saw"}, line
        seen[printed["step"]] = printed["saw"]
    return Road(seen=seen, said=said, exit_code=code)


async def _run(command: list[str]) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=CLIENTS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(), said.decode()


def expected() -> dict[str, Saw]:
    """What every client must see, step by step.

    From the contract, the convention, the structure's bytes and what is known of the structure (2BEG: five equal chains of residues
    17 to 42 of amyloid beta, by NMR, so without B factors), not from what a server says.
    """
    content = STRUCTURE.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    sequence = "LVFFAEDVGSNKGAIIGLMVGGVVIA"
    log = "".join(f"chain {chain}: {len(sequence)} residues of protein\n" for chain in "ABCDE").encode()
    ready = "CONVENTION_STATE_READY"
    hook = ["hook_started", "hook_progress", "hook_finished"]
    name = "conventions/pdb-structures@1.0.0"
    invalid = "INVALID_ARGUMENT"
    unimplemented = "UNIMPLEMENTED"
    return {
        "server_info": {
            "runtimes": [arm.name for arm in pb.HookDefinition.DESCRIPTOR.oneofs_by_name["runtime"].fields],
            "feature_kinds": [
                arm.name for arm in pb.HookDefinition.DESCRIPTOR.oneofs_by_name["feature"].fields
            ],
            "container_contracts": ["v1", "v2"],
        },
        "validate_only": {"name": name, "stored": False},
        "register": {
            "name": name,
            "state": ready,
            "feature_tables": [
                f"featureTables/{hook}" for hook in ("structure_summary", "geometry_check", "chains")
            ],
        },
        "register_again": {"same_name": True, "state": ready},
        "conflict": {
            "code": "FAILED_PRECONDITION",
            "reason": "FEATURE_TABLE_CONFLICT",
            "columns": [
                {"column": "residue_count", "expected": "integer, required", "found": "string, required"}
            ],
        },
        "upload": {"file_name": STRUCTURE.name, "size_bytes": len(content), "sha256": sha256},
        "submit": {"state": "RUN_STATE_PENDING"},
        "watch": {
            "connections": 2,
            "each_once": True,
            "kinds": ["run_started", *hook, *hook, *hook, "record_published", "run_finished"],
            "end": "RUN_STATE_COMPLETED",
            "closed_with": "OK",
        },
        "log": {"size_bytes": len(log), "sha256": hashlib.sha256(log).hexdigest()},
        "query": {
            "columns": ["chain_id", "polymer_type", "residue_count", "sequence", "mean_b_factor"],
            "pages": [
                [[chain, "protein", len(sequence), sequence, None] for chain in page] for page in ("ED", "CB")
            ],
        },
        "download": {"same": True, "sha256": sha256},
        "errors": {
            "bad_name": {"code": invalid, "reason": "INVALID_FIELD", "fields": ["convention.hooks[0].name"]},
            "unknown_column": {"code": invalid, "reason": "UNKNOWN_COLUMN", "fields": ["filter"]},
            "empty_oneof": {
                "code": invalid,
                "reason": "INVALID_FIELD",
                "fields": ["convention.hooks[0].runtime"],
            },
            "unknown_arm": {
                "code": unimplemented,
                "reason": "UNSUPPORTED_VARIANT",
                "fields": ["convention.hooks[0].runtime"],
            },
            "unknown_field": {
                "code": unimplemented,
                "reason": "UNSUPPORTED_FIELD",
                "fields": ["convention.hooks[0].oci"],
            },
            "expired_deadline": {"code": "DEADLINE_EXCEEDED"},
            "cancelled": {"code": "CANCELLED"},
        },
    }


def expected_at_newer() -> dict[str, Saw]:
    """What every client must see at a newer server (newer_front.py), step by step.

    It passes over the kinds of events that it does not know, has numbers for the enum values that it does not know, goes on after
    `closing` whatever the reason, and finds the details of errors that it does know.
    """
    road = expected()
    return road | {
        "submit": {"state": str(LATER)},
        "watch": road["watch"] | {"connections": 3, "end": str(LATER)},
    }


def expected_at_later_values() -> dict[str, Saw]:
    """The steps before the query, where the road was gone before."""
    road = expected_at_newer()
    road["validate_only"]["stored"] = True
    steps = list(road)
    return {step: road[step] for step in steps[: steps.index("query")]}


def differences(seen: Mapping[str, Saw], wanted: Mapping[str, Saw]) -> dict[str, str]:
    """Return what is not as it must be, by step."""
    wrong = {}
    for step, want in wanted.items():
        saw = seen.get(step)
        if saw is None:
            wrong[step] = NOT_REACHED
        elif _comparable(saw) != _comparable(want):
            wrong[step] = f"saw {json.dumps(saw, sort_keys=True)}\nnot {json.dumps(want, sort_keys=True)}"
    return wrong | dict.fromkeys(seen.keys() - wanted.keys(), "there is no such step")


def _comparable(saw: Saw) -> object:
    # A library may have nothing to show of a cancelled call, because it is simply gone.
    shown = json.loads(json.dumps(saw))
    if isinstance(cancelled := shown.get("cancelled"), dict) and cancelled.get("code", "") is None:
        cancelled["code"] = "CANCELLED"
    return _typed(shown)


def _typed(value: object) -> object:
    # in JSON true is not 1, but 1.0 is
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return isinstance(value, bool), value


def table_of(results: list[Result]) -> Table:
    """Show language by step, and how long it took to build each."""
    table = Table(title="Clients: did each see what it must?")
    table.add_column("")
    for result in results:
        table.add_column(result.language, justify="center")
    for steps in (list(expected()), [NEWER, LATER_VALUES]):
        for step in steps:
            cells = [
                "-" if r.skipped else "[red]no[/]" if step in r.wrong else "[green]yes[/]" for r in results
            ]
            table.add_row(step, *cells)
        table.add_section()
    table.add_row("build", *("-" if r.build_seconds is None else f"{r.build_seconds:.0f} s" for r in results))
    return table


def show(results: list[Result]) -> None:
    """Print the table, and a sentence for whatever it cannot say."""
    console = Console()
    console.line()
    console.print(table_of(results))
    for result in results:
        if result.skipped:
            console.print(f"{result.language}: {result.skipped}", markup=False)
            continue
        if not result.from_nothing:
            console.print(
                f"{result.language} had been built before; COLD=1 builds from nothing.", markup=False
            )
        if set(result.wrong.values()) == {NOT_REACHED}:
            console.print(f"{result.language}: it did not come to its first step", markup=False)
            continue
        for step, why in result.wrong.items():
            console.print(f"{result.language}, {step}: {why}", markup=False)
