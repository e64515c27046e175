"""GTRNet in training: key slices to T1, T2, T3 or T4.

Source: npj Digital Medicine, doi 10.1038/s41746-025-02002-5, methods: Adam, learning rate about 1e-4, batches of 32,
categorical cross-entropy, "stopping early if validation performance plateaued for 10 epochs"; trained on the key slice,
judged by the vote of three. The paper starts from ImageNet weights, which are none of ours to ship: ``start`` takes
them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.bundle_files import METADATA
from models.fields import Fields
from models.networks.gtrnet import CLASSES, SMALL, GtrNet
from models.networks.two_stream import TwoStreamGtrNet
from models.predictors.gtrnet import majority
from models.preprocessing.diameter import is_cut_off, longest_diameter_mm
from models.preprocessing.key_slices import centre_on, key_slices
from models.preprocessing.profiles import read_profile
from models.training import augmentation, gtrnet_bundle, judging
from models.training.cohort import T_STAGE, FileSource, Labels, TrainingCase
from models.training.facts import Facts
from models.training.hyper import Hyper
from models.training.images import read_mask, read_volume
from models.training.learner import Batch, Indices, Learner, Predictions, Task
from models.training.phantom_cohort import plane_near, planes
from models.training.prepared import Arrays
from models.training.radscore import fit_radscore
from models.training.rough import drawn_by
from models.training.starting import built
from node.domain.coding import Anatomy
from node.domain.imaging import BoolArray, FloatArray, Roi, Volume
from node.errors import UsageError

NETWORKS: Final[Mapping[str, Callable[[], GtrNet]]] = MappingProxyType(
    {
        "small": partial(GtrNet, SMALL),
        "small-two-stream": partial(TwoStreamGtrNet, SMALL),
        "plain": GtrNet,
        "two-stream": TwoStreamGtrNet,
    }
)
PROFILES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "published-checkpoint": {
            "profile": "published-checkpoint",
            "window_level_hu": 50,
            "window_width_hu": 350,
        },
        "paper": {
            "profile": "paper",
            "window_level_hu": 50,
            "window_width_hu": 350,
            "spacing_mm": 1,
            "clip_hu": [-1024, 1024],
            "n4": {"shrink": 4, "levels": 4, "iterations": 10, "body_hu": -300},
        },
    }
)
"""The parameters of a bundle for each chain of preprocessing."""
_AIM_ERROR: Final = 0.012
"""Of the centre of a rough mask, as a part of the picture: about 5 mm."""
_SLICES: Final = 0x51C


@dataclass(frozen=True, slots=True)
class SlicePreparation:
    """The network's input for one case, as the predictor makes it.

    ``slices`` (n, 3, 224, 224); ``key`` (1,), which of them is the key slice; ``beside`` (rough, 3, 224, 224), slices
    that a rough mask might have made the key slice; ``centres`` (1 + rough, 2) of the lesion on the key slice and on
    those, as fractions of rows and columns; ``diameter`` (2,): the longest in mm and 1.0 where it is a lower bound, NaN
    where the whole lesion is not at hand.
    """

    profile: str
    rough: int

    def __call__(self, case: TrainingCase) -> Arrays:
        """Raises as reading and the profile do."""
        is_whole = isinstance(case.source, FileSource)
        if isinstance(case.source, FileSource):
            volume, mask = read_volume(case.source.image), read_mask(case.source.mask)
        else:
            volume, mask = planes(case.source)
        if not mask.any():
            raise UsageError("the mask has no voxel")
        roi = Roi(mask, volume.geometry, Anatomy.STOMACH, "", "cohort")
        chosen = key_slices(roi)
        key = chosen.index(roi.largest_slice)
        spacing_x, spacing_y, _ = volume.geometry.spacing_xyz_mm
        beside = [self._beside(case, volume, mask, number) for number in range(self.rough)]
        hu = np.concatenate((volume.hu[chosen[0] : chosen[-1] + 1], *(plane[None] for plane, _ in beside)))
        profile = read_profile(Fields(Path(METADATA), PROFILES[self.profile]))
        images = profile.images(hu, key, (spacing_y, spacing_x))
        size = (longest_diameter_mm(mask, volume.geometry), float(is_cut_off(mask))) if is_whole else (np.nan, np.nan)
        return {
            "slices": images[: len(chosen)],
            "key": np.array([key]),
            "beside": images[len(chosen) :],
            "centres": np.array([centre_on(plane) for plane in (mask[chosen[key]], *(each for _, each in beside))]),
            "diameter": np.array(size),
        }

    def _beside(self, case: TrainingCase, volume: Volume, mask: BoolArray, number: int) -> tuple[FloatArray, BoolArray]:
        """A slice some millimetres from the key slice, its lesion at least half as large there, and its mask."""
        offset_mm = float(drawn_by(case.id, number).uniform(-gtrnet_bundle.BESIDE_MM, gtrnet_bundle.BESIDE_MM))
        areas = [int(np.count_nonzero(plane)) for plane in mask]
        key = int(np.argmax(areas))
        if isinstance(case.source, FileSource):
            at = key + round(offset_mm / volume.geometry.spacing_xyz_mm[2])
            hu, lesion = volume.hu[min(max(at, 0), len(mask) - 1)], mask[min(max(at, 0), len(mask) - 1)]
        else:
            hu, lesion = plane_near(case.source, offset_mm)
        return (hu, lesion) if 2 * int(np.count_nonzero(lesion)) >= areas[key] else (volume.hu[key], mask[key])


class GtrnetLearner(Learner):
    """One of the networks."""

    def __init__(self, task: "GtrnetTask", seed: int, device: str) -> None:
        self._task, self._seed, self._device = task, seed, torch.device(device)
        self.network: GtrNet = built(NETWORKS[task.variant], seed, task.start).to(self._device)
        # A quarter faster on a CPU; the numbers are the same but for rounding.
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def batch(self, indices: Indices, epoch: int | None) -> Batch:
        """Key slices (n, 3, 224, 224), labels (n,), and what the network aims with.

        In an epoch of a training with rough masks each case is seen on its key slice or on one beside it, drawn anew,
        and aimed at with an error.
        """
        seen = [self._seen(index, epoch) for index in indices]
        images, centres = (
            torch.from_numpy(np.stack([image for image, _ in seen])).to(self._device),
            [at for _, at in seen],
        )
        if epoch is not None:
            how = augmentation.GTRNET
            changes = [augmentation.drawn(how, self._seed, epoch, index) for index in indices]
            images = augmentation.applied(images, changes, how.outside)
            centres = [augmentation.moved(centre, change) for centre, change in zip(centres, changes, strict=True)]
        labels = torch.tensor([self._task.cohort.cases[index].label for index in indices], device=self._device)
        return (images, labels, *self._aims(centres, [1] * len(indices)))

    def loss(self, batch: Batch) -> Tensor:
        """Categorical cross-entropy."""
        images, labels, *aims = batch
        return cross_entropy(self.network(images, *aims), labels)

    def run(self, batch: Batch) -> None:
        """One pass."""
        images, _, *aims = batch
        self.network(images, *aims)

    def predict(self, indices: Indices) -> Tensor:
        """The mean probabilities of the voting slices, and the class that they vote for: (n, 5)."""
        every = [torch.from_numpy(self._task.prepared[index].read("slices")) for index in indices]
        counts = [len(each) for each in every]
        aims = self._aims([self._centre(index) for index in indices], counts)
        logits = self.network(torch.cat(every).to(self._device), *aims)
        each_case = torch.split(torch.softmax(logits.double(), dim=1).cpu(), counts)
        return torch.stack([_voted(probabilities) for probabilities in each_case])

    def features(self, indices: Indices) -> Tensor:
        """The penultimate features of the key slices, (n, 2048)."""
        images, _, *aims = self.batch(indices, None)
        return self.network.pooled(self.network.maps(images, *aims))

    def _seen(self, index: int, epoch: int | None) -> tuple[FloatArray, tuple[float, float]]:
        """The slice on which a case is seen, and where its lesion is taken to be."""
        prepared, rough = self._task.prepared[index], self._task.rough
        key = int(prepared.read("key")[0])
        if epoch is None or not rough:
            return prepared.row("slices", key), self._centre(index)
        rng = np.random.default_rng((_SLICES, self._seed, epoch, index))
        voters = len(prepared.read("slices"))
        number = int(rng.integers(voters + rough))
        image = prepared.row("slices", number) if number < voters else prepared.row("beside", number - voters)
        centre = prepared.row("centres", max(0, number - voters + 1)) + rng.normal(0.0, _AIM_ERROR, 2)
        row, column = centre.clip(0.0, 1.0).tolist()
        return image, (row, column)

    def _centre(self, index: int) -> tuple[float, float]:
        row, column = self._task.prepared[index].row("centres", 0).tolist()
        return row, column

    def _aims(self, centres: Sequence[tuple[float, float]], counts: Sequence[int]) -> tuple[Tensor, ...]:
        """What the network aims with, for as many slices of each case."""
        each = [self.network.aims(centre, count) for centre, count in zip(centres, counts, strict=True)]
        return tuple(torch.cat(parts).to(self._device) for parts in zip(*each, strict=True))


class GtrnetTask(Task):
    """Options: ``network`` (of ``NETWORKS``), ``profile``, ``rough`` (more slices a case), ``embed``, ``start``."""

    name = "gtrnet"
    labels: ClassVar[Labels] = T_STAGE
    defaults = Hyper(
        optimiser="adam",
        learning_rate=1e-4,
        weight_decay=0.0,
        batch_size=32,
        epochs=100,
        patience=10,
        schedule="constant",
    )
    space: ClassVar[Mapping[str, Sequence[Any]]] = MappingProxyType(
        {"learning_rate": (1e-4, 3e-4, 1e-3), "batch_size": (16, 32), "schedule": ("constant", "cosine")}
    )

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.variant: str = self.options.get("network", "small")
        self.profile: str = self.options.get("profile", "published-checkpoint")
        self.start: Path | None = self.options.get("start")
        self.rough: int = self.options.get("rough", 0)

    @classmethod
    def preparation(cls, options: Mapping[str, Any]) -> SlicePreparation:
        """How a case becomes arrays."""
        return SlicePreparation(options.get("profile", "published-checkpoint"), options.get("rough", 0))

    def learner(self, train: Indices, hyper: Hyper, seed: int, device: str) -> GtrnetLearner:  # noqa: ARG002  as the base
        """One of the networks; nothing of it is fitted on the training cases but its weights."""
        return GtrnetLearner(self, seed, device)

    def judge(self, indices: Indices, predictions: Predictions) -> dict[str, float]:
        """Areas from the mean probabilities, the rest from the vote."""
        labels = np.array([self.cohort.cases[index].label for index in indices])
        return judging.ordinal(labels, predictions[:, :CLASSES], predictions[:, CLASSES].astype(np.int64))

    def beside(self, learner: Learner, train: Indices, held_out: Indices) -> Predictions:
        """The Rad-score (n, 1) of held-out cases, fitted on the fold's training cases; NaN where none can be fitted."""
        if not isinstance(learner, GtrnetLearner):
            raise TypeError(type(learner).__name__)
        try:
            score = self.radscore(learner, train)
        except (UsageError, ValueError):
            return np.full((len(held_out), 1), np.nan)
        return np.array([[score.of(features)] for features in key_features(learner, held_out)])

    def radscore(self, learner: GtrnetLearner, train: Indices) -> Any:
        """The score fitted on the cases ``train``; UsageError when there are too few, or no feature helps."""
        cases = [self.cohort.cases[index] for index in train]
        categories = np.array([case.label + 1 for case in cases], dtype=np.int64)
        return fit_radscore(key_features(learner, train), categories, [case.patient for case in cases])

    def finish(self, folder: Path, learner: Learner, facts: Facts) -> None:
        """The bundle of ``models.predictors.gtrnet``."""
        if not isinstance(learner, GtrnetLearner):
            raise TypeError(type(learner).__name__)
        gtrnet_bundle.write(folder, self, learner, facts)


def key_features(learner: GtrnetLearner, indices: Indices) -> Predictions:
    """The features of the cases' key slices, (n, 2048)."""
    with torch.no_grad():
        rows = [learner.features(indices[at : at + 32]).double().cpu() for at in range(0, len(indices), 32)]
    return np.asarray(torch.cat(rows).numpy())


def _voted(probabilities: Tensor) -> Tensor:
    """(slices, 4) as (5,): their mean, and the class that they vote for."""
    mean = probabilities.mean(dim=0)
    winner = majority(probabilities.argmax(dim=1).tolist(), mean.tolist())
    return torch.cat((mean, torch.tensor([float(winner)], dtype=mean.dtype)))
