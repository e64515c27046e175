"""What every predictor does: check the input, run the network in evaluation mode, say what limits the result."""

import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.networks.initial import Network
from models.predictors import posture
from models.predictors.practice import practice_case
from models.runtime import Cut, Trunk, fast
from node.domain.imaging import HuArray
from node.domain.prediction import Case, Note, Prediction
from node.domain.reasons import ReasonCode
from node.errors import BundleError, DeviceFull, Refused, Rejected

DISCLAIMER: Final = "DISCLAIMER"

NetworkT = TypeVar("NetworkT", bound=Network)

Run = Generator[tuple[Tensor, ...], Tensor, Prediction]
"""One case on its way: gives what the trunk takes, is given the maps, and ends in the prediction."""


class BasePredictor(ABC, Generic[NetworkT]):
    """A bundle on a device. Subclasses name themselves, build their network and predict for a checked case."""

    name: ClassVar[str]
    """As registered in ``models.registry.PREDICTORS``; the bundle must say the same."""

    def __init__(self, bundle: Bundle, device: str = "cpu", cache: Path | None = None) -> None:
        """Build the network and load the weights: seconds. Raises BundleError when the bundle does not fit.

        ``cache`` is the folder where ``warm`` keeps what it compiles; None: it is compiled at every start.
        """
        if bundle.predictor != self.name:
            raise BundleError(f"{bundle.metadata.file}: the bundle is for {bundle.predictor!r}, not for {self.name!r}")
        self.identity = bundle.identity()
        self.anatomy = bundle.anatomy
        self._device, self._cache = torch.device(device), cache
        # Building draws random numbers that nobody asked for; whoever seeded torch gets their generator back.
        with torch.random.fork_rng(devices=[]):
            network = self._build(bundle)
            bundle.load_into(network)
        self._network = network.to(self._device).eval().requires_grad_(requires_grad=False)
        self._trunk: Trunk = self._cut().trunk

    def warm(self) -> None:
        """Put the trunk on the fast path, and run once on a case of nobody, so that the first patient does not wait."""
        self._trunk = fast(self._cut(), self.identity.digest, self._device, self._cache)
        # Whether such a case is refused is another matter.
        with suppress(Rejected):
            self.predict(practice_case(self.anatomy))

    def predict(self, case: Case) -> Prediction:
        """The prediction for a case that passes the checks; raises Refused with the reason when it does not.

        Raises DeviceFull when the device has no memory for it.
        """
        try:
            (answer,) = self.predict_many((case,))
        except torch.OutOfMemoryError as exc:
            raise DeviceFull(f"{self.name}: the device has no memory left") from exc
        if isinstance(answer, Rejected):
            raise answer
        return answer

    def predict_many(self, cases: Sequence[Case]) -> tuple[Prediction | Rejected, ...]:
        """For each case its prediction, or why there is none; the images of all go through the trunk as one batch."""
        with torch.no_grad():
            flips = [posture.flips_of(case.volume.geometry) for case in cases]
            begun = [self._begin(case, flip) for case, flip in zip(cases, flips, strict=True)]
            maps = iter(self._maps([each[1] for each in begun if not isinstance(each, Rejected)]))
            said = [each if isinstance(each, Rejected) else self._end(each[0], next(maps)) for each in begun]
        return tuple(
            one if isinstance(one, Rejected) else posture.turned_back(one, case.volume.geometry.shape_zyx, flip)
            for one, case, flip in zip(said, cases, flips, strict=True)
        )

    def _begin(self, case: Case, flips: posture.Flips) -> tuple[Run, tuple[Tensor, ...]] | Rejected:
        """The run of a case and what the trunk is to be given for it, or why it is refused."""
        try:
            self._check(case)
            run = self._infer(posture.turned(case, flips))
            return run, next(run)
        except Rejected as rejected:
            return rejected

    def _maps(self, inputs: Sequence[tuple[Tensor, ...]]) -> Sequence[Tensor]:
        """The maps for each of several cases, from one call of the trunk."""
        if not inputs:
            return ()
        batch = (torch.cat(each).to(self._device) for each in zip(*inputs, strict=True))
        return torch.split(self._trunk(*batch), [len(each[0]) for each in inputs])

    def _end(self, run: Run, maps: Tensor) -> Prediction | Rejected:
        """What the run makes of its maps."""
        try:
            run.send(maps)
        except StopIteration as stop:
            prediction: Prediction = stop.value
        except Rejected as rejected:
            return rejected
        else:
            raise TypeError(f"{self.name} asks for a second run of the trunk")
        if not self.identity.disclaimer:
            return prediction
        return replace(prediction, notes=(Note(DISCLAIMER, self.identity.disclaimer), *prediction.notes))

    def _examples(self) -> tuple[Tensor, ...]:
        """The network's own examples, the same every time, on the device."""
        examples = self._network.examples(torch.Generator().manual_seed(0))
        return tuple(example.to(self._device) for example in examples)

    @abstractmethod
    def _build(self, bundle: Bundle) -> NetworkT:
        """The network, and whatever else the bundle's parameters decide."""

    @abstractmethod
    def _cut(self) -> Cut:
        """Where the network is cut for the fast path."""

    @abstractmethod
    def _infer(self, case: Case) -> Run:
        """The run of a checked case; gradients are off."""

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
                f"a value of the volume is not a finite number: slice {index}, row {row}, column {column}",
            )
