"""What a training found out about its model: everything that the bundle's metadata and card are written from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.training.hyper import Hyper


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """Numbers of one finished training."""

    seed: int
    hyper: Hyper
    folds: npt.NDArray[np.int64]
    """The fold of each case."""
    out_of_fold: npt.NDArray[np.float64]
    """(n, k): for each case, what the network said that had not seen its patient."""
    beside: npt.NDArray[np.float64]
    """(n, m): further out-of-fold numbers, as the task defines them."""
    fold_figures: Sequence[Mapping[str, float]]
    best_epochs: Sequence[int]
    """Of each fold, counted from 1."""
    final_epochs: int
    """Of the network in the bundle."""
    is_single: bool
    """Whether there was one run alone, stopped by fold 0; otherwise the network was trained on all cases in the end."""
    searched: int
    """How many settings a search compared; 0: none."""
    dropped: int
    """Phantoms whose lesion shows on no slice."""
    versions: Mapping[str, str]
    """Of what computed it: python, torch, monai, …"""
    device: str
    threads: int

    @property
    def judged(self) -> npt.NDArray[np.int64]:
        """The cases that a network has judged without having seen their patient."""
        return np.flatnonzero(np.isfinite(self.out_of_fold[:, 0]))

    @property
    def trained(self) -> npt.NDArray[np.int64]:
        """The cases that the network in the bundle was trained on."""
        return np.flatnonzero(self.folds != 0) if self.is_single else np.arange(self.folds.size)

    def as_dict(self) -> dict[str, Any]:
        """What a bundle stores under ``celadon.training``: how to do it again."""
        return {
            "seed": self.seed,
            "hyper_parameters": self.hyper.as_dict(),
            "folds": int(self.folds.max()) + 1,
            "best_epochs": list(self.best_epochs),
            "final_epochs": self.final_epochs,
            "single": self.is_single,
            "searched": self.searched,
            "dropped": self.dropped,
            "versions": dict(self.versions),
            "device": self.device,
            "threads": self.threads,
        }
