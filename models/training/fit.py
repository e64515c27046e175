"""One run of the training loop: a network on its training cases, stopped by its validation cases, resumable anywhere.

Nothing random is carried from step to step: order, augmentation and dropout follow from seed, epoch and step. So a run
that was killed and goes on from its checkpoint ends in the same bits as one that was not, on one device with the same
number of threads (CUDA: where its kernels are deterministic).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from models.training import checkpoint, norms
from models.training.checkpoint import Checkpoint
from models.training.hyper import Hyper
from models.training.journal import Journal, RunLog
from models.training.learner import Indices, Learner, Predictions, Task
from models.training.schedule import learning_rate
from models.training.starting import FITTED, TRAINED_ON, population
from node.errors import UsageError

CHECKPOINT: Final = "checkpoint.safetensors"
_BETAS: Final = (0.9, 0.999)
_ORDER: Final = 0x0D3
_STEP: Final = 0x57E

Optimiser = Callable[..., torch.optim.Optimizer]
_OPTIMISERS: Final[dict[str, Optimiser]] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run is to do."""

    name: str
    """Of its folder and its bar."""
    train: Indices
    validation: Indices
    """Empty: all epochs are done, and the last weights count."""
    hyper: Hyper
    seed: int
    device: str
    checkpoint_every_s: float
    """Within an epoch; at the end of one there always is a checkpoint."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A finished run."""

    learner: Learner
    predictions: Predictions
    """Of the validation cases, with BatchNorm's statistics taken anew."""
    beside: Predictions
    figures: dict[str, float]
    """Of those; empty without validation."""
    best_epoch: int
    """From 1."""


@dataclass(slots=True)
class _Progress:
    """Where a run stands; all that is kept beside tensors."""

    epoch: int = 0
    step: int = 0
    """Of the epoch: the next one."""
    loss_sum: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int = 0
    is_over: bool = False

    def scalars(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def fit(task: Task, plan: Plan, folder: Path, journal: Journal) -> Fitted:
    """Do what ``plan`` says, or what is left of it in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    learner = task.learner(plan.train, plan.hyper, plan.seed, plan.device)
    found = checkpoint.read(folder / FITTED)
    if found is None:
        best_epoch = _Run(task, learner, plan, folder, journal).run()
        found = _finished(task, learner, plan, best_epoch)
        checkpoint.write(folder / FITTED, found)
        (folder / CHECKPOINT).unlink(missing_ok=True)
    checkpoint.fill(learner.network, checkpoint.part(found.tensors, "network"))
    learner.network.eval()
    return Fitted(
        learner,
        found.tensors["predictions"].numpy(),
        found.tensors["beside"].numpy(),
        dict(found.scalars["figures"]),
        int(found.scalars["best_epoch"]),
    )


def predictions(learner: Learner, indices: Indices, batch_size: int) -> Predictions:
    """What a network in evaluation mode says of the cases, without augmentation: (n, k)."""
    learner.network.eval()
    with torch.no_grad():
        rows = [
            learner.predict(indices[at : at + batch_size]).double().cpu() for at in range(0, len(indices), batch_size)
        ]
    return np.asarray(torch.cat(rows).numpy())


def batches(order: Sequence[int], size: int) -> list[list[int]]:
    """The cases in batches; one case alone joins the batch before, since BatchNorm cannot take one value."""
    found = [list(order[at : at + size]) for at in range(0, len(order), size)]
    if len(found) > 1 and len(found[-1]) == 1:
        alone = found.pop()
        found[-1] += alone
    return found


class _Run:
    """The loop, with what it holds."""

    def __init__(self, task: Task, learner: Learner, plan: Plan, folder: Path, journal: Journal) -> None:
        self._task, self._learner, self._plan, self._folder, self._journal = task, learner, plan, folder, journal
        hyper = plan.hyper
        norms.set_momentum(learner.network, hyper.norm_momentum)
        make = _OPTIMISERS[hyper.optimiser]
        self._optimiser = make(
            learner.network.parameters(), lr=hyper.learning_rate, betas=_BETAS, weight_decay=hyper.weight_decay
        )
        self._progress = _Progress()
        self._best: dict[str, Tensor] = {}
        self._saved_at = time.monotonic()
        self._resume()
        self._log = RunLog(folder, self._progress.history)

    def run(self) -> int:
        """To the end; the network then has its best weights, those of the epoch that is returned."""
        name, state, epochs = self._plan.name, self._progress, self._plan.hyper.epochs
        self._journal.bar(name, epochs, state.epoch)
        while not state.is_over:
            self._epoch()
            self._journal.step(name, _summary(state.history[-1]))
        self._journal.end(name)
        self._log.close()
        checkpoint.fill(self._learner.network, self._best)
        return state.best_epoch

    def _epoch(self) -> None:
        began, state, hyper = time.monotonic(), self._progress, self._plan.hyper
        order = np.random.default_rng((_ORDER, self._plan.seed, state.epoch)).permutation(len(self._plan.train))
        steps = batches([self._plan.train[int(at)] for at in order], hyper.batch_size)
        while state.step < len(steps):
            state.loss_sum += self._one_step(steps[state.step], state.epoch + state.step / len(steps))
            state.step += 1
            if time.monotonic() - self._saved_at >= self._plan.checkpoint_every_s:
                self._save()
        entry: dict[str, Any] = {"epoch": state.epoch + 1, "train_loss": state.loss_sum / len(steps)}
        entry["learning_rate"] = learning_rate(hyper, state.epoch)
        entry |= self._validated()
        entry["seconds"] = round(time.monotonic() - began, 3)
        self._close_epoch(entry)

    def _one_step(self, indices: list[int], epochs: float) -> float:
        """One step of the optimiser; its loss."""
        network, state = self._learner.network, self._progress
        network.train()
        batch = self._learner.batch(indices, state.epoch)
        torch.manual_seed(_mixed(_STEP, self._plan.seed, state.epoch, state.step))
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self._plan.hyper, epochs)
        self._optimiser.zero_grad(set_to_none=True)
        with self._precision():
            loss = self._learner.loss(batch)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise UsageError(
                f"{self._plan.name}: the loss is no longer finite in epoch {state.epoch + 1}; try a lower rate"
            )
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimiser.step()
        return value

    def _precision(self) -> torch.autocast:
        """The one that the loss is computed in; torch leaves in fp32 what would suffer."""
        kind = torch.device(self._plan.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self._plan.hyper.precision == "bf16")

    def _validated(self) -> dict[str, float]:
        """The figures of the validation cases; none without any, or when it is not their turn."""
        hyper, epoch = self._plan.hyper, self._progress.epoch + 1
        if not self._plan.validation or (epoch % hyper.judge_every and epoch < hyper.epochs):
            return {}
        said = predictions(self._learner, self._plan.validation, self._plan.hyper.batch_size)
        figures = self._task.judge(self._plan.validation, said)
        if (asked := self._plan.hyper.stop_on) not in figures:
            raise UsageError(
                f"--set stop_on={asked}: {self._task.name} has no such figure; it has {', '.join(figures)}"
            )
        return {f"validation_{name}": value for name, value in figures.items()}

    def _close_epoch(self, entry: dict[str, Any]) -> None:
        """Keep the best weights, decide whether to stop, and save."""
        state, hyper = self._progress, self._plan.hyper
        state.history.append(entry)
        state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
        score = _score(entry, hyper.stop_on)
        if self._is_best(score):
            state.best_score, state.best_epoch = score, state.epoch
            self._best = checkpoint.weights(self._learner.network)
        out_of_patience = score is not None and state.epoch - state.best_epoch >= hyper.patience
        state.is_over = state.epoch >= hyper.epochs or out_of_patience
        self._save()
        self._log.epoch(state.history)

    def _is_best(self, score: float | None) -> bool:
        """Without validation the last weights are; with it, only weights that were judged can be."""
        if score is None:
            return not self._plan.validation
        return self._progress.best_score is None or score > self._progress.best_score

    def _save(self) -> None:
        tensors = (
            checkpoint.prefixed(checkpoint.weights(self._learner.network), "network")
            | checkpoint.prefixed(checkpoint.optimiser_tensors(self._optimiser), "optimiser")
            | checkpoint.prefixed(self._best, "best")
        )
        checkpoint.write(self._folder / CHECKPOINT, Checkpoint(tensors, self._progress.scalars()))
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        found = checkpoint.read(self._folder / CHECKPOINT)
        if found is None:
            return
        checkpoint.fill(self._learner.network, checkpoint.part(found.tensors, "network"))
        checkpoint.refill_optimiser(self._optimiser, checkpoint.part(found.tensors, "optimiser"))
        self._best = checkpoint.part(found.tensors, "best")
        self._progress = _Progress(**found.scalars)


def _finished(task: Task, learner: Learner, plan: Plan, best_epoch: int) -> Checkpoint:
    """What is kept of a run whose network has its best weights: exact statistics, and what follows from them."""
    learner.network.eval()
    norms.re_estimate(learner.network, _passes(learner, plan))
    said: Predictions = np.empty((0, 0))
    beside: Predictions = np.empty((0, 0))
    figures: dict[str, float] = {}
    if plan.validation:
        said = predictions(learner, plan.validation, plan.hyper.batch_size)
        beside = task.beside(learner, plan.train, plan.validation)
        figures = task.judge(plan.validation, said)
    tensors = checkpoint.prefixed(checkpoint.weights(learner.network), "network")
    tensors |= {"predictions": torch.from_numpy(said), "beside": torch.from_numpy(beside)}
    trained_on = population(task.cohort.cases[index].id for index in plan.train)
    return Checkpoint(tensors, {"figures": figures, "best_epoch": best_epoch, TRAINED_ON: trained_on})


def _passes(learner: Learner, plan: Plan) -> Iterator[Callable[[], None]]:
    """The training cases, batch by batch, without augmentation."""
    order = np.random.default_rng((_ORDER, plan.seed)).permutation(len(plan.train))
    for indices in batches([plan.train[int(at)] for at in order], plan.hyper.batch_size):
        yield partial(learner.run, learner.batch(indices, None))


def _score(entry: dict[str, Any], stop_on: str) -> float | None:
    """What is to be as high as it can; None without validation."""
    value = entry.get(f"validation_{stop_on}")
    if value is None:
        return None
    return -float(value) if stop_on == "loss" else float(value)


def _mixed(*numbers: int) -> int:
    """One seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _summary(entry: dict[str, Any]) -> str:
    shown = ("train_loss", "validation_auc")
    return "  ".join(f"{name} {entry[name]:.3f}" for name in shown if name in entry)
