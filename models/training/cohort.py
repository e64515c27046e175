"""A cohort: the cases that a model is trained on, wherever their images come from."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from models.evaluation import answers
from models.phantoms.spec import Wanted
from node.domain.clinical import ClinicalRecord
from node.domain.prediction import TrainingStatus


@dataclass(frozen=True, slots=True)
class FileSource:
    """A CT and the mask of its lesion on the researcher's disk."""

    image: Path
    """A NIfTI or MHA file, or a folder with one DICOM series."""
    mask: Path
    """The lesion where it is not 0, on the grid of the CT."""

    def fingerprint(self) -> str:
        """What changes when the files do."""
        parts = (path.stat() for file in (self.image, self.mask) for path in sorted((file, *_below(file))))
        return ";".join((str(self.image), str(self.mask), *(f"{part.st_size}:{part.st_mtime_ns}" for part in parts)))


@dataclass(frozen=True, slots=True)
class PhantomSource:
    """A synthetic CT that is rendered when it is wanted."""

    seed: int
    wanted: Wanted

    def fingerprint(self) -> str:
        """What changes when the plan does."""
        return repr(self)


@dataclass(frozen=True, slots=True)
class TrainingCase:
    """One lesion of one patient with its known answer."""

    id: str
    """Shown in logs and predictions: a pseudonym, never a patient's own number."""
    patient: str
    """Whose it is; cases of one patient are never on both sides of a split."""
    source: FileSource | PhantomSource
    label: int
    """The index of the class; 0 for a task without classes."""
    centre: str
    fold: int | None
    """As the manifest gives it; None: drawn."""
    clinical: ClinicalRecord


@dataclass(frozen=True, slots=True)
class Cohort:
    """Cases with distinct ids."""

    cases: tuple[TrainingCase, ...]
    status: TrainingStatus
    """What a model may call itself that was trained on it: ``phantom`` or ``unvalidated``."""
    origin: str
    """Where the data come from, as a bundle says it: one sentence without names of files or patients."""
    digest: str
    """SHA-256 of what the cohort was read or drawn from."""

    def counts(self, names: tuple[str, ...]) -> dict[str, int]:
        """How many cases each class has."""
        found = Counter(case.label for case in self.cases)
        return {name: found[index] for index, name in enumerate(names)}

    @property
    def patients(self) -> int:
        """How many patients there are."""
        return len({case.patient for case in self.cases})

    @property
    def centres(self) -> dict[str, int]:
        """How many cases each centre gave, in order of their names."""
        return dict(sorted(Counter(case.centre for case in self.cases).items()))


@dataclass(frozen=True, slots=True)
class Labels:
    """The classes of a task, in order, and how a manifest may write them."""

    names: tuple[str, ...]
    words: Mapping[str, int]
    """In lower case."""


def _labels(question: answers.Question) -> Labels:
    """The classes that an evaluation of the same question has, written as it takes them."""
    numbers = {name: index for index, name in enumerate(question.classes)}
    return Labels(question.classes, MappingProxyType({word: numbers[name] for word, name in question.words.items()}))


NTR: Final = _labels(answers.NTR)
"""PORCELAIN: an NTR count above 0.57 by immunohistochemistry is high."""
T_STAGE: Final = _labels(answers.T_CATEGORY)
"""GTRNet; T4a and T4b are one class, as in the paper."""


def _below(path: Path) -> list[Path]:
    """The files of a folder; none of a file."""
    return sorted(path.iterdir()) if path.is_dir() else []
