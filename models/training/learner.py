"""What a task brings to the training loop: its network, its batches, its loss, its figures and its bundle.

The loop knows nothing else of it, so a new task is one file and a line in ``models.training.tasks``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from models import trial
from models.bundle import Bundle
from models.training.cohort import Cohort, Labels
from models.training.facts import Facts
from models.training.hyper import Hyper
from models.training.prepared import Preparation, Prepared
from node.domain.prediction import TrainingStatus

Batch = tuple[Tensor, ...]
Predictions = npt.NDArray[np.float64]
Indices = Sequence[int]
"""Of cases, in the cohort's order."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A bundle that was written, as the node opens it."""

    path: Path
    digest: str
    status: TrainingStatus
    disclaimer: str


class Learner(ABC):
    """A network in training, with what was fitted on its own training cases (clinical statistics) and on no other."""

    network: nn.Module

    @abstractmethod
    def batch(self, indices: Indices, epoch: int | None) -> Batch:
        """The cases, on the network's device; augmented as in ``epoch``, or not at all when it is None."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The mean loss of a batch."""

    @abstractmethod
    def run(self, batch: Batch) -> None:
        """One pass that every BatchNorm sees."""

    @abstractmethod
    def predict(self, indices: Indices) -> Tensor:
        """One row of numbers a case (n, k), read as the finished model reads them: evaluation mode, no gradients."""


class Task(ABC):
    """One kind of model on one cohort, prepared."""

    name: ClassVar[str]
    labels: ClassVar[Labels | None]
    """The classes; None for a task without."""
    defaults: ClassVar[Hyper]
    space: ClassVar[Mapping[str, Sequence[Any]]]
    """What a search without a space of its own tries."""

    def __init__(self, cohort: Cohort, prepared: Sequence[Prepared], options: Mapping[str, Any]) -> None:
        self.cohort, self.prepared, self.options = cohort, prepared, options

    @classmethod
    @abstractmethod
    def preparation(cls, options: Mapping[str, Any]) -> Preparation:
        """How a case becomes arrays, the way the finished model's predictor does it."""

    @abstractmethod
    def learner(self, train: Indices, hyper: Hyper, seed: int, device: str) -> Learner:
        """A fresh network drawn from ``seed``, for training on the cases ``train``."""

    @abstractmethod
    def judge(self, indices: Indices, predictions: Predictions) -> dict[str, float]:
        """Figures of predictions for the cases; ``loss`` is among them, and ``auc`` where the task has classes."""

    def beside(self, learner: Learner, train: Indices, held_out: Indices) -> Predictions:  # noqa: ARG002  the default
        """Further numbers of held-out cases that need the fold's training cases: (n, m), by default none."""
        return np.empty((len(held_out), 0))

    @abstractmethod
    def finish(self, folder: Path, learner: Learner, facts: Facts) -> None:
        """Write a whole bundle into the empty ``folder``."""

    def open(self, folder: Path, *, is_tried: bool) -> Finished:
        """The bundle that ``finish`` wrote; when ``is_tried``, run once in a process of its own. Raises BundleError."""
        if is_tried:
            trial.run(folder)
        bundle = Bundle.open(folder)
        return Finished(folder, bundle.digest, bundle.status, bundle.disclaimer)
