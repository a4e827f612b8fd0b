"""The example hooks, in their images, on the real structures they are shown with."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from osa_grpc.runtimes.hook_image import build_hook_image
from tests.fixtures.containers import Done, run_container

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLE = Path(__file__).parents[2] / "examples" / "pdb-structures"
CONVENTION = json.loads((EXAMPLE / "convention.json").read_text())
ENTRIES = sorted(path.name.removesuffix(".cif.gz") for path in (EXAMPLE / "structures").glob("*.cif.gz"))
JSON_TYPES = {
    "STRING": str,
    "NUMBER": (int, float),
    "INTEGER": int,
    "BOOLEAN": bool,
    "ARRAY": list,
    "OBJECT": dict,
}


@dataclass(frozen=True)
class Outcome(Done):
    """What a hook left in its output folder, and how it ended."""

    files: dict[str, str]

    def lines(self, name: str) -> list[Any]:
        return [json.loads(line) for line in self.files.get(name, "").splitlines()]

    @property
    def rows(self) -> dict[str, list[Any]]:
        return {line["id"]: line["features"] for line in self.lines("features.jsonl")}


def structure(entry: str) -> Path:
    [path] = (EXAMPLE / "structures").glob(f"{entry}.cif*")
    return path


async def run_v2(docker_host: str, hook: str, entries: Sequence[str], work: Path) -> Outcome:
    """Run a hook of contract version 2 on all `entries` at once."""
    for entry in entries:
        (work / "files" / entry).mkdir(parents=True)
        shutil.copy(structure(entry), work / "files" / entry)
    (work / "in").mkdir()
    records = [json.dumps({"id": entry, "metadata": {}, "size_hint_mb": 1}) for entry in entries]
    (work / "in" / "records.jsonl").write_text("\n".join(records) + "\n")
    return await run_hook(docker_host, hook, work, {"/osa/files": (work / "files", False)})


async def run_v1(docker_host: str, hook: str, entry: str, work: Path) -> Outcome:
    """Run a hook of contract version 1 on one entry."""
    (work / "in" / "files").mkdir(parents=True)
    shutil.copy(structure(entry), work / "in" / "files")
    (work / "in" / "record.json").write_text(
        json.dumps({"srn": f"urn:osa:example.org:dep:{entry}", "metadata": {}})
    )
    return await run_hook(docker_host, hook, work, {})


async def run_hook(docker_host: str, hook: str, work: Path, mounts: dict[str, tuple[Path, bool]]) -> Outcome:
    [definition] = [one for one in CONVENTION["hooks"] if one["name"] == hook]
    if "config" in definition["oci"]:
        (work / "in" / "config.json").write_text(json.dumps(definition["oci"]["config"]))
    (work / "out").mkdir()
    (work / "out").chmod(0o777)
    image = await build_hook_image(EXAMPLE / "hooks" / hook, docker_host=docker_host, say=lambda _: None)
    done = await run_container(
        docker_host,
        image.image_id,
        environment={
            "OSA_IN": "/osa/in",
            "OSA_FILES": "/osa/files",
            "OSA_OUT": "/osa/out",
            "OSA_HOOK_NAME": hook,
        },
        mounts=mounts | {"/osa/in": (work / "in", False), "/osa/out": (work / "out", True)},
    )
    files = {path.name: path.read_text() for path in (work / "out").iterdir()}
    return Outcome(exit_code=done.exit_code, output=done.output, files=files)


def assert_fits(hook: str, row: dict[str, Any]) -> None:
    """A row has no column that the convention does not declare, all it requires, and values of their type."""
    [definition] = [one for one in CONVENTION["hooks"] if one["name"] == hook]
    columns = {column["name"]: column for column in definition["table"]["columns"]}
    assert set(row) <= set(columns)
    for name, column in columns.items():
        value = row.get(name)
        if value is None:
            assert not column.get("required"), name
        else:
            assert isinstance(value, JSON_TYPES[column["jsonType"].removeprefix("JSON_TYPE_")]), name
            if column.get("format") == "date":
                date.fromisoformat(value)


async def test_every_structure_is_summarised_in_one_row(docker_host: str, tmp_path: Path) -> None:
    outcome = await run_v2(docker_host, "structure_summary", ENTRIES, tmp_path)
    assert outcome.exit_code == 0, outcome.output
    assert sorted(outcome.rows) == ENTRIES
    for [row] in outcome.rows.values():
        assert_fits("structure_summary", row)
    assert outcome.rows["4cup"] == [
        {
            "method": "X-RAY DIFFRACTION",
            "resolution": 1.88,
            "deposition_date": "2014-03-21",
            "atom_count": 1107,
            "residue_count": 265,
            "model_count": 1,
            "polymer_entity_count": 1,
            "cell_a": 80.37,
            "cell_b": 96.12,
            "cell_c": 57.67,
            "cell_alpha": 90.0,
            "cell_beta": 90.0,
            "cell_gamma": 90.0,
            "space_group": "C 2 2 21",
        }
    ]
    [fibril] = outcome.rows["2beg"]  # an NMR ensemble
    assert fibril["method"] == "SOLUTION NMR"
    assert fibril["model_count"] == 10
    assert fibril["resolution"] is None
    assert "cell_a" not in fibril
    assert "reading 2beg.cif.gz" in outcome.output
    assert len(outcome.lines("progress.jsonl")) == 2 * len(ENTRIES)


async def test_every_chain_has_its_row(docker_host: str, tmp_path: Path) -> None:
    outcome = await run_v2(docker_host, "chains", ENTRIES, tmp_path)
    assert outcome.exit_code == 0, outcome.output
    assert sorted(outcome.rows) == ENTRIES
    for rows in outcome.rows.values():
        for row in rows:
            assert_fits("chains", row)
            assert len(row["sequence"]) == row["residue_count"]
    # The lac repressor's headpiece on its operator: two strands of DNA, one protein, no B factors from NMR.
    assert [
        (row["polymer_type"], row["residue_count"], row["mean_b_factor"]) for row in outcome.rows["1lcd"]
    ] == [
        ("dna", 11, None),
        ("dna", 11, None),
        ("protein", 51, None),
    ]
    [capsid] = outcome.rows["1a8o"]  # its methionines are selenomethionines
    assert capsid["sequence"].startswith("MDIRQGPKEPFRDYV")
    assert capsid["mean_b_factor"] == pytest.approx(20.31)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry != "1as5"])
async def test_planar_peptide_bonds_pass(docker_host: str, tmp_path: Path, entry: str) -> None:
    outcome = await run_v1(docker_host, "geometry_check", entry, tmp_path)
    assert outcome.exit_code == 0, outcome.output
    row = json.loads(outcome.files["features.json"])
    assert_fits("geometry_check", row)
    assert row["max_twist"] <= 40
    assert {line["status"] for line in outcome.lines("progress.jsonl")} == {"running"}


async def test_twisted_peptide_bonds_are_rejected_with_a_reason_for_the_depositor(
    docker_host: str, tmp_path: Path
) -> None:
    outcome = await run_v1(docker_host, "geometry_check", "1as5", tmp_path)
    assert outcome.exit_code == 0, outcome.output
    last = outcome.lines("progress.jsonl")[-1]
    assert last["status"] == "rejected"
    assert last["message"].startswith(
        "3 of 23 peptide bonds are twisted by more than 40 degrees out of plane, "
        "the worst by 71 degrees (chain A, CYS 16 - SER 17)"
    )


@pytest.mark.parametrize("hook", ["structure_summary", "chains"])
async def test_a_truncated_file_is_an_error_of_its_record_only(
    docker_host: str, tmp_path: Path, hook: str
) -> None:
    outcome = await run_v2(docker_host, hook, ["truncated", "3jqh"], tmp_path)
    assert outcome.exit_code == 0, outcome.output
    assert list(outcome.rows) == ["3jqh"]
    assert outcome.lines("errors.jsonl") == [
        {
            "id": "truncated",
            "error": "truncated.cif is not a complete mmCIF file: Wrong number of values in loop _atom_site.*",
            "retryable": False,
        }
    ]
    assert "rejections.jsonl" not in outcome.files


async def test_a_truncated_file_is_not_judged(docker_host: str, tmp_path: Path) -> None:
    outcome = await run_v1(docker_host, "geometry_check", "truncated", tmp_path)
    assert outcome.exit_code == 1
    assert "truncated.cif is not a complete mmCIF file: Wrong number of values" in outcome.output
    assert "features.json" not in outcome.files
    assert {line["status"] for line in outcome.lines("progress.jsonl")} == {"running"}


@pytest.mark.parametrize("entry", [*ENTRIES, "truncated"])
def test_every_structure_has_the_metadata_that_the_convention_asks_for(entry: str) -> None:
    metadata = json.loads((EXAMPLE / "metadata" / f"{entry}.json").read_text())
    fields = {field["name"]: field for field in CONVENTION["metadataSchema"]}
    assert set(metadata) <= set(fields)
    assert {name for name, field in fields.items() if field.get("required")} <= set(metadata)
