"""How long a report of 500 recorded cases takes: four classes, one model, a second reader, survival.

Aims on two quiet cores: analysis within 60 s, the three files within 20 s. Processor time stands beside the
clock's, which on a busy machine says little.
"""

import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from models.evaluation.analysis import Choices, analyse
from models.evaluation.cohort_file import read_cohort
from models.evaluation.document import Provenance
from models.evaluation.report import report, software
from tests.unit.models.evaluation.cohorts import write_cohort

CASES: Final = 500
AIMS_S: Final = {"analysis": 60.0, "report": 20.0}


def evaluation() -> None:
    """Print the times of one run."""
    with tempfile.TemporaryDirectory() as folder:
        said, true = write_cohort(Path(folder), cases=CASES)
        lines = said.read_text(encoding="utf-8").splitlines(keepends=True)
        said.write_text("".join(line for line in lines if ",B," not in line), encoding="utf-8")
        cohort = read_cohort(said, true)
    taken = {}
    start = time.perf_counter(), time.process_time()
    analysis = analyse(cohort, Choices(cut_from="internal"))
    taken["analysis"] = time.perf_counter() - start[0], time.process_time() - start[1]
    start = time.perf_counter(), time.process_time()
    made = report(analysis, Provenance("Benchmark", "", software(analysis), (), "", "", "", ""))
    made.json()
    taken["report"] = time.perf_counter() - start[0], time.process_time() - start[1]
    table = Table("what", "clock, s", "processor, s", "aim, s", title=f"{CASES} cases, {Choices().draws} draws")
    for name, (clock, processor) in taken.items():
        table.add_row(name, f"{clock:.1f}", f"{processor:.1f}", f"{AIMS_S[name]:.0f}")
    Console().print(table)
