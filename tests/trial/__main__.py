"""``make phantom-trial``: held-out phantoms as DICOM through a whole node, and what came back, held against the truth.

Rendered studies and results are kept in the folder: a trial that was killed goes on where it was.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.trial.rows import Row
from tests.trial.running import Trial, run
from tests.trial.scoring import Figure, figures, reasons

_STUDIES: Final = 100
_FOLDER: Final = Path("phantom-trial")
_WIDTH: Final = 120


def main() -> int:
    """The command line; 0 when every bar that could be judged is met."""
    parser = argparse.ArgumentParser(prog="python -m tests.trial", description=__doc__)
    parser.add_argument("--studies", type=int, default=_STUDIES, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the trial; none shares a phantom")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="where studies and results are kept")
    parser.add_argument("--contours", action="store_true", help="send the truth as a contour: predictors alone")
    parser.add_argument("--thickness-mm", type=float, help="of every series (default: as the scanners draw it)")
    parser.add_argument("--settings", type=Path, help="TOML that is added to the node's settings")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")
    asked = parser.parse_args()
    trial = Trial(
        studies=asked.studies,
        seed=asked.seed,
        folder=asked.folder.absolute(),
        contours=asked.contours,
        thickness_mm=asked.thickness_mm,
        settings=asked.settings.read_text(encoding="utf-8") if asked.settings else "",
    )
    rows = run(trial, lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201 — progress
    table = figures(rows)
    if asked.json:
        print(json.dumps(_document(trial, rows, table), indent=1))  # noqa: T201 — the document
    else:
        show(Console(width=max(_WIDTH, Console().width)), trial, rows, table)
    return 0 if all(figure.is_met is not False for figure in table) else 1


def show(console: Console, trial: Trial, rows: Sequence[Row], table: Sequence[Figure]) -> None:
    """The table, and what ended without a result."""
    how = "with the truth as a contour" if trial.contours else "without contours"
    drawn = Table(title=f"{len(rows)} phantom studies, trial seed {trial.seed}, {how}", title_justify="left")
    for name in ("", "value", "95 % interval", "studies", "bar", ""):
        drawn.add_column(name, justify="left" if not name else "right")
    for figure in table:
        drawn.add_row(*_cells(figure))
    console.print(drawn)
    for reason, count in reasons(rows).items():
        console.print(f"{count} with a lesion, in the right phase, ended with {reason}", highlight=False)
    console.print("Phantoms are not patients: nothing here says how any of it does on a person.", highlight=False)


def _cells(figure: Figure) -> tuple[str, ...]:
    unit = f" {figure.unit}" if figure.unit else ""
    interval = "" if math.isnan(figure.low) else f"{figure.low:.3f} to {figure.high:.3f}"
    bar = f">= {figure.at_least:.3f}" if figure.at_least is not None else ""
    bar = f"<= {figure.at_most:.3f}" if figure.at_most is not None else bar
    value = "-" if math.isnan(figure.value) else f"{figure.value:.3f}{unit}"
    verdict = {True: "met", False: "MISSED", None: ""}[figure.is_met]
    return figure.name, value, interval, str(figure.studies or ""), bar, verdict


def _document(trial: Trial, rows: Sequence[Row], table: Sequence[Figure]) -> dict[str, Any]:
    return {
        "studies": len(rows),
        "seed": trial.seed,
        "contours": trial.contours,
        "figures": [{**_plain(asdict(figure)), "met": figure.is_met} for figure in table],
        "reasons": reasons(rows),
        "rows": [asdict(row) | {"seconds": row.seconds} for row in rows],
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Without NaN, which JSON does not know."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
