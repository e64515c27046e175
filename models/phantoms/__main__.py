"""``python -m models.phantoms --seed 7 --png out.png``: look at a phantom."""

import argparse
import sys
from pathlib import Path

from models.phantoms import sheet
from models.phantoms.enhancement import Phase
from models.phantoms.spec import Kind, Wanted, draw


def main(arguments: list[str] | None = None) -> int:
    """Write a contact sheet and print the plan; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.phantoms", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--png", type=Path, required=True)
    parser.add_argument("--kind", choices=[kind.value for kind in Kind])
    parser.add_argument("--phase", choices=[phase.value for phase in Phase], default=Phase.PORTAL_VENOUS.value)
    parser.add_argument("--t-stage", type=int, choices=(1, 2, 3, 4))
    parser.add_argument("--thickness-mm", type=float)
    asked = parser.parse_args(arguments)
    wanted = Wanted(
        kind=Kind(asked.kind) if asked.kind else None,
        phase=Phase(asked.phase),
        t_stage=asked.t_stage,
        thickness_mm=asked.thickness_mm,
    )
    spec = draw(asked.seed, wanted)
    sheet.save(spec, asked.png)
    sys.stdout.write(f"{spec}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
