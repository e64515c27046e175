"""The results of a trial on disk: a line a study, written as soon as it is known, so that a kill costs one study."""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.trial.rendering import Truth


@dataclass(frozen=True, slots=True)
class Row:
    """One study: what is true, and what came of it."""

    truth: Truth
    weights: str
    """A digest over all bundles in use: rows of other weights are other results."""
    contours: bool
    """Whether the truth was sent as a contour."""
    state: str
    reason: str
    detail: str
    objects: int
    """How many were read back."""
    organ: str
    p_ntr_high: float | None
    ntr_high: bool | None
    p_t: tuple[float | None, ...]
    """Of T1 to T4; empty without a report."""
    t_stage: int | None
    phase: str
    """As the report says it; empty without one."""
    region_source: str
    further_lesions: int
    region_voxels: int | None
    dice: float | None
    """Of the delivered segmentation and the largest lesion; None without a segmentation."""
    waiting_s: float | None
    compute_s: float | None
    delivery_s: float | None

    @property
    def seconds(self) -> float | None:
        """From the last slice to the last result in the archive; None when nothing was delivered."""
        parts = [part for part in (self.waiting_s, self.compute_s, self.delivery_s) if part is not None]
        return round(sum(parts), 3) if self.delivery_s is not None else None


def append(file: Path, row: Row) -> None:
    """Add a row, on the disk when this returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab+") as stream:
        if stream.tell() and (stream.seek(-1, os.SEEK_END), stream.read(1))[1] != b"\n":
            # A kill cut the last line off: it must not spoil this one.
            stream.write(b"\n")
        stream.write(json.dumps(asdict(row)).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def read(file: Path) -> tuple[Row, ...]:
    """The rows that are there; a last line that a kill cut off is not."""
    if not file.is_file():
        return ()
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            found.append(_row(json.loads(line)))
        except (ValueError, TypeError, KeyError):
            continue
    return tuple(found)


def write_csv(file: Path, rows: Sequence[Row]) -> None:
    """All rows as a table for a spreadsheet, at one go."""
    tables = [_flat(row) for row in rows]
    part = file.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(tables[0]) if tables else [])
        writer.writeheader()
        writer.writerows(tables)
    part.replace(file)


def _flat(row: Row) -> dict[str, Any]:
    values = asdict(row)
    truth, chances = values.pop("truth"), values.pop("p_t")
    truth.pop("clinical")
    stages = {f"p_t{k}": chances[k - 1] if len(chances) >= k else None for k in (1, 2, 3, 4)}
    return {**{f"true_{name}": value for name, value in truth.items()}, **values, **stages, "seconds": row.seconds}


def _row(values: dict[str, Any]) -> Row:
    truth = values.pop("truth")
    truth["clinical"] = tuple(tuple(one) for one in truth["clinical"])
    return Row(truth=Truth(**truth), **(values | {"p_t": tuple(values["p_t"])}))
