"""A table of text for the terminal."""

import shutil
import sys
from collections.abc import Sequence

_GAP = "  "
_SHORTEST = 8


def plain_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()
) -> str:
    """Return a table with aligned columns, those in `right` to the right.

    On a terminal the widest columns are cut with an ellipsis until a row fits; in a pipe nothing is cut.
    """
    widths = [max(len(line[at]) for line in (header, *rows)) for at in range(len(header))]
    if sys.stdout.isatty():
        _shrink(widths, shutil.get_terminal_size().columns)
    return "\n".join(_line(line, widths, right) for line in (header, *rows))


def _shrink(widths: list[int], available: int) -> None:
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - available
    while excess > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= _SHORTEST:
            return
        cut = min(excess, max(1, widths[widest] // 4))
        widths[widest] -= cut
        excess -= cut


def _line(cells: Sequence[str], widths: Sequence[int], right: frozenset[int]) -> str:
    shown = []
    for at, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text = cell if len(cell) <= width else cell[: width - 1] + "…"
        shown.append(text.rjust(width) if at in right else text.ljust(width))
    return _GAP.join(shown).rstrip()
