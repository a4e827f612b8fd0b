"""What was released is kept, and a change that would break its clients is caught: each planted into a copy of the contract."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.fixtures.documents import ROOT

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
FIRST = "0.1.0"


@dataclass(frozen=True)
class Change:
    """A text of a file of the contract, and what is put in its place."""

    file: str
    old: str
    new: str

    def plant(self, contract: Path) -> None:
        path = contract / "proto" / "opensciencearchive" / "v1" / self.file
        text = path.read_text()
        assert text.count(self.old) == 1, f"{self.file} has this once: {self.old}"
        path.write_text(text.replace(self.old, self.new))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the contract, released as it is."""
    contract = tmp_path_factory.mktemp("released")
    shutil.copytree(ROOT / "proto", contract / "proto", ignore=shutil.ignore_patterns("released"))
    shutil.copy(ROOT / "buf.yaml", contract)
    run(contract, "generate", "--imports").check_returncode()
    run(contract, "release", FIRST).check_returncode()
    return contract


@pytest.fixture
def contract(released: Path, tmp_path: Path) -> Path:
    """Another copy, to be changed."""
    return shutil.copytree(released, tmp_path / "contract")


def run(contract: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["proto/" + command[0], *command[1:]],
        cwd=contract,
        env=os.environ | {"PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def compile_it(contract: Path) -> None:
    """What is planted is a contract: only its release tells that it is another one."""
    subprocess.run(["buf", "build", "proto"], cwd=contract, env=os.environ | {"PATH": PATH}, check=True)


CREATE_TIME = """\
  // When it was made.
  google.protobuf.Timestamp create_time = 11 [(google.api.field_behavior) = OUTPUT_ONLY];
"""
DISCARD_RPC = "  rpc DiscardDelivery(DiscardDeliveryRequest) returns (DiscardDeliveryResponse);\n"
REBALANCE = """\
  // The stream has reached its maximum age; clients spread onto new servers.
  CLOSING_REASON_REBALANCE = 2;
"""
TITLE = """\
  // A title for people; 1 to 256 characters without NUL.
  string title = 3 ["""
RECORD_SERVICE = (ROOT / "proto/opensciencearchive/v1/record_service.proto").read_text()

BREAKS = {
    "a field renumbered": Change("run.proto", "int64 row_count = 11 [", "int64 row_count = 17 ["),
    "a field moved into a oneof": Change(
        "run_service.proto", "  bool until_now = 4;\n", "  oneof end { bool until_now = 4; }\n"
    ),
    "a field moved out of a oneof": Change(
        "run_service.proto",
        "    bool from_now = 3;\n  }\n",
        "  }\n  bool from_now = 3;\n",
    ),
    "another type": Change("run.proto", "  bool retryable = 3 [", "  string retryable = 3 ["),
    "a wider type, which is a text in JSON": Change(
        "run_event.proto", "int32 attempt = 2;\n\n  // The id", "int64 attempt = 2;\n\n  // The id"
    ),
    "one made many": Change("run.proto", "  string step = 1 [", "  repeated string step = 1 ["),
    "a field renamed": Change("run.proto", "  string engine = 5 [", "  string container_engine = 5 ["),
    "a field renamed in JSON": Change(
        "run.proto", "  string engine = 5 [", '  string engine = 5 [json_name = "containerEngine", '
    ),
    "a field removed": Change("deposition.proto", CREATE_TIME, ""),
    "a field removed, its number and name reserved": Change(
        "deposition.proto", CREATE_TIME, '  reserved 11;\n  reserved "create_time";\n'
    ),
    "an enum's value removed": Change("run_service.proto", REBALANCE, ""),
    "an enum's value removed, its number and name reserved": Change(
        "run_service.proto", REBALANCE, '  reserved 2;\n  reserved "CLOSING_REASON_REBALANCE";\n'
    ),
    "an enum's value renumbered": Change(
        "run.proto", "FAILURE_KIND_INTERNAL = 8;", "FAILURE_KIND_INTERNAL = 10;"
    ),
    "an enum's value renamed": Change("run.proto", "FAILURE_KIND_OOM = 4;", "FAILURE_KIND_MEMORY = 4;"),
    "an arm removed": Change(
        "run_event.proto", "    // A hook is run again.\n    HookRetrying hook_retrying = 13;\n", ""
    ),
    "an RPC removed": Change("admin_service.proto", DISCARD_RPC, ""),
    "an RPC renamed": Change("admin_service.proto", "rpc DiscardDelivery(", "rpc DropDelivery("),
    "another request": Change(
        "run_service.proto", "rpc CancelRun(CancelRunRequest)", "rpc CancelRun(RetryRunRequest)"
    ),
    "an answer that became a stream": Change(
        "run_service.proto", "returns (GetRunResponse)", "returns (stream GetRunResponse)"
    ),
    "a stream that became an answer": Change(
        "run_service.proto", "returns (stream WatchRunResponse)", "returns (WatchRunResponse)"
    ),
    "an upload that is no stream": Change(
        "deposition_service.proto", "UploadFile(stream UploadFileRequest)", "UploadFile(UploadFileRequest)"
    ),
    "a read that may now change something": Change(
        "server_service.proto", "{\n    option idempotency_level = NO_SIDE_EFFECTS;\n  }", "{}"
    ),
    "a service removed": Change(
        "record_service.proto",
        RECORD_SERVICE[RECORD_SERVICE.index("// Shows what was") : RECORD_SERVICE.index("// Asks for a record.")],
        "",
    ),
    "another package for Java": Change("record.proto", '"org.opensciencearchive.v1"', '"org.osa.v1"'),
}  # fmt: skip

ADDITIONS = {
    "a field": Change("run.proto", "  string engine = 5 [", "  int64 peak_bytes = 9;\n  string engine = 5 ["),
    "an arm": Change(
        "hook.proto",
        "    OciConfig oci = 10;\n",
        "    OciConfig oci = 10;\n    NextflowConfig nextflow = 11;\n",
    ),
    "an enum's value": Change(
        "run.proto", "FAILURE_KIND_INTERNAL = 8;", "FAILURE_KIND_INTERNAL = 8;\n  FAILURE_KIND_DISK = 10;"
    ),
    "an RPC": Change(
        "admin_service.proto", DISCARD_RPC, DISCARD_RPC + DISCARD_RPC.replace("Discard", "Hasten", 1)
    ),
    "other words": Change("convention.proto", TITLE, TITLE.replace("A title for people", "Its title")),
    "a deprecation": Change("run.proto", "  string engine = 5 [", "  string engine = 5 [deprecated = true, "),
}


def test_the_contract_breaks_no_client_of_a_release() -> None:
    checked = run(ROOT, "release", "--check")
    assert checked.returncode == 0, checked.stderr


def test_before_the_first_release_the_check_says_that_nothing_is_kept(contract: Path) -> None:
    shutil.rmtree(contract / "proto" / "released")
    checked = run(contract, "release", "--check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.startswith("Nothing is in proto/released yet")


def test_the_contract_unchanged_breaks_nothing(contract: Path) -> None:
    checked = run(contract, "release", "--check")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout == "The contract breaks no client of its releases (1).\n"


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_is_caught(contract: Path, name: str) -> None:
    change = BREAKS[name]
    change.plant(contract)
    compile_it(contract)
    checked = run(contract, "release", "--check")
    assert checked.returncode == 1, checked.stdout
    assert checked.stderr.startswith(f"The contract breaks clients of {FIRST}:\nproto/opensciencearchive/v1/")


@pytest.mark.parametrize("name", ADDITIONS)
def test_an_addition_is_no_break(contract: Path, name: str) -> None:
    change = ADDITIONS[name]
    change.plant(contract)
    if name == "an arm":
        file = contract / "proto/opensciencearchive/v1/hook.proto"
        file.write_text(file.read_text() + "\nmessage NextflowConfig {\n  string pipeline = 1;\n}\n")
    checked = run(contract, "release", "--check")
    assert checked.returncode == 0, checked.stderr


def test_what_a_later_release_added_is_guarded_too(contract: Path) -> None:
    ADDITIONS["a field"].plant(contract)
    run(contract, "release", "0.2.0").check_returncode()
    Change("run.proto", "  int64 peak_bytes = 9;", "  string peak_bytes = 9;").plant(contract)
    checked = run(contract, "release", "--check")
    assert checked.returncode == 1
    assert "clients of 0.2.0" in checked.stderr
    assert f"clients of {FIRST}" not in checked.stderr


def test_a_change_of_what_is_imported_is_none_of_ours(contract: Path) -> None:
    imported = contract / "build/googleapis/google/api/field_behavior.proto"
    text = imported.read_text()
    assert text.count("  UNORDERED_LIST = 6;\n") == 1
    imported.write_text(text.replace("  UNORDERED_LIST = 6;\n", ""))
    assert run(contract, "release", "--check").returncode == 0


def test_a_release_is_the_same_bytes_wherever_it_is_made(released: Path, contract: Path) -> None:
    target = contract / "proto" / "released" / f"{FIRST}.binpb"
    target.unlink()
    run(contract, "release", FIRST).check_returncode()
    assert target.read_bytes() == (released / "proto" / "released" / f"{FIRST}.binpb").read_bytes()


def test_a_release_needs_nothing_else(released: Path) -> None:
    released_set = FileDescriptorSet.FromString((released / f"proto/released/{FIRST}.binpb").read_bytes())
    there: set[str] = set()
    for file in released_set.file:
        assert set(file.dependency) <= there, "what a file imports stands before it"
        there.add(file.name)
    protos = {path.relative_to(ROOT / "proto").as_posix() for path in (ROOT / "proto").rglob("*.proto")}
    assert protos <= there


def plant_nothing(_: Path) -> None:
    """Leave the contract as it is."""


@pytest.mark.parametrize(
    ("version", "prepare", "said"),
    [
        (FIRST, plant_nothing, "what was released never changes"),
        ("0.1", plant_nothing, "is no version"),
        ("0.2.0/../x", plant_nothing, "is no version"),
        ("0.2.0", BREAKS["another type"].plant, f"breaks clients of {FIRST}"),
    ],
)
def test_what_must_not_be_released_is_refused(
    contract: Path, version: str, prepare: Callable[[Path], None], said: str
) -> None:
    prepare(contract)
    kept = {path.name: path.read_bytes() for path in (contract / "proto/released").iterdir()}
    refused = run(contract, "release", version)
    assert refused.returncode != 0
    assert said in refused.stderr
    assert {path.name: path.read_bytes() for path in (contract / "proto/released").iterdir()} == kept
