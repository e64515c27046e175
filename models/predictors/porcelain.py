"""PORCELAIN's multimodal ROI model: the probability of a high neutrophil-to-T-cell ratio in pancreatic cancer.

Source: npj Digital Medicine, doi 10.1038/s41746-025-02303-9, methods.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import torch

from models.bundle import Bundle
from models.explain.gradcam import evidence, grad_cam, normalised
from models.networks.en_pct import INPUT
from models.networks.fusion import MultimodalNetwork
from models.predictors.base import BasePredictor
from models.preprocessing.axes import slices_first, slices_last
from models.preprocessing.box import extent, smallest_box
from models.preprocessing.clinical import ClinicalTable, EncodedRecord
from models.preprocessing.fitting import Fit
from models.preprocessing.masking import masked
from models.preprocessing.window import clip
from models.preprocessing.zscore import zscore
from node.domain.imaging import BoolArray, FloatArray
from node.domain.prediction import (
    Case,
    Conclusion,
    Explanation,
    ExplanationMethod,
    Note,
    Prediction,
    Quantity,
    Score,
)

CROP_LOSS: Final = "CROP_LOSS"
CLINICAL_IMPUTED: Final = "CLINICAL_IMPUTED"
_CHANNELS, _ROWS, _COLUMNS, _SLICES = INPUT
_KEY_SLICES: Final = 3


class Porcelain(BasePredictor[MultimodalNetwork]):
    """A masked lesion box and clinical columns to the probability of a high NTR, with Grad-CAM."""

    name = "porcelain"

    def _build(self, bundle: Bundle) -> MultimodalNetwork:
        parameters = bundle.celadon.child("parameters")
        self._window = parameters.interval("window_hu")
        self._threshold = parameters.number("threshold")
        self._table = ClinicalTable.read(bundle.celadon)
        return MultimodalNetwork(self._table.groups)

    def _infer(self, case: Case) -> Prediction:
        box = smallest_box(case.roi.mask)
        mask = case.roi.mask[box]
        fit = Fit.between(extent(box), (_SLICES, _ROWS, _COLUMNS))
        image = self._image(case.volume.hu[box], mask, fit)
        record = self._table.encode(case.clinical)
        logit, signed = self._run(image, record.columns)
        probability = 1.0 / (1.0 + float(np.exp(-logit)))
        high = probability >= self._threshold
        saliency = _saliency(signed if high else -signed, fit)
        start = tuple(axis.start + kept.start for axis, kept in zip(box, fit.kept, strict=True))
        return Prediction(
            algorithm=self.identity,
            title="Predicted neutrophil-to-T-cell ratio",
            scores=(Score(Quantity.NTR_HIGH, probability),),
            conclusion=Conclusion.NTR_HIGH if high else Conclusion.NTR_LOW,
            threshold=self._threshold,
            votes=(),
            explanation=Explanation(
                method=ExplanationMethod.GRAD_CAM,
                target=f"evidence for a {'high' if high else 'low'} NTR",
                saliency=saliency,
                start_zyx=(start[0], start[1], start[2]),
                key_slices=_telling_slices(saliency, mask[fit.kept], start[0]),
            ),
            notes=tuple(_notes(fit.lost_fraction(mask), record)),
            clinical_used=record.used,
            clinical_imputed=record.imputed,
        )

    def _image(self, hu: FloatArray, mask: BoolArray, fit: Fit) -> FloatArray:
        """The box [slice, row, column] as the encoder's input [slice, row, column] of 30 x 100 x 100."""
        fitted_mask = fit.apply(mask)
        return zscore(fit.apply(masked(clip(hu, self._window), mask)), fitted_mask)

    def _run(self, image: FloatArray, columns: FloatArray) -> tuple[float, torch.Tensor]:
        """The logit and the signed map (1, 1, 7, 7, 2) that explains it."""
        tensor = torch.from_numpy(slices_last(image))[None, None].to(self._device)
        clinical = torch.from_numpy(columns)[None].to(self._device)
        features = self._network.image.trunk(tensor)
        return grad_cam(features, partial(self._network.tail, columns=clinical))


def _saliency(signed: torch.Tensor, fit: Fit) -> FloatArray:
    """The signed map as evidence in [0, 1] on the part of the box that the network saw."""
    upsampled = evidence(signed, (_ROWS, _COLUMNS, _SLICES))[0]
    return normalised(fit.undo(slices_first(upsampled)))


def _telling_slices(saliency: FloatArray, mask: BoolArray, first: int) -> tuple[int, ...]:
    """Up to three slices of the volume, the one with most evidence first; without evidence, the region's largest."""
    mass = saliency.sum(axis=(1, 2), dtype=np.float64)
    if not mass.any():
        mass = mask.sum(axis=(1, 2)).astype(np.float64)
    order = np.argsort(-mass, kind="stable")[:_KEY_SLICES]
    return tuple(first + int(index) for index in order)


def _notes(lost: float, record: EncodedRecord) -> Iterator[Note]:
    """What limits this prediction."""
    if lost > 0:
        size = f"{_ROWS} x {_COLUMNS} x {_SLICES} voxels"
        yield Note(CROP_LOSS, f"{lost:.1%} of the region lies outside the {size} that the model reads.")
    if record.imputed:
        total = len(record.used) + len(record.imputed)
        names = ", ".join(record.imputed)
        yield Note(CLINICAL_IMPUTED, f"{len(record.imputed)} of {total} clinical variables were imputed: {names}.")
