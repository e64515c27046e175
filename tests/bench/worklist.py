"""How long a page of the worklist takes with many cases: ``python -m tests.bench.worklist [--cases 100000]``.

Each way of looking is asked for in turn through the whole application, many rounds; the table has medians and worsts.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from node.domain.access import Role
from tests.page import Browser, PageUnderTest, many, open_page

LIMIT_MS: Final = 200.0
OK: Final = 200


def ways(browser: Browser, following: str) -> dict[str, Callable[[], int]]:
    """What people do with a worklist: each gives the status of its answer."""

    def rows(**form: str) -> int:
        return int(browser.post("/worklist/rows", **form).status_code)

    return {
        "the whole page": lambda: browser.get("/").status_code,
        "the first rows": rows,
        "one state": lambda: rows(state="not-analysed"),
        "a state without cases": lambda: rows(state="waiting"),
        "oldest first": lambda: rows(order="oldest"),
        "a page far behind": lambda: rows(after=following),
        "a patient ID": lambda: rows(text="PAT-0042000"),
        "a common part of a name": lambda: rows(text="name1"),
        "nobody of that name": lambda: rows(text="nobody at all"),
        "the API": lambda: browser.get("/api/v1/jobs").status_code,
    }


def measure(page: PageUnderTest, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds of each way, by the clock and of this process, the ways one after the other in each round."""
    browser = page.signed_in(Role.ADMIN)
    asked = ways(browser, "2025-06-15T12:00:00+00:00 many00050000")
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    for number in range(rounds + 1):
        for name, ask in asked.items():
            started, worked = time.perf_counter(), time.process_time()
            status = ask()
            spent = (1000 * (time.perf_counter() - started), 1000 * (time.process_time() - worked))
            if status != OK:
                raise SystemExit(f"{name}: {status}")
            if number:
                took[name].append(spent)
    return took


def main() -> int:
    """Measure and print; 1 when a median is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="celadon-worklist-") as folder:
        page = open_page(Path(folder), requests_per_minute=10**6)
        many(page, asked.cases)
        took = measure(page, asked.rounds)
        page.stores.database.close()
    title = f"Worklist with {asked.cases} cases, {asked.rounds} rounds (forms: with the page that they are sent from)"
    table = Table("look", "median ms", "worst ms", "median ms of the processor", title=title)
    slow = False
    for name, times in took.items():
        clock, processor = zip(*times, strict=True)
        slow |= statistics.median(clock) > LIMIT_MS
        row = (statistics.median(clock), max(clock), statistics.median(processor))
        table.add_row(name, *(f"{value:.0f}" for value in row))
    Console().print(table)
    return int(slow)


if __name__ == "__main__":
    raise SystemExit(main())
