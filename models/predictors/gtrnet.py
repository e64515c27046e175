"""GTRNet: the T category of gastric cancer from the key slice and its two neighbours.

Source: npj Digital Medicine, doi 10.1038/s41746-025-02002-5, methods.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.bundle import Bundle
from models.explain.gradcam import class_activation, evidence, normalised
from models.explain.overlap import dice
from models.networks.gtrnet import MAP_CHANNELS, SMALL, GtrNet
from models.networks.two_stream import TwoStreamGtrNet
from models.predictors.base import BasePredictor, Run
from models.predictors.nomogram import Answers, NomogramModel, Size, answers_from
from models.predictors.radscore import read_radscore
from models.preprocessing.diameter import is_cut_off, longest_diameter_mm
from models.preprocessing.key_slices import centre_on, key_slices
from models.preprocessing.profiles import read_profile
from models.runtime import Cut, Part
from node.domain.imaging import Geometry, Roi
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
from node.domain.reasons import ReasonCode
from node.errors import Refused

FEWER_SLICES: Final = "FEWER_SLICES"
NOT_SQUARE: Final = "NOT_SQUARE"
_VARIANTS: Final[dict[str, Callable[[], GtrNet]]] = {
    "plain": GtrNet,
    "two-stream": TwoStreamGtrNet,
    "small": partial(GtrNet, SMALL),
    "small-two-stream": partial(TwoStreamGtrNet, SMALL),
}
"""The published network, the one that the paper draws, and either with one block a stage."""
_CLASSES: Final = (
    (Quantity.T1, Conclusion.CT1),
    (Quantity.T2, Conclusion.CT2),
    (Quantity.T3, Conclusion.CT3),
    (Quantity.T4, Conclusion.CT4),
)
_VOTERS: Final = 3
_FEWEST_PIXELS: Final = 64
"""A side: what 224 pixels are made of when there are fewer is not an image of anatomy."""
_SQUARE_WITHIN: Final = 0.02
_MEASURED: Final = "longest diameter of the region"


class Gtrnet(BasePredictor[GtrNet]):
    """Three slices to a T category by majority vote, with class activation maps and the nomogram's reading.

    The trunk runs once: class maps, logits and Rad-score are all made from its last map.
    """

    name = "gtrnet"

    def __init__(self, bundle: Bundle, device: str = "cpu", cache: Path | None = None) -> None:
        """As the base; then the Rad-score, which for a bundle without training needs the loaded network."""
        super().__init__(bundle, device, cache)
        self._radscore = read_radscore(bundle, self._example_features, MAP_CHANNELS)

    def _build(self, bundle: Bundle) -> GtrNet:
        parameters = bundle.celadon.child("parameters")
        self._profile = read_profile(parameters)
        has_nomogram = bundle.celadon.has("nomogram")
        self._nomogram = NomogramModel.read(bundle.celadon.child("nomogram")) if has_nomogram else None
        network: GtrNet = parameters.one_of("variant", _VARIANTS)()
        return network

    def _cut(self) -> Cut:
        """All but the linear layer: (n, 3, 224, 224), and what the network aims with, to maps (n, 2048, 7, 7)."""
        network = self._network
        layers = {name: layer for name, layer in network.named_children() if layer is not network.fc}
        return Cut(Part(network.maps, layers), self._examples(), self._probabilities, _VOTERS)

    def _infer(self, case: Case) -> Run:
        slices = key_slices(case.roi)
        key = slices.index(case.roi.largest_slice)
        maps = yield self._inputs(case, slices, key)
        probabilities = self._probabilities(maps).cpu().numpy()
        mean = probabilities.mean(axis=0)
        votes = probabilities.argmax(axis=1)
        winner = majority(votes.tolist(), mean.tolist())
        answers = self._answers(case, self._network.pooled(maps)[key].double().cpu().numpy())
        return Prediction(
            algorithm=self.identity,
            title="Predicted cT category",
            scores=tuple(Score(quantity, float(p)) for (quantity, _), p in zip(_CLASSES, mean, strict=True)),
            conclusion=_CLASSES[winner][1],
            threshold=None,
            votes=tuple(_CLASSES[vote][1] for vote in votes),
            explanation=self._explanation(maps, winner, slices, case.roi),
            notes=tuple(_notes(len(slices), case.volume.geometry)),
            nomogram=self._nomogram.reading(answers) if self._nomogram and answers else None,
            clinical_used=answers.variables if answers else (),
        )

    def _check(self, case: Case) -> None:
        super()._check(case)
        rows, columns = case.volume.hu.shape[1:]
        if min(rows, columns) < _FEWEST_PIXELS:
            raise Refused(
                ReasonCode.INPUT_CONTRACT,
                f"the slices have {rows} x {columns} pixels; the model needs {_FEWEST_PIXELS} a side",
            )

    def _probabilities(self, maps: Tensor) -> Tensor:
        """(n, 2048, 7, 7) to probabilities (n, 4)."""
        return torch.softmax(self._network.classify(maps).double(), dim=1)

    def _inputs(self, case: Case, slices: Sequence[int], key: int) -> tuple[Tensor, ...]:
        """What the trunk takes for the ``slices``."""
        spacing_x, spacing_y, _ = case.volume.geometry.spacing_xyz_mm
        planes = case.volume.hu[slices[0] : slices[-1] + 1]
        images = torch.from_numpy(self._profile.images(planes, key, (spacing_y, spacing_x)))
        aims = self._network.aims(centre_on(case.roi.mask[slices[key]]), len(slices))
        return images, *aims

    def _explanation(self, maps: Tensor, winner: int, slices: Sequence[int], roi: Roi) -> Explanation:
        """Where the voting slices speak for the ``winner``."""
        signed = class_activation(maps, self._network.fc.weight[winner])
        saliency = normalised(evidence(signed, roi.mask.shape[1:]))
        seen = roi.mask[slices[0] : slices[-1] + 1]
        return Explanation(
            method=ExplanationMethod.CLASS_ACTIVATION,
            target=f"evidence for {_CLASSES[winner][1].value}",
            saliency=saliency,
            start_zyx=(slices[0], 0, 0),
            key_slices=_key_slice_first(slices, roi.largest_slice),
            # Of the slices that the network read; what lies beside them it could not have marked.
            roi_dice=dice(saliency, (0, 0, 0), seen),
        )

    def _answers(self, case: Case, features: npt.NDArray[np.float64]) -> Answers | None:
        """What the nomogram asks, the Rad-score from the key slice's ``features``; None for a bundle without both."""
        if self._nomogram is None or self._radscore is None:
            return None
        mask = case.roi.mask
        region = Size(longest_diameter_mm(mask, case.roi.geometry), _MEASURED, is_cut_off(mask))
        return answers_from(case.clinical, self._radscore.of(features), region)

    def _example_features(self) -> npt.NDArray[np.float64]:
        """The penultimate features of the network's own examples."""
        with torch.no_grad():
            maps = self._network.maps(*self._examples())
            return self._network.pooled(maps).double().cpu().numpy()


def majority(votes: Sequence[int], mean: Sequence[float]) -> int:
    """The class with most votes; of several the one with the highest mean probability."""
    return max(range(len(mean)), key=lambda index: (votes.count(index), mean[index]))


def _key_slice_first(slices: Sequence[int], key: int) -> tuple[int, ...]:
    """The key slice, then its neighbours in order."""
    return (key, *(index for index in slices if index != key))


def _notes(voters: int, geometry: Geometry) -> Iterator[Note]:
    """What limits this prediction."""
    _, rows, columns = geometry.shape_zyx
    spacing_x, spacing_y, _ = geometry.spacing_xyz_mm
    height, width = rows * spacing_y, columns * spacing_x
    if abs(height - width) > _SQUARE_WITHIN * max(height, width):
        yield Note(NOT_SQUARE, f"The images of {width:.0f} x {height:.0f} mm were pressed into the model's square.")
    if voters < _VOTERS:
        yield Note(FEWER_SLICES, f"The region lies at the end of the series: {voters} of {_VOTERS} slices voted.")
