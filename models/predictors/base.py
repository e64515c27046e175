"""What every predictor does: check the input, run the network in evaluation mode, say what limits the result."""

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar, Final, Generic, TypeVar

import numpy as np
import torch

from models.bundle import Bundle
from models.networks.initial import Network
from node.domain.imaging import HuArray
from node.domain.prediction import Case, Note, Prediction
from node.domain.reasons import ReasonCode
from node.errors import BundleError, Refused

DISCLAIMER: Final = "DISCLAIMER"

NetworkT = TypeVar("NetworkT", bound=Network)


class BasePredictor(ABC, Generic[NetworkT]):
    """A bundle on a device. Subclasses name themselves, build their network and predict for a checked case."""

    name: ClassVar[str]
    """As registered in ``models.registry.PREDICTORS``; the bundle must say the same."""

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        """Build the network and load the weights: seconds. Raises BundleError when the bundle does not fit."""
        if bundle.predictor != self.name:
            raise BundleError(f"{bundle.metadata.file}: the bundle is for {bundle.predictor!r}, not for {self.name!r}")
        self.identity = bundle.identity()
        self.anatomy = bundle.anatomy
        self._device = torch.device(device)
        # Building draws random numbers that nobody asked for; whoever seeded torch gets their generator back.
        with torch.random.fork_rng(devices=[]):
            network = self._build(bundle)
            bundle.load_into(network)
        self._network = network.to(self._device).eval().requires_grad_(requires_grad=False)

    def warm(self) -> None:
        """Run once on random numbers, so that the first patient does not wait for it."""
        examples = self._network.examples(torch.Generator().manual_seed(0))
        with torch.no_grad():
            self._network(*(example[:1].to(self._device) for example in examples))

    def predict(self, case: Case) -> Prediction:
        """The prediction for a case that passes the checks; raises Refused with the reason when it does not."""
        self._check(case)
        with torch.no_grad():
            prediction = self._infer(case)
        if not self.identity.disclaimer:
            return prediction
        return replace(prediction, notes=(Note(DISCLAIMER, self.identity.disclaimer), *prediction.notes))

    @abstractmethod
    def _build(self, bundle: Bundle) -> NetworkT:
        """The network, and whatever else the bundle's parameters decide."""

    @abstractmethod
    def _infer(self, case: Case) -> Prediction:
        """The prediction for a checked case; gradients are off."""

    def _check(self, case: Case) -> None:
        """Refuse what no network may be given."""
        volume, roi = case.volume, case.roi
        if roi.anatomy is not self.anatomy:
            raise Refused(ReasonCode.INPUT_CONTRACT, f"made for the {self.anatomy.key}, not for the {roi.anatomy.key}")
        if roi.mask.shape != volume.hu.shape or roi.geometry != volume.geometry:
            raise Refused(
                ReasonCode.ROI_GEOMETRY, f"the region's grid {roi.mask.shape} is not the volume's {volume.hu.shape}"
            )
        if not roi.mask.any():
            raise Refused(ReasonCode.ROI_EMPTY, "the mask of the region has no voxel")
        _check_finite(volume.hu)


def _check_finite(hu: HuArray) -> None:
    """Refuse a volume with a NaN or an infinity, and say where the first one is."""
    # A sum of squares is not finite when a term is not: one pass, and no second array of the volume's size. That huge
    # numbers overflow it as well is what the second look is for.
    with np.errstate(invalid="ignore", over="ignore"):
        total = float(np.vdot(hu, hu))
    if math.isfinite(total):
        return
    for index, plane in enumerate(hu):
        wrong = np.argwhere(~np.isfinite(plane))
        if wrong.size:
            row, column = (int(i) for i in wrong[0])
            raise Refused(
                ReasonCode.INPUT_CONTRACT,
                f"the volume holds values that are not finite numbers, first in slice {index}, row {row}, column {column}",
            )
