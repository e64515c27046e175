"""The files that the authors of GTRNet published beside their code: softmax outputs, and which image is in which split.

One row is one image, a slice of a patient's CT; several rows are of one patient. The patient is in the file's name:
``10_P000770468.nii_+01.png`` is the slice above the key slice of patient ``10_P000770468``.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.evaluation.estimate import Floats
from models.evaluation.metrics import LabelArray, ProbabilityArray
from node.errors import UsageError

CLASSES: Final = ("T1", "T2", "T3", "T4")
LARGE_CM: Final = 5.0
_SIZE: Final = "Tumor_size"
_NOMOGRAM: Final = (
    "Differentiation_status_poor", "Differentiation_status_moderate", "Lauren_diffuse", "Lauren_mixed",
)  # fmt: skip
_PROBABILITIES: Final = tuple(f"prob_{index}" for index in range(len(CLASSES)))


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a network said of images, in the order of the file."""

    images: tuple[str, ...]
    """File names without folders."""
    labels: LabelArray
    """(n,), 0 for T1 to 3 for T4."""
    probabilities: ProbabilityArray
    """(n, 4)."""

    @property
    def patients(self) -> frozenset[str]:
        """Of whom the images are."""
        return frozenset(patient_of(image) for image in self.images)


def read_predictions(file: Path) -> Predictions:
    """The predictions in ``file``; UsageError naming file, line and column where one cannot be read."""
    images, labels, probabilities = [], [], []
    for line, row in _rows(file, (*_PROBABILITIES, "true_label", "image_path")):
        # Written on Windows: either slash parts the folders.
        images.append(row["image_path"].replace("\\", "/").rpartition("/")[2])
        labels.append(int(_number(file, line, "true_label", row["true_label"])))
        probabilities.append([_number(file, line, name, row[name]) for name in _PROBABILITIES])
    if not images:
        raise UsageError(f"{file}: holds no prediction")
    return Predictions(tuple(images), np.array(labels, dtype=np.int64), np.array(probabilities, dtype=np.float64))


def read_split(file: Path) -> tuple[str, ...]:
    """The images of a split, file names without folders, in the order of the file; UsageError as above."""
    return tuple(row["PatientID"] for _, row in _rows(file, ("PatientID",)))


def read_nomogram_table(clinic: Path, split: Path) -> tuple[dict[str, Floats], LabelArray]:
    """The covariates of GTRNet's nomogram in its clinical table (n,), and the T categories that a split gives (n,).

    The Rad-score is not among them: its published file is empty. Rows are slices, not patients. UsageError as above.
    """
    stages = {row["PatientID"]: row["PathT"] for _, row in _rows(split, ("PatientID", "PathT"))}
    rows = list(_rows(clinic, ("image_name", _SIZE, *_NOMOGRAM)))
    for line, row in rows:
        if row["image_name"] not in stages:
            raise UsageError(f"{clinic}: line {line}: {row['image_name'][:60]!r} is not in {split.name}")
    labels = np.array([int(_number(split, 0, "PathT", stages[row["image_name"]])) for _, row in rows], dtype=np.int64)
    found = {
        name: np.array([_number(clinic, line, name, row[name]) for line, row in rows]) for name in (_SIZE, *_NOMOGRAM)
    }
    large = (found.pop(_SIZE) >= LARGE_CM).astype(np.float64)
    return {"large": large, **found}, labels


def patient_of(image: str) -> str:
    """The patient that an image is of: the file's name up to the name of the volume that it was cut from."""
    return image.partition(".nii")[0]


def _rows(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of every row of a CSV file that has these columns."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(f"{file}: has no column {missing[0]}")
            for row in reader:
                lacking = [name for name in columns if not row[name]]
                if lacking:
                    raise UsageError(f"{file}: line {reader.line_num}: column {lacking[0]} is empty")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error


def _number(file: Path, line: int, column: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{file}: line {line}: column {column} is {text[:40]!r}, not a number") from error
