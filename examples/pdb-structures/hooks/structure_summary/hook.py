"""One row per structure: how it was determined, its unit cell, and how much is in it.

What a hook finds in its container (container contract, version 2):

    $OSA_IN/records.jsonl         one line per record: {"id": ..., "metadata": {...}}
    $OSA_FILES/<id>/<file name>   the files of that record, to be read only
    $OSA_OUT                      a folder for what the hook has to say

What it leaves there:

    features.jsonl    {"id": ..., "features": [{column: value, ...}, ...]}   the rows of one record
    errors.jsonl      {"id": ..., "error": "why", "retryable": false}        this record could not be worked on
    progress.jsonl    {"step": ..., "status": "running", "message": ...}     shown to whoever watches, at once

What it prints is kept as its log.
"""

import json
import os
from pathlib import Path

import gemmi

IN, FILES, OUT = (Path(os.environ[name]) for name in ("OSA_IN", "OSA_FILES", "OSA_OUT"))


def main() -> None:
    """Summarise every record that was handed in."""
    for line in (IN / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        try:
            row = summary_of(structure_file(FILES / record["id"]))
        except (OSError, RuntimeError, ValueError) as error:
            print(f"cannot be summarised: {error}")
            write("errors.jsonl", {"id": record["id"], "error": str(error), "retryable": False})
        else:
            write("features.jsonl", {"id": record["id"], "features": [row]})


def structure_file(folder: Path) -> Path:
    """Find the record's structure: the first file that is called *.cif or *.cif.gz."""
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith((".cif", ".cif.gz")):
            return path
    raise ValueError("there is no .cif or .cif.gz file among the files of this record")


def summary_of(path: Path) -> dict[str, object]:
    """Read one structure; the row that describes it."""
    print(f"reading {path.name}, {path.stat().st_size} bytes, with gemmi {gemmi.__version__}")
    write("progress.jsonl", {"step": "read", "status": "running", "message": path.name})
    try:
        block = gemmi.cif.read(str(path)).sole_block()
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).rpartition(": ")[2]  # without the path, which means nothing outside
        raise ValueError(f"{path.name} is not a complete mmCIF file: {reason}") from error
    structure = gemmi.make_structure_from_block(block)
    if len(structure) == 0:
        raise ValueError(f"{path.name} holds no coordinates")
    structure.setup_entities()

    # Counted in the first model: the models of an NMR ensemble are the same molecule over and over.
    model = structure[0]
    row: dict[str, object] = {
        "method": method_of(block),
        "resolution": structure.resolution or None,  # in ångström; NMR has none
        "deposition_date": deposition_date_of(block),
        "atom_count": model.count_atom_sites(),
        "residue_count": sum(len(chain) for chain in model),  # ligands and waters are residues too
        "model_count": len(structure),
        "polymer_entity_count": sum(
            entity.entity_type == gemmi.EntityType.Polymer for entity in structure.entities
        ),
    }
    # A cell of 1 x 1 x 1 is what the format asks for where there is no crystal.
    cell = structure.cell
    if cell.is_crystal():
        row |= {"cell_a": cell.a, "cell_b": cell.b, "cell_c": cell.c}  # in ångström
        row |= {"cell_alpha": cell.alpha, "cell_beta": cell.beta, "cell_gamma": cell.gamma}  # in degrees
        row["space_group"] = structure.spacegroup_hm

    message = f"{row['atom_count']} atoms by {row['method']}"
    print(message)
    write("progress.jsonl", {"step": "summarise", "status": "running", "message": message})
    return row


def method_of(block: gemmi.cif.Block) -> str:
    """The experiment, for example X-RAY DIFFRACTION; several, for a joint refinement."""
    methods = [gemmi.cif.as_string(value) for value in block.find_values("_exptl.method")]
    if not methods:
        raise ValueError(
            "the file does not say by which experiment the structure was determined (_exptl.method)"
        )
    return ", ".join(methods)


def deposition_date_of(block: gemmi.cif.Block) -> str | None:
    """The day on which the entry was first deposited, as YYYY-MM-DD; older files keep it elsewhere."""
    for tag in ("_pdbx_database_status.recvd_initial_deposition_date", "_database_PDB_rev.date_original"):
        for value in block.find_values(tag):
            if not gemmi.cif.is_null(value):
                return gemmi.cif.as_string(value)
    return None


def write(name: str, line: dict[str, object]) -> None:
    """Append one line to a file of results."""
    with (OUT / name).open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
