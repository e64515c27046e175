"""PORCELAIN in training: lesion boxes and clinical columns to a high NTR, or not.

Source: npj Digital Medicine, doi 10.1038/s41746-025-02303-9, methods: AdamW (0.9, 0.999), weight decay 1e-4, learning
rate 2e-3, cosine with warm restarts, binary cross-entropy, sparsity 1e-3, early stopping on the validation AUC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.bundle_files import METADATA
from models.fields import Fields
from models.networks.en_pct import INPUT
from models.networks.fusion import MultimodalNetwork
from models.networks.tabnet import SPARSITY
from models.networks.unimodal import UnimodalNetwork
from models.predictors.variants import VARIANTS, WINDOWS_HU, Variant
from models.preprocessing.clinical import Category, ClinicalTable, Number, believed
from models.preprocessing.clinical_fit import PORCELAIN, fit
from models.preprocessing.lesion import Region, prepare
from models.training import augmentation, checkpoint, judging, porcelain_bundle
from models.training.cohort import NTR, FileSource, Labels, TrainingCase
from models.training.facts import Facts
from models.training.hyper import Hyper
from models.training.images import read_mask, read_volume
from models.training.learner import Batch, Indices, Learner, Predictions, Task
from models.training.phantom_cohort import crop
from models.training.prepared import Arrays
from models.training.rough import MARGIN_MM, drawn_by, roughened
from models.training.starting import built, fitted_on, population
from node.domain.clinical import ClinicalRecord
from node.domain.imaging import BoolArray
from node.errors import UsageError

_CHANNELS, _ROWS, _COLUMNS, _SLICES = INPUT
_SHAPE: Final = (_SLICES, _ROWS, _COLUMNS)
_MASKS: Final = 0x3A5
_LEAST_KNOWN: Final = 0.5
"""The share of cases that must have a variable for a model to learn from it."""


@dataclass(frozen=True, slots=True)
class LesionPreparation:
    """The encoder's input for one case, as the predictor makes it.

    ``images`` [mask, slice, row, column]: with the case's own mask, then with each of its ``rough`` ones; ``lost``
    (1,): the part of the lesion that the crop left out, NaN where the whole lesion is not at hand; ``dice`` of the
    rough masks.
    """

    region: Region
    """Not the variant: with clinical variables and without, the boxes are the same, and are made once."""
    window_hu: tuple[float, float]
    rough: int

    def __call__(self, case: TrainingCase) -> Arrays:
        """Raises as reading and ``models.preprocessing.lesion.prepare`` do."""
        is_whole = isinstance(case.source, FileSource)
        if isinstance(case.source, FileSource):
            volume, mask = read_volume(case.source.image), read_mask(case.source.mask)
        else:
            # A millimetre more than the dilation, for the grid that it is done on.
            distance = self.region.dilation_mm
            volume, mask = crop(case.source, (0.0 if distance is None else distance + 1.0) + self._rough_mm)
        x, y, z = volume.geometry.spacing_xyz_mm
        masks = [mask, *(roughened(mask, (z, y, x), drawn_by(case.id, number)) for number in range(self.rough))]
        lesions = [prepare(volume, each, self.region, self.window_hu, _SHAPE) for each in masks]
        return {
            "images": np.stack([lesion.values for lesion in lesions]),
            "lost": np.array([lesions[0].lost_fraction if is_whole else np.nan]),
            "dice": np.array([_dice(mask, each) for each in masks[1:]]),
        }

    @property
    def _rough_mm(self) -> float:
        return MARGIN_MM if self.rough else 0.0


def _dice(first: BoolArray, second: BoolArray) -> float:
    return 2.0 * float(np.count_nonzero(first & second)) / float(np.count_nonzero(first) + np.count_nonzero(second))


class PorcelainLearner(Learner):
    """The network of one variant; its clinical statistics are those of its training cases."""

    def __init__(self, task: "PorcelainTask", train: Indices, hyper: Hyper, seed: int, device: str) -> None:
        self._task, self._hyper, self._seed, self._device = task, hyper, seed, torch.device(device)
        self.entries: list[dict[str, Any]] = []
        self.table: ClinicalTable | None = None
        self._columns: Tensor | None = None
        if task.variant.is_multimodal:
            self.entries = fit([task.cohort.cases[index].clinical for index in train], task.schema)
            self.table = _table(self.entries)
            records = [self.table.encode(case.clinical) for case in task.cohort.cases]
            self._columns = torch.from_numpy(np.stack([record.columns for record in records])).to(self._device)
        table = self.table
        self.network: MultimodalNetwork | UnimodalNetwork = built(
            lambda: UnimodalNetwork() if table is None else MultimodalNetwork(table.groups), seed, task.start
        ).to(self._device)
        self._embedded: Tensor | None = None
        if task.image_from is not None:
            self._take_image_branch(task.image_from, population(task.cohort.cases[index].id for index in train))

    def _take_image_branch(self, folder: Path, cases: str) -> None:
        """The image branch of a finished unimodal run, as it is: what is trained is the rest, on its embeddings.

        With few cases and small batches a fresh image branch and a fresh TabNet do not find their way together; the
        paper does not say that they were trained at once.
        """
        tensors = fitted_on(folder, cases)
        image = {name.removeprefix("image."): each for name, each in tensors.items() if name.startswith("image.")}
        checkpoint.fill(self.network.image, image)
        self.network.image.requires_grad_(requires_grad=False)

    def _embeddings(self) -> Tensor:
        """(cases, masks, 256): what a frozen image branch says, once and for all."""
        if self._embedded is None:
            self.network.image.eval()
            cases = range(len(self._task.cohort.cases))
            with torch.no_grad():
                rows = [
                    torch.stack([self.network.image(self._boxes([case], [mask], None))[0] for mask in self._task.masks])
                    for case in cases
                ]
            self._embedded = torch.stack(rows)
        return self._embedded

    def batch(self, indices: Indices, epoch: int | None, mask: int = 0) -> Batch:
        """What the image branch reads or, when it is frozen, has said; labels (n,); for a multimodal variant columns.

        In an epoch each case is seen through one of its masks, drawn anew; without augmentation through ``mask``, by
        default its own. Boxes are (n, 1, 100, 100, 30), embeddings (n, 256).
        """
        masks = [mask if epoch is None else self._mask(index, epoch) for index in indices]
        image = self._embeddings()[list(indices), masks] if self._is_frozen else self._boxes(indices, masks, epoch)
        labels = torch.tensor([float(self._task.cohort.cases[index].label) for index in indices], device=self._device)
        return (image, labels, *self.columns(indices))

    @property
    def _is_frozen(self) -> bool:
        return self._task.image_from is not None

    def _boxes(self, indices: Indices, masks: Sequence[int], epoch: int | None) -> Tensor:
        """(n, 1, 100, 100, 30); augmented as in ``epoch``."""
        slices = np.stack(
            [self._task.prepared[index].row("images", at) for index, at in zip(indices, masks, strict=True)]
        )
        images = torch.from_numpy(slices).to(self._device)
        if epoch is not None:
            how = augmentation.PORCELAIN
            changes = [augmentation.drawn(how, self._seed, epoch, index) for index in indices]
            images = augmentation.applied(images, changes, how.outside)
        return images.permute(0, 2, 3, 1)[:, None].contiguous()

    def _mask(self, index: int, epoch: int) -> int:
        """Which of its masks a case is seen through in an epoch."""
        if not self._task.rough:
            return 0
        return int(np.random.default_rng((_MASKS, self._seed, epoch, index)).integers(self._task.rough + 1))

    def columns(self, indices: Indices) -> tuple[Tensor, ...]:
        """The clinical columns (n, c) of the cases, or nothing."""
        return () if self._columns is None else (self._columns[list(indices)],)

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy, and the sparsity of TabNet's attention."""
        image, labels, *columns = batch
        embedding = self._embedding_of(image)
        if isinstance(self.network, UnimodalNetwork):
            return binary_cross_entropy_with_logits(self.network.head(embedding), labels)
        clinical, entropy = self.network.clinical.attend(columns[0])
        logits = self.network.fusion(clinical, embedding)
        return binary_cross_entropy_with_logits(logits, labels) - self._hyper.sparsity * entropy

    def _embedding_of(self, image: Tensor) -> Tensor:
        """(n, 256) from what ``batch`` gives first."""
        embedding: Tensor = image if self._is_frozen else self.network.image(image)
        return embedding

    def run(self, batch: Batch) -> None:
        """One pass."""
        image, _, *columns = batch
        self.network.head(self._embedding_of(image), *columns)

    def predict(self, indices: Indices, mask: int = 0) -> Tensor:
        """The probability of a high NTR, (n, 1), through each case's own mask or a rough one."""
        image, _, *columns = self.batch(indices, None, mask)
        return torch.sigmoid(self.network.head(self._embedding_of(image), *columns).double())[:, None]

    def embedding(self, indices: Indices) -> Tensor:
        """The image embeddings (n, 256)."""
        return self._embedding_of(self.batch(indices, None)[0])


class PorcelainTask(Task):
    """Options: ``variant``, ``window``, ``max_imputed``, ``rough`` (masks a case, beside its own), ``start``.

    ``image_from``: the folder of a training of the same region without clinical variables, whose image branch is taken.
    """

    name = "porcelain"
    labels: ClassVar[Labels] = NTR
    defaults = Hyper(
        optimiser="adamw",
        learning_rate=2e-3,
        weight_decay=1e-4,
        batch_size=8,
        epochs=30,
        patience=10,
        schedule="sgdr",
        sparsity=SPARSITY,
    )
    space: ClassVar[Mapping[str, Sequence[Any]]] = MappingProxyType(
        {"learning_rate": (5e-4, 1e-3, 2e-3), "batch_size": (8, 16), "weight_decay": (0.0, 1e-4)}
    )

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.variant = variant_of(self.options)
        self.window_hu = WINDOWS_HU[self.options.get("window", "paper")]
        self.start: Path | None = self.options.get("start")
        self.rough: int = self.options.get("rough", 0)
        self.image_from: Path | None = self.options.get("image_from")
        self.schema = schema_of([case.clinical for case in self.cohort.cases]) if self.variant.is_multimodal else ()

    @property
    def masks(self) -> range:
        """Of each case: its own, then the rough ones."""
        return range(self.rough + 1)

    @classmethod
    def preparation(cls, options: Mapping[str, Any]) -> LesionPreparation:
        """How a case becomes arrays."""
        return LesionPreparation(
            variant_of(options).region, WINDOWS_HU[options.get("window", "paper")], options.get("rough", 0)
        )

    def learner(self, train: Indices, hyper: Hyper, seed: int, device: str) -> PorcelainLearner:
        """A network of the variant."""
        return PorcelainLearner(self, train, hyper, seed, device)

    def judge(self, indices: Indices, predictions: Predictions) -> dict[str, float]:
        """At a threshold of a half."""
        labels = np.array([self.cohort.cases[index].label for index in indices])
        return judging.binary(labels, predictions[:, 0])

    def beside(self, learner: Learner, train: Indices, held_out: Indices) -> Predictions:  # noqa: ARG002  as the base
        """With rough masks: the probability through the first of them, (n, 1)."""
        if not isinstance(learner, PorcelainLearner):
            raise TypeError(type(learner).__name__)
        if not self.rough:
            return np.empty((len(held_out), 0))
        with torch.no_grad():
            rows = [learner.predict([index], mask=1).cpu() for index in held_out]
        return np.asarray(torch.cat(rows).numpy())

    def finish(self, folder: Path, learner: Learner, facts: Facts) -> None:
        """The bundle of ``models.predictors.porcelain``."""
        if not isinstance(learner, PorcelainLearner):
            raise TypeError(type(learner).__name__)
        porcelain_bundle.write(folder, self, learner, facts)


def variant_of(options: Mapping[str, Any]) -> Variant:
    """The variant that the options name, by default PORCELAIN itself."""
    return VARIANTS[options.get("variant", "multimodal-roi")]


def schema_of(records: Sequence[ClinicalRecord]) -> tuple[Number | Category, ...]:
    """The variables that at least half of the records have and that are not the same in all of them.

    Raises UsageError when there is none.
    """
    kept = [believed(record, PORCELAIN)[0] for record in records]
    schema = []
    for what in PORCELAIN:
        values = [record.get(what.variable) for record in kept]
        known = [what.read(value) for value in values if value is not None]
        if len(known) >= _LEAST_KNOWN * len(records) and len(set(known)) > 1:
            schema.append(what)
    if not schema:
        raise UsageError("no clinical variable is known of half of the cases; the variants without are cuboid and roi")
    return tuple(schema)


def _table(entries: list[dict[str, Any]]) -> ClinicalTable:
    """What a bundle reads from the same entries, however much is missing."""
    section = {"clinical": entries, "parameters": {"max_imputed": len(entries)}}
    return ClinicalTable.read(Fields(Path(METADATA), section))
