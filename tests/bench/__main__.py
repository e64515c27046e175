"""The benchmarks: ``make bench``. Each prints a table of ratios taken in one run; single times mean little."""

import argparse
from importlib import import_module
from typing import Final

BENCHMARKS: Final = {
    "intake": "tests.bench.intake",
    "load": "tests.bench.listener_load",
    "worklist": "tests.bench.page_load",
    "delivery": "tests.bench.delivery",
    "objects": "tests.bench.objects",
    "predictors": "tests.bench.predictors",
    "segmenter": "tests.bench.segmenter",
    "evaluation": "tests.bench.evaluation",
    "fleet": "tests.bench.fleet",
    "capacity": "tests.bench.capacity",
    "candidates": "tests.bench.candidates",
}
"""Name to the module with a function of that name; each brings libraries of its own."""
ON_REQUEST: Final = frozenset({"candidates"})
"""Run when named only: what was decided by them is decided."""


def main() -> None:
    """Run the benchmarks that were named, or all that are not on request."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=list(BENCHMARKS))
    for name in parser.parse_args().names or [name for name in BENCHMARKS if name not in ON_REQUEST]:
        getattr(import_module(BENCHMARKS[name]), name)()


if __name__ == "__main__":
    main()
