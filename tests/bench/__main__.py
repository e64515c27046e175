"""The benchmarks: ``make bench``. Each prints a table of ratios taken in one run; single times mean little."""

import argparse
from collections.abc import Callable
from typing import Final

from tests.bench.intake import intake
from tests.bench.listener_load import load

BENCHMARKS: Final[dict[str, Callable[[], None]]] = {"intake": intake, "load": load}


def main() -> None:
    """Run the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=list(BENCHMARKS))
    for name in parser.parse_args().names or BENCHMARKS:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
