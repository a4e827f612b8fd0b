"""Judges a structure: are its peptide bonds planar, as they are in nature?

The bond between two residues has double bond character, so the four atoms CA-C-N-CA around it lie in a plane: the
torsion angle omega is near 180 degrees (trans), seldom near 0 (cis). A bond twisted far out of plane is nearly
always an error of the model. How far is too far is the convention's to say (`max_twist_degrees`).

Written for the first version of the container contract, which knows one record at a time:

    $OSA_IN/record.json       {"srn": ..., "metadata": {...}}
    $OSA_IN/config.json       what the convention configures, if anything
    $OSA_IN/files/<name>      the record's files, to be read only
    $OSA_OUT/features.json    the row
    $OSA_OUT/progress.jsonl   progress; its last line with status "rejected" rejects the record, with its reason

An exit code other than 0 means that the hook could not do its work, which is no judgement on the data.
"""

import json
import math
import os
import sys
from itertools import pairwise
from pathlib import Path

import gemmi

IN, OUT = Path(os.environ["OSA_IN"]), Path(os.environ["OSA_OUT"])

LONGEST_BOND = 2.0
"""In ångström. Residues that follow each other, but are farther apart, are the two sides of a gap in the model."""


def main() -> None:
    """Judge the record."""
    record = json.loads((IN / "record.json").read_text())
    config = json.loads((IN / "config.json").read_text()) if (IN / "config.json").exists() else {}
    allowed = config.get("max_twist_degrees", 40)  # from 0 or 180 degrees, whichever is nearer
    print(f"judging {record['srn']}: peptide bonds may be twisted by {allowed} degrees")

    path = structure_file(IN / "files")
    progress("read", "running", path.name)
    try:
        structure = gemmi.read_structure(str(path), format=gemmi.CoorFormat.Mmcif)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).rpartition(": ")[2]  # without the path, which means nothing outside
        sys.exit(f"{path.name} is not a complete mmCIF file: {reason}")

    bonds = peptide_bonds(structure)
    twisted = [bond for bond in bonds if bond[0] > allowed]
    for twist, where in twisted:
        print(f"{where}: {twist:.0f} degrees out of plane")
    progress("judge", "running", f"{len(bonds)} peptide bonds, {len(twisted)} twisted")

    if twisted:
        worst, where = max(twisted)
        progress(
            "judge",
            "rejected",
            f"{len(twisted)} of {len(bonds)} peptide bonds are twisted by more than {allowed} degrees out of plane, "
            f"the worst by {worst:.0f} degrees ({where}): please check the omega restraints of the refinement.",
        )
    row = {"peptide_bond_count": len(bonds), "max_twist": round(max(bonds)[0], 1) if bonds else None}
    (OUT / "features.json").write_text(json.dumps(row))


def structure_file(folder: Path) -> Path:
    """Find the record's structure: the first file that is called *.cif or *.cif.gz."""
    for path in sorted(folder.iterdir()):
        if path.name.lower().endswith((".cif", ".cif.gz")):
            return path
    sys.exit("there is no .cif or .cif.gz file among the files of this record")


def peptide_bonds(structure: gemmi.Structure) -> list[tuple[float, str]]:
    """The peptide bonds of the first model: how many degrees each is out of plane, and where it is."""
    structure.setup_entities()
    structure.remove_alternative_conformations()
    bonds = []
    for chain in structure[0]:
        residues = list(chain.get_polymer())
        for before, after in pairwise(residues):
            atoms = [before.find_atom("CA", "*"), before.find_atom("C", "*")]
            atoms += [after.find_atom("N", "*"), after.find_atom("CA", "*")]
            if not all(atoms):
                continue  # not an amino acid
            ca_before, c, n, ca_after = (atom.pos for atom in atoms)
            if c.dist(n) > LONGEST_BOND:
                continue
            omega = abs(math.degrees(gemmi.calculate_dihedral(ca_before, c, n, ca_after)))
            where = f"chain {chain.name}, {before.name} {before.seqid} - {after.name} {after.seqid}"
            bonds.append((min(omega, 180 - omega), where))
    return bonds


def progress(step: str, status: str, message: str) -> None:
    """Tell whoever watches."""
    with (OUT / "progress.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "status": status, "message": message}) + "\n")


if __name__ == "__main__":
    main()
