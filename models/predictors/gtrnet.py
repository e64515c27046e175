"""GTRNet: the T category of gastric cancer from the key slice and its two neighbours.

Source: npj Digital Medicine, doi 10.1038/s41746-025-02002-5, methods.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch

from models.bundle import Bundle
from models.explain.gradcam import class_activation, evidence, normalised
from models.networks.gtrnet import INPUT, GtrNet
from models.predictors.base import BasePredictor
from models.preprocessing.key_slices import key_slices
from models.preprocessing.slice_image import network_image, windowed
from node.domain.imaging import FloatArray, HuArray
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

FEWER_SLICES: Final = "FEWER_SLICES"
_CLASSES: Final = (
    (Quantity.T1, Conclusion.CT1),
    (Quantity.T2, Conclusion.CT2),
    (Quantity.T3, Conclusion.CT3),
    (Quantity.T4, Conclusion.CT4),
)
_VOTERS: Final = 3
_SIZE: Final = (INPUT[1], INPUT[2])


class Gtrnet(BasePredictor[GtrNet]):
    """Three slices to a T category by majority vote, with class activation maps."""

    name = "gtrnet"

    def _build(self, bundle: Bundle) -> GtrNet:
        parameters = bundle.celadon.child("parameters")
        parameters.one_of("profile", {"published-checkpoint": None})
        self._level = parameters.number("window_level_hu")
        self._width = parameters.number("window_width_hu")
        return GtrNet()

    def _infer(self, case: Case) -> Prediction:
        slices = key_slices(case.roi)
        hu = case.volume.hu[slices[0] : slices[-1] + 1]
        maps = self._network.maps(self._images(hu))
        probabilities = torch.softmax(self._network.classify(maps).double(), dim=1).cpu().numpy()
        mean = probabilities.mean(axis=0)
        votes = probabilities.argmax(axis=1)
        winner = majority(votes.tolist(), mean.tolist())
        signed = class_activation(maps, self._network.fc.weight[winner])
        conclusion = _CLASSES[winner][1]
        return Prediction(
            algorithm=self.identity,
            title="Predicted cT category",
            scores=tuple(Score(quantity, float(p)) for (quantity, _), p in zip(_CLASSES, mean, strict=True)),
            conclusion=conclusion,
            threshold=None,
            votes=tuple(_CLASSES[vote][1] for vote in votes),
            explanation=Explanation(
                method=ExplanationMethod.CLASS_ACTIVATION,
                target=f"evidence for {conclusion.value}",
                saliency=normalised(evidence(signed, hu.shape[1:])),
                start_zyx=(slices[0], 0, 0),
                key_slices=_key_slice_first(slices, case.roi.largest_slice),
            ),
            notes=tuple(_notes(len(slices))),
        )

    def _images(self, hu: HuArray) -> torch.Tensor:
        """The slices (n, rows, columns) as the network's input (n, 3, 224, 224)."""
        pictures: list[FloatArray] = [network_image(windowed(plane, self._level, self._width), _SIZE) for plane in hu]
        return torch.from_numpy(np.stack(pictures)).to(self._device)


def majority(votes: Sequence[int], mean: Sequence[float]) -> int:
    """The class with most votes; of several the one with the highest mean probability."""
    return max(range(len(mean)), key=lambda index: (votes.count(index), mean[index]))


def _key_slice_first(slices: Sequence[int], key: int) -> tuple[int, ...]:
    """The key slice, then its neighbours in order."""
    return (key, *(index for index in slices if index != key))


def _notes(voters: int) -> Iterator[Note]:
    """What limits this prediction."""
    if voters < _VOTERS:
        yield Note(FEWER_SLICES, f"The region lies at the end of the series: {voters} of {_VOTERS} slices voted.")
