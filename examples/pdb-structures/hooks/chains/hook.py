"""One row per polymer chain: what it is made of, how long it is, its sequence, how mobile it is.

A hook may answer with any number of rows for a record; this one gives as many as the structure has chains. The
files it reads and writes are described at the top of `structure_summary/hook.py`.
"""

import json
import os
from pathlib import Path

import gemmi

IN, FILES, OUT = (Path(os.environ[name]) for name in ("OSA_IN", "OSA_FILES", "OSA_OUT"))

POLYMERS = {
    gemmi.PolymerType.PeptideL: "protein",
    gemmi.PolymerType.PeptideD: "protein",
    gemmi.PolymerType.Dna: "dna",
    gemmi.PolymerType.Rna: "rna",
    gemmi.PolymerType.DnaRnaHybrid: "dna/rna hybrid",
}


def main() -> None:
    """Describe the chains of every record that was handed in."""
    for line in (IN / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        try:
            rows = chains_of(structure_file(FILES / record["id"]))
        except (OSError, RuntimeError, ValueError) as error:
            print(f"no chains: {error}")
            write("errors.jsonl", {"id": record["id"], "error": str(error), "retryable": False})
        else:
            write("features.jsonl", {"id": record["id"], "features": rows})


def structure_file(folder: Path) -> Path:
    """Find the record's structure: the first file that is called *.cif or *.cif.gz."""
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith((".cif", ".cif.gz")):
            return path
    raise ValueError("there is no .cif or .cif.gz file among the files of this record")


def chains_of(path: Path) -> list[dict[str, object]]:
    """Read one structure; a row for each polymer chain of its first model."""
    try:
        structure = gemmi.read_structure(str(path), format=gemmi.CoorFormat.Mmcif)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).rpartition(": ")[2]  # without the path, which means nothing outside
        raise ValueError(f"{path.name} is not a complete mmCIF file: {reason}") from error
    structure.setup_entities()
    if len(structure) == 0:
        raise ValueError(f"{path.name} holds no coordinates")

    rows = []
    for chain in structure[0]:
        polymer = chain.get_polymer()
        # Where residues were modelled as alternatives of each other, the first one counts.
        residues = list(polymer.first_conformer())
        if not residues:
            continue  # ligands or waters only
        rows.append(
            {
                "chain_id": chain.name,
                "polymer_type": POLYMERS.get(polymer.check_polymer_type(), "other"),
                "residue_count": len(residues),  # those with coordinates; a mobile loop may be missing
                "sequence": "".join(letter_of(residue.name) for residue in residues),
                "mean_b_factor": mean_b_factor(residues),
            }
        )
        step, done = f"chain {chain.name}", f"{len(residues)} residues of {rows[-1]['polymer_type']}"
        print(f"{step}: {done}")
        write("progress.jsonl", {"step": step, "status": "running", "message": done})
    return rows


def letter_of(residue: str) -> str:
    """The letter of a residue's name in a sequence; a modified one has that of its parent, an unknown one X."""
    return gemmi.find_tabulated_residue(residue).one_letter_code.strip().upper() or "X"


def mean_b_factor(residues: list[gemmi.Residue]) -> float | None:
    """The mean isotropic B factor of the chain's atoms, in square ångström; None where none was refined."""
    factors = [atom.b_iso for residue in residues for atom in residue]
    mean = sum(factors) / len(factors)
    return round(mean, 2) if mean > 0 else None


def write(name: str, line: dict[str, object]) -> None:
    """Append one line to a file of results."""
    with (OUT / name).open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
