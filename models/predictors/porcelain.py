"""PORCELAIN: the probability of a high neutrophil-to-T-cell ratio in pancreatic cancer, by any of the paper's models.

Source: npj Digital Medicine, doi 10.1038/s41746-025-02303-9, methods.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.explain.background import background
from models.explain.gradcam import evidence, grad_cam, normalised
from models.explain.overlap import dice
from models.explain.shap import Explainer, attribution
from models.networks.en_pct import INPUT, MAP_STAGE
from models.networks.fusion import MultimodalNetwork
from models.networks.unimodal import UnimodalNetwork
from models.predictors.base import BasePredictor, Run
from models.predictors.variants import Variant, window_hu
from models.preprocessing.axes import slices_first, slices_last
from models.preprocessing.clinical import ClinicalTable, EncodedRecord
from models.preprocessing.lesion import LesionImage, prepare
from models.runtime import Cut, Part
from node.domain.clinical import ClinicalVariable
from node.domain.imaging import BoolArray, FloatArray
from node.domain.prediction import (
    Attribution,
    Case,
    Conclusion,
    Contribution,
    Explanation,
    ExplanationMethod,
    Note,
    Prediction,
    Quantity,
    Score,
)

CROP_LOSS: Final = "CROP_LOSS"
CLINICAL_IMPUTED: Final = "CLINICAL_IMPUTED"
CLINICAL_DISBELIEVED: Final = "CLINICAL_DISBELIEVED"
CLINICAL_N: Final = "CLINICAL_N"
_CHANNELS, _ROWS, _COLUMNS, _SLICES = INPUT
_SHAPE: Final = (_SLICES, _ROWS, _COLUMNS)
_KEY_SLICES: Final = 3


class Porcelain(BasePredictor[MultimodalNetwork | UnimodalNetwork]):
    """A lesion, and for the multimodal variants clinical columns, to the probability of a high NTR.

    Explained by Grad-CAM on the CT's own voxels, and by SHAP where there are clinical columns.
    """

    name = "porcelain"

    def __init__(self, bundle: Bundle, device: str = "cpu", cache: Path | None = None) -> None:
        super().__init__(bundle, device, cache)
        self._explainer = (
            Explainer(self._network, background(bundle, self._network))
            if isinstance(self._network, MultimodalNetwork)
            else None
        )

    def _build(self, bundle: Bundle) -> MultimodalNetwork | UnimodalNetwork:
        parameters = bundle.celadon.child("parameters")
        self._variant = Variant.read(parameters)
        self._window = window_hu(parameters)
        self._threshold = parameters.number("threshold")
        self._table = ClinicalTable.read(bundle.celadon) if self._variant.is_multimodal else None
        return UnimodalNetwork() if self._table is None else MultimodalNetwork(self._table.groups)

    def _cut(self) -> Cut:
        """The encoder up to the map that Grad-CAM shows: (n, 1, 100, 100, 30) to (n, 112, 7, 7, 2)."""
        encoder, (images, *columns) = self._network.image, self._examples()

        def outcome(maps: Tensor) -> Tensor:
            return torch.sigmoid(self._network.head(encoder.tail(maps), *columns).double())

        layers = {"stem": encoder.stem, "stages": encoder.stages[: MAP_STAGE + 1]}
        return Cut(Part(encoder.trunk, layers), (images,), outcome, batch=1)

    def _infer(self, case: Case) -> Run:
        record = self._table.encode(case.clinical) if self._table is not None else None
        lesion = prepare(case.volume, case.roi.mask, self._variant.region, self._window, _SHAPE)
        columns = self._columns(record)
        features = yield (torch.from_numpy(slices_last(lesion.values))[None, None],)
        logit, signed, embedding = self._run(features, columns)
        probability = 1.0 / (1.0 + float(np.exp(-logit)))
        is_high = probability >= self._threshold
        return Prediction(
            algorithm=self.identity,
            title="Predicted neutrophil-to-T-cell ratio",
            scores=(Score(Quantity.NTR_HIGH, probability),),
            conclusion=Conclusion.NTR_HIGH if is_high else Conclusion.NTR_LOW,
            threshold=self._threshold,
            votes=(),
            explanation=_explanation(signed, lesion, case.roi.mask, is_high=is_high),
            notes=tuple(_notes(lesion.lost_fraction, record)),
            attribution=self._attribution(logit, embedding, columns, record),
            clinical_used=record.used if record else (),
            clinical_imputed=record.imputed if record else (),
        )

    def _columns(self, record: EncodedRecord | None) -> tuple[Tensor, ...]:
        """What the head takes beside the embedding: the columns (1, c), or nothing."""
        return () if record is None else (torch.from_numpy(record.columns)[None].to(self._device),)

    def _run(self, features: Tensor, columns: tuple[Tensor, ...]) -> tuple[float, Tensor, Tensor]:
        """The logit, the signed map (1, 1, 7, 7, 2) that explains it, and the image embedding (1, 256)."""
        seen: list[Tensor] = []

        def tail(explained: Tensor) -> Tensor:
            embedding = self._network.image.tail(explained)
            seen.append(embedding.detach())
            logit: Tensor = self._network.head(embedding, *columns)
            return logit

        logit, signed = grad_cam(features, tail)
        return logit, signed, seen[0]

    def _attribution(
        self, logit: float, embedding: Tensor, columns: tuple[Tensor, ...], record: EncodedRecord | None
    ) -> Attribution | None:
        """Shapley values of the variables and of the image; None without clinical columns."""
        if self._explainer is None or record is None:
            return None
        names = [Contribution(each.variable.value, 0.0, each.text, each.is_imputed) for each in record.answers]
        return attribution(self._explainer.values(embedding[0], columns[0][0]), logit, names)


def _explanation(signed: Tensor, lesion: LesionImage, mask: BoolArray, *, is_high: bool) -> Explanation:
    """The signed map (1, 1, 7, 7, 2) as evidence for what was concluded, on the voxels of the CT that were read."""
    upsampled = evidence(signed if is_high else -signed, (_ROWS, _COLUMNS, _SLICES))[0]
    on_volume, start = lesion.on_volume(slices_first(upsampled))
    saliency = normalised(on_volume)
    under = mask[tuple(slice(first, first + size) for first, size in zip(start, saliency.shape, strict=True))]
    return Explanation(
        method=ExplanationMethod.GRAD_CAM,
        target=f"evidence for a {'high' if is_high else 'low'} NTR",
        saliency=saliency,
        start_zyx=start,
        key_slices=_telling_slices(saliency, under, start[0]),
        roi_dice=dice(saliency, start, mask),
    )


def _telling_slices(saliency: FloatArray, mask: BoolArray, first: int) -> tuple[int, ...]:
    """Up to three slices of the volume, the one with most evidence first; without evidence, the region's largest."""
    mass = saliency.sum(axis=(1, 2), dtype=np.float64)
    if not mass.any():
        mass = mask.sum(axis=(1, 2)).astype(np.float64)
    order = np.argsort(-mass, kind="stable")[:_KEY_SLICES]
    return tuple(first + int(index) for index in order)


def _notes(lost: float, record: EncodedRecord | None) -> Iterator[Note]:
    """What limits this prediction."""
    if lost > 0:
        size = f"{_ROWS} x {_COLUMNS} x {_SLICES} voxels"
        yield Note(CROP_LOSS, f"{lost:.1%} of the region lies outside the {size} that the model reads.")
    if record is None:
        return
    if record.imputed:
        count = f"{len(record.imputed)} of {len(record.answers)}"
        yield Note(CLINICAL_IMPUTED, f"{count} clinical variables were imputed.")
    if record.disbelieved:
        names = ", ".join(record.disbelieved)
        yield Note(
            CLINICAL_DISBELIEVED,
            f"Recorded, but not plausible or of no category that the model knows, and so imputed: {names}.",
        )
    if ClinicalVariable.CLINICAL_N.value in record.used:
        yield Note(
            CLINICAL_N,
            "The published model's cohort was operated on, and its N category presumably pathological; one that was "
            "given before an operation is clinical.",
        )
