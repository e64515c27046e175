"""The shipped segmenter in training: both of its networks at once, a window of each study for either.

Loss: cross-entropy and soft Dice (Milletari et al. 2016, "V-Net"), as MONAI has them together; or, with a
``hard_share``, the cross-entropy of the hardest voxels alone (Wu et al. 2016, "Bridging category-level and
instance-level semantic image segmentation"): a small tumour is a thousandth of its window, and most of the rest is
soon known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor, nn

from models.networks.monai_parts import DiceCELoss, DiceLoss
from models.networks.segmenter import CoarseToFine
from models.segmenters import zoo
from models.segmenters.coarse_to_fine import CoarseToFineSegmenter, scaled
from models.segmenters.packaging import Widths
from models.segmenters.plan import DEFAULT, Plan, Stage
from models.training import segmenter_bundle
from models.training.cohort import Labels, TrainingCase
from models.training.facts import Facts
from models.training.hyper import Hyper
from models.training.learner import Batch, Finished, Indices, Learner, Predictions, Task
from models.training.segmenter_cases import StudyPreparation
from models.training.segmenter_cohort import phantoms
from models.training.starting import built
from node.domain.coding import Anatomy
from node.domain.parts import lesion_part
from node.domain.prediction import TrainingStatus
from node.errors import UsageError

WIDTHS: Final = Widths(coarse=(16, 24, 32, 64), fine=(16, 32, 64, 96))
"""Channels of the levels of both networks."""
HELD_OUT: Final = 180
"""Phantoms beside those of the cohort: half of them for the limits, half for the figures."""
_FEWEST_HELD_OUT: Final = 2
_AUGMENTED: Final = 0x5E6
_FIXED: Final = 0x5E7
_LESION_SHARE: Final = 0.6
"""Of the windows of studies with a lesion, those around a place in it."""
_MOST_DEGREES: Final = 12.0
_MOST_STRETCH: Final = 0.15
_CUT_SHARE: Final = 0.4
"""Of the studies, those that end before or after the organs do, as scans with a shorter range."""
_LONGEST_CUT: Final = 0.35
_ORGAN_WEIGHT: Final = 2.0
_LESION_WEIGHT: Final = 3.0
"""In the loss; the background has 1."""
_BRIGHTNESS_HU: Final = 8.0
_CONTRAST: Final = 0.06
_MOST_NOISE_HU: Final = 10.0
_FIGURES: Final = 3
"""A class: voxels that are of it in both, in the prediction, in truth."""

Window = tuple[slice, slice, slice]
Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to the HU of a window."""

    gain: float = 1.0
    offset_hu: float = 0.0
    noise_hu: float = 0.0
    seed: int = 0

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Change":
        """Another brightness, contrast and noise."""
        return cls(
            gain=float(rng.uniform(1.0 - _CONTRAST, 1.0 + _CONTRAST)),
            offset_hu=float(rng.uniform(-_BRIGHTNESS_HU, _BRIGHTNESS_HU)),
            noise_hu=float(rng.uniform(0.0, _MOST_NOISE_HU)),
            seed=int(rng.integers(2**31)),
        )

    def applied(self, hu: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
        """To one window."""
        seen = hu.astype(np.float32) * np.float32(self.gain) + np.float32(self.offset_hu)
        if self.noise_hu:
            rng = np.random.default_rng(self.seed)
            seen += np.float32(self.noise_hu) * rng.standard_normal(hu.shape, dtype=np.float32)
        changed: npt.NDArray[np.float32] = seen
        return changed


@dataclass(frozen=True, slots=True)
class Turned:
    """Another view of a place: turned about the patient's axis, and stretched."""

    matrix: npt.NDArray[np.float64]
    """From steps in the window, zyx, to steps in the array."""
    middle: tuple[float, ...]
    """In the array."""

    @classmethod
    def drawn(cls, rng: np.random.Generator, at: Window) -> "Turned":
        """A view of the middle of the window ``at``."""
        angle = float(np.radians(rng.uniform(-_MOST_DEGREES, _MOST_DEGREES)))
        turn = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(angle), -np.sin(angle)], [0.0, np.sin(angle), np.cos(angle)]])
        stretch = rng.uniform(1.0 - _MOST_STRETCH, 1.0 + _MOST_STRETCH, 3)
        return cls(turn / stretch, tuple(0.5 * (side.start + side.stop - 1) for side in at))

    def of(self, array: npt.NDArray[Any], window: Shape, order: int) -> npt.NDArray[Any]:
        """A window of ``array``, as it is seen thus; beyond the array with its last voxels."""
        centre = 0.5 * (np.array(window) - 1.0)
        offset = np.array(self.middle) - self.matrix @ centre
        seen: npt.NDArray[Any] = ndimage.affine_transform(
            array, self.matrix, offset, window, order=order, mode="nearest"
        )
        return seen


class SegmenterLearner(Learner):
    """Both networks."""

    network: CoarseToFine

    def __init__(self, task: "SegmenterTask", hyper: Hyper, seed: int, device: str) -> None:
        self._task, self._hyper, self._seed, self.device = task, hyper, seed, torch.device(device)
        self.plan = task.plan
        self.network = built(lambda: fresh(self.plan, task.widths), seed, task.start)
        # A fifth faster to train, where convolutions run through oneDNN.
        self.network.to(self.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # untyped there
        if task.is_fine_alone:
            self.network.coarse.requires_grad_(requires_grad=False)
        self._losses = [_loss(stage, hyper.hard_share).to(self.device) for stage in (self.plan.fine, self.plan.coarse)]

    def batch(self, indices: Indices, epoch: int | None) -> Batch:
        """Fine windows (n, 1, z, y, x), their classes (n, 1, z, y, x), coarse windows (m, 1, z, y, x) and theirs.

        In training the coarse network, which has learnt long before the other, sees every second study; the last two
        are missing where it learns nothing.
        """
        is_changed = epoch is not None
        fine = [self._fine(index, self._rng(index, epoch, 1), is_changed=is_changed) for index in indices]
        columns = [*zip(*fine, strict=True)]
        if not (is_changed and self._task.is_fine_alone):
            seen = indices[::2] if is_changed else indices
            coarse = [self._coarse(index, self._rng(index, epoch, 0), is_changed=is_changed) for index in seen]
            columns += zip(*coarse, strict=True)
        return tuple(torch.from_numpy(np.stack(column)[:, None]).to(self.device) for column in columns)

    def _rng(self, index: int, epoch: int | None, network: int) -> np.random.Generator:
        """What follows from seed, epoch, case and network alone, whatever else is in the batch."""
        key = (_FIXED, index, network) if epoch is None else (_AUGMENTED, self._seed, epoch, index, network)
        return np.random.default_rng(key)

    def loss(self, batch: Batch) -> Tensor:
        """The sum of the losses of the networks that the batch has windows for."""
        return self._total(*self._said(batch))

    def _said(self, batch: Batch) -> Sequence[tuple[Tensor, Tensor]]:
        """Logits and truth, of the fine network and, where the batch is for both, of the coarse one."""
        both = zip((self.network.fine, self.network.coarse), batch[::2], batch[1::2], strict=False)
        return [(network(windows), classes) for network, windows, classes in both]

    def _total(self, *pairs: tuple[Tensor, Tensor]) -> Tensor:
        losses = [loss(logits, classes) for loss, (logits, classes) in zip(self._losses, pairs, strict=False)]
        total: Tensor = torch.stack(losses).sum()
        return total

    def run(self, batch: Batch) -> None:
        """Nothing: no layer keeps statistics."""

    def predict(self, indices: Indices) -> Tensor:
        """A row a study: its loss, then ``_FIGURES`` a class of both networks without their backgrounds."""
        return torch.stack([self._row(index) for index in indices])

    def _row(self, index: int) -> Tensor:
        fine, coarse = self._said(self.batch([index], None))
        # What stops a training is what it trains.
        judged = (fine,) if self._task.is_fine_alone else (fine, coarse)
        rows = [self._total(*judged)[None].double()]
        for logits, truth in (coarse, fine):
            found = logits.argmax(dim=1, keepdim=True)
            for number in range(1, logits.shape[1]):
                said, is_so = found == number, truth == number
                rows.append(torch.stack([(said & is_so).sum(), said.sum(), is_so.sum()]).double())
        return torch.cat([row.cpu() for row in rows])

    def _coarse(
        self, index: int, rng: np.random.Generator, *, is_changed: bool
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        prepared = self._task.prepared[index]
        hu, classes = prepared.read("coarse"), prepared.read("coarse_labels")
        if is_changed and rng.random() < _CUT_SHARE:
            lost = int(hu.shape[0] * rng.uniform(0.0, _LONGEST_CUT))
            below = int(rng.integers(lost + 1))
            hu, classes = hu[below : hu.shape[0] - lost + below], classes[below : classes.shape[0] - lost + below]
        window = self.plan.coarse.window_zyx
        middle = [int(rng.integers(size)) for size in hu.shape]
        return self._seen(hu, classes, around(_shape(hu), middle, window), window, self._change(rng, is_changed))

    def _fine(
        self, index: int, rng: np.random.Generator, *, is_changed: bool
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        prepared = self._task.prepared[index]
        hu, classes = prepared.read("fine"), prepared.read("fine_labels")
        window = self.plan.fine.window_zyx
        middle = place(classes, self.plan.fine, rng)
        if is_changed and _happens(rng, self._hyper.anywhere_share):
            middle = [int(rng.integers(size)) for size in hu.shape]
        at, change = around(_shape(hu), middle, window), self._change(rng, is_changed)
        if not is_changed or not _happens(rng, self._hyper.turned_share):
            return self._seen(hu, classes, at, window, change)
        turn = Turned.drawn(rng, at)
        image = scaled(change.applied(turn.of(hu, window, 1)), self.plan.window_hu)
        return image, turn.of(classes, window, 0).astype(np.int64)

    def _change(self, rng: np.random.Generator, is_changed: bool) -> Change:
        return Change.drawn(rng) if is_changed else Change()

    def _seen(
        self, hu: npt.NDArray[np.int16], classes: npt.NDArray[np.uint8], at: Window, window: Shape, change: Change
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        image = scaled(change.applied(hu[at]), self.plan.window_hu)
        return filled(image, window), filled(classes[at], window).astype(np.int64)


class SegmenterTask(Task):
    """Options: ``held_out`` (phantoms for limits and figures), ``start``, ``only``, ``hard``, ``empty``, ``small``."""

    name = "segmenter"
    labels: ClassVar[Labels | None] = None
    defaults = Hyper(
        optimiser="adamw",
        learning_rate=4e-3,
        weight_decay=1e-4,
        batch_size=2,
        epochs=14,
        patience=14,
        stop_on="loss",
        schedule="cosine",
        warm_up_epochs=0.3,
    )
    space: ClassVar[Mapping[str, Sequence[Any]]] = MappingProxyType({"learning_rate": (1e-3, 3e-3)})
    plan: ClassVar[Plan] = DEFAULT
    widths: ClassVar[Widths] = WIDTHS

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.start: Path | None = self.options.get("start")
        self.is_fine_alone: bool = self.options.get("only") == "fine"
        """Whether the coarse network, which costs most of a step and learns long before, stays as ``start`` has it."""
        if self.is_fine_alone and self.start is None:
            raise UsageError("--only fine: the coarse network is to be taken from --start")
        is_phantom = self.cohort.status is TrainingStatus.PHANTOM
        if is_phantom and self.options.get("held_out", HELD_OUT) < _FEWEST_HELD_OUT:
            raise UsageError(f"--held-out: {_FEWEST_HELD_OUT} or more, half of them for limits and half for figures")

    @classmethod
    def preparation(cls, options: Mapping[str, Any]) -> StudyPreparation:  # noqa: ARG003 — they change nothing here
        """How a case becomes arrays."""
        return StudyPreparation.of(cls.plan)

    def learner(self, train: Indices, hyper: Hyper, seed: int, device: str) -> SegmenterLearner:  # noqa: ARG002 — nothing is fitted on them
        """Fresh networks."""
        return SegmenterLearner(self, hyper, seed, device)

    def judge(self, indices: Indices, predictions: Predictions) -> dict[str, float]:  # noqa: ARG002 — the rows say all
        """``loss``, and the Dice of each class over all windows together; a lesion's says most."""
        found = {"loss": float(predictions[:, 0].mean())}
        names = [f"coarse {part}" for part in self.plan.coarse.parts] + [
            f"fine {part}" for part in self.plan.fine.parts
        ]
        sums = predictions[:, 1:].sum(axis=0).reshape(len(names), _FIGURES)
        found |= {name: dice(*row) for name, row in zip(names, sums.tolist(), strict=True)}
        return found

    def finish(self, folder: Path, learner: Learner, facts: Facts) -> None:
        """The bundle of ``models.segmenters.coarse_to_fine``."""
        if not isinstance(learner, SegmenterLearner):
            raise TypeError(type(learner).__name__)
        segmenter_bundle.write(folder, self, learner, facts, self.held_out(facts))

    def held_out(self, facts: Facts) -> Sequence[TrainingCase]:
        """Whole studies for limits and figures: new phantoms; of a cohort, the cases that stopped the training."""
        if self.cohort.status is not TrainingStatus.PHANTOM:
            return [self.cohort.cases[index] for index in facts.judged]
        return phantoms(self.options.get("held_out", HELD_OUT), facts.seed, held_out=True).cases

    def open(self, folder: Path, *, is_tried: bool) -> Finished:  # noqa: ARG002 — the figures have tried it
        """The bundle as the node loads it."""
        digest = zoo.digest(folder)
        made = CoarseToFineSegmenter(self.name, folder, digest)
        return Finished(folder, digest, made.status, made.disclaimer)


class HardVoxels(nn.Module):
    """Dice, and the weighted cross-entropy of the hardest voxels: logits (n, c, z, y, x), classes (n, 1, z, y, x)."""

    weights: Tensor

    def __init__(self, weights: Tensor, share: float) -> None:
        """``weights``: of the classes; ``share``: of the voxels, those that count."""
        super().__init__()
        self._share = share
        self.register_buffer("weights", weights)
        self._dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True, weight=weights[1:])

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The sum of both."""
        each = nn.functional.cross_entropy(logits, classes[:, 0], self.weights, reduction="none").flatten()
        hardest: Tensor = each.topk(max(1, int(self._share * len(each))), sorted=False).values
        total: Tensor = self._dice(logits, classes) + hardest.mean()
        return total


def _loss(stage: Stage, hard_share: float) -> nn.Module:
    """Cross-entropy and Dice; organs count more than the background, lesions most."""
    weights = torch.tensor([1.0, *(_LESION_WEIGHT if part.lesion_of else _ORGAN_WEIGHT for part in stage.parts)])
    if hard_share < 1.0:
        return HardVoxels(weights, hard_share)
    usual: nn.Module = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True, weight=weights)
    return usual


def _happens(rng: np.random.Generator, share: float) -> bool:
    """Whether it does, this time; where it never does nothing is drawn, so that other draws stay what they were."""
    return share > 0.0 and bool(rng.random() < share)


def fresh(plan: Plan, widths: Widths) -> CoarseToFine:
    """Networks for the classes of ``plan``, not trained."""
    return CoarseToFine(plan.coarse.classes, plan.fine.classes, widths.coarse, widths.fine)


def place(classes: npt.NDArray[np.uint8], stage: Stage, rng: np.random.Generator) -> list[int]:
    """Where a window is to lie: in a lesion more often than its size asks for, else in one of the organs."""
    lesions = [stage.number(lesion_part(organ)) for organ in Anatomy]
    wanted = np.flatnonzero(np.isin(classes, lesions)) if rng.random() < _LESION_SHARE else ()
    if not len(wanted):
        organs = [number for number in stage.meaning if number not in lesions and (classes == number).any()]
        if not organs:
            return [size // 2 for size in classes.shape]
        wanted = np.flatnonzero(classes == organs[int(rng.integers(len(organs)))])
    return [int(at) for at in np.unravel_index(int(wanted[int(rng.integers(len(wanted)))]), classes.shape)]


def around(shape: Shape, middle: Sequence[int], window: Shape) -> Window:
    """The window around a place, moved to lie within ``shape`` and cut where that is smaller."""
    sides = []
    for size, centre, length in zip(shape, middle, window, strict=True):
        first = max(0, min(centre - length // 2, size - length))
        sides.append(slice(first, min(first + length, size)))
    return sides[0], sides[1], sides[2]


def filled(part: npt.NDArray[Any], window: Shape) -> npt.NDArray[Any]:
    """With copies of its last voxels up to the size of the window, as the sliding window does."""
    return np.pad(part, [(0, side - size) for side, size in zip(window, part.shape, strict=True)], mode="edge")


def dice(both: float, said: float, true: float) -> float:
    """The overlap of two sets by their sizes; 1 when both are empty."""
    return 2.0 * both / (said + true) if said + true else 1.0


def _shape(array: npt.NDArray[Any]) -> Shape:
    return array.shape[0], array.shape[1], array.shape[2]
