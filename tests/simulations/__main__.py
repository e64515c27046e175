"""Whether 95 % intervals hold the truth in 95 % of cohorts, tests keep their size, and power grows.

    make simulations, or python -m tests.simulations [runs]

Prints a table; ends with 1 when an interval covers less than 93 % or more than 97 %, a size is not within 5 ± 2 %, or
a power does not grow. Of 1,000 runs the share itself has a standard error of 0.7 %.
"""

import sys
from typing import Final

from tests.simulations.truths import COVERAGE, POWER, SIZE, grows, rate

RUNS: Final = 1000
SEED: Final = 20252
TOLERANCE: Final = 0.02


def main(runs: int) -> int:
    """Run everything ``runs`` times."""
    wrong = 0
    for kind, trials, aim in (("covers", COVERAGE, 0.95), ("size", SIZE, 0.05)):
        for name, trial in trials.items():
            found = rate(trial, runs, SEED)
            is_right = abs(found - aim) <= TOLERANCE
            wrong += not is_right
            print(f"{kind:8}{100 * found:6.1f} %  {'' if is_right else 'WRONG  '}{name}", flush=True)  # noqa: T201 — the table
    for name, trials in POWER.items():
        rates = tuple(rate(trial, runs, SEED) for trial in trials)
        wrong += not grows(rates)
        shown = " ".join(f"{100 * one:5.1f} %" for one in rates)
        print(f"{'power':8}{shown}  {'' if grows(rates) else 'WRONG  '}{name}", flush=True)  # noqa: T201 — the table
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS))
