"""Cases that R was asked about, and what it said: written by ``reference/make_reference.R``."""

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "reference"


@cache
def said() -> dict[str, Any]:
    """R's figures, and its versions."""
    found: dict[str, Any] = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    return found


@cache
def table(name: str) -> dict[str, NDArray[np.float64]]:
    """The columns of one of the files that R read."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {column: np.array([float(row[column]) for row in rows]) for column in rows[0]}


def alone(cases: int) -> NDArray[np.int64]:
    """Every case another patient."""
    return np.arange(cases, dtype=np.int64)
