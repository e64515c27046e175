"""A task that trains in milliseconds, with all that makes resuming hard: BatchNorm, dropout, augmentation.

As a program it trains slowly, so that a test can kill it: ``python -m tests.unit.models.training.toy FOLDER``.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from models.training import judging
from models.training.cohort import NTR, Cohort, FileSource, Labels, TrainingCase
from models.training.facts import Facts
from models.training.fit import Fitted, Plan, fit
from models.training.hyper import Hyper
from models.training.journal import Journal
from models.training.learner import Batch, Indices, Learner, Predictions, Task
from models.training.prepared import Preparation
from node.domain.clinical import ClinicalRecord
from node.domain.prediction import TrainingStatus

HYPER = Hyper(
    optimiser="adamw", learning_rate=0.02, weight_decay=1e-3, batch_size=5, epochs=4, patience=4, schedule="cosine"
)
NOWHERE = FileSource(Path("image"), Path("mask"))


def case(index: int, label: int, **changes: Any) -> TrainingCase:
    """A case without images."""
    values: dict[str, Any] = {
        "id": f"c{index}",
        "patient": f"p{index}",
        "source": NOWHERE,
        "label": label,
        "centre": "",
        "fold": None,
        "clinical": ClinicalRecord(()),
    }
    return TrainingCase(**values | changes)


def cohort(count: int = 24) -> Cohort:
    """Cases of two classes in turn."""
    cases = tuple(case(index, index % 2) for index in range(count))
    return Cohort(cases, TrainingStatus.UNVALIDATED, "Numbers", "0" * 64)


class ToyLearner(Learner):
    """Four numbers a case to a class; the second class has larger ones."""

    def __init__(self, task: "ToyTask", seed: int) -> None:
        self._task, self._seed = task, seed
        self.seen: list[tuple[int, ...]] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = nn.Sequential(
                nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)
            )

    def batch(self, indices: Indices, epoch: int | None) -> Batch:
        """Numbers (n, 4) and labels (n,)."""
        time.sleep(self._task.slow_s)
        rows = []
        for index in indices:
            label = self._task.cohort.cases[index].label
            row = np.random.default_rng((1, index)).normal(0.8 * label, 1.0, 4)
            shake = 0.0 if epoch is None else np.random.default_rng((2, self._seed, epoch, index)).normal(0.0, 0.1, 4)
            rows.append(row + shake)
        if epoch is not None:
            self.seen.append(tuple(indices))
        labels = [float(self._task.cohort.cases[index].label) for index in indices]
        return torch.tensor(np.array(rows), dtype=torch.float32), torch.tensor(labels)

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy, times what the task says."""
        loss = binary_cross_entropy_with_logits(self.network(batch[0])[:, 0], batch[1])
        return loss * self._task.factor

    def run(self, batch: Batch) -> None:
        """One pass."""
        self.network(batch[0])

    def predict(self, indices: Indices) -> Tensor:
        """(n, 1)."""
        return torch.sigmoid(self.network(self.batch(indices, None)[0]))


class ToyTask(Task):
    """The task of the learner."""

    name = "toy"
    labels: ClassVar[Labels] = NTR
    defaults = HYPER
    space: ClassVar[Mapping[str, Sequence[Any]]] = MappingProxyType({"learning_rate": (0.0, 0.02)})

    def __init__(self, count: int = 24, slow_s: float = 0.0, factor: float = 1.0) -> None:
        super().__init__(cohort(count), [], {})
        self.slow_s, self.factor = slow_s, factor
        self.learners: list[ToyLearner] = []
        self.aucs: list[float] = []
        """What ``judge`` is to say, in turn; empty: the truth."""

    @classmethod
    def preparation(cls, options: Mapping[str, Any]) -> Preparation:
        """There is nothing to prepare."""
        raise NotImplementedError

    def learner(self, train: Indices, hyper: Hyper, seed: int, device: str) -> ToyLearner:  # noqa: ARG002  as the base
        """Another one each time, remembered."""
        self.learners.append(ToyLearner(self, seed))
        return self.learners[-1]

    def judge(self, indices: Indices, predictions: Predictions) -> dict[str, float]:
        """At a threshold of a half."""
        labels = np.array([self.cohort.cases[index].label for index in indices])
        figures = judging.binary(labels, predictions[:, 0])
        return figures | {"auc": self.aucs.pop(0)} if self.aucs else figures

    def finish(self, folder: Path, learner: Learner, facts: Facts) -> None:
        """No bundle."""
        raise NotImplementedError


def plan(every_s: float = 60.0, **changes: Any) -> Plan:
    """Eighteen cases to train on, six to stop by."""
    hyper = HYPER.changed([f"{name}={value}" for name, value in changes.items()])
    return Plan("toy", list(range(18)), list(range(18, 24)), hyper, 3, "cpu", every_s)


def trained(task: ToyTask, folder: Path, asked: Plan | None = None) -> Fitted:
    """A quiet run."""
    with Journal(quiet=True) as journal:
        return fit(task, asked or plan(), folder, journal)


if __name__ == "__main__":
    torch.set_num_threads(1)
    trained(ToyTask(slow_s=0.1), Path(sys.argv[1]), plan(every_s=0.0))
