"""`python -m reference` writes docs/contract; with `--check` it fails naming the pages that are not what comes out."""

import sys

from reference.contract import ROOT, read_contract
from reference.examples import EXAMPLES
from reference.markdown import Reference


def main(arguments: list[str]) -> None:
    """Write, or compare."""
    folder = ROOT / "docs" / "contract"
    pages = Reference(read_contract(), EXAMPLES).pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    stale = sorted(name for name in {*pages, *there} if pages.get(name) != there.get(name))
    match arguments:
        case ["--check"]:
            if stale:
                sys.exit(
                    f"docs/contract is not what proto/ makes; run make proto. What differs: {', '.join(stale)}"
                )
        case []:
            folder.mkdir(parents=True, exist_ok=True)
            for name in stale:
                if name in pages:
                    (folder / name).write_text(pages[name], encoding="utf-8")
                else:
                    (folder / name).unlink()
        case _:
            sys.exit("usage: python -m reference [--check]")


main(sys.argv[1:])
