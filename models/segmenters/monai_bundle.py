"""Any MONAI bundle as a segmenter: pinned by its digest, and run in a confined process of its own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models import child
from models.segmenters.exchange import as_labels, private_folder
from models.segmenters.label_map import rois_of
from models.segmenters.zoo import ZooBundle
from node.domain.coding import Anatomy
from node.domain.imaging import Annotation, Geometry, Roi, Volume
from node.domain.reasons import ReasonCode
from node.errors import Refused, UsageError, of_disk
from node.settings import SegmenterSettings

RUNNER: Final = "models.segmenters.bundle_runner"
_DIGEST_CHARACTERS: Final = 12
# From LPS, as DICOM has it, to RAS, as NIfTI and MONAI do.
_TO_RAS: Final = np.diag((-1.0, -1.0, 1.0, 1.0))


class MonaiBundleSegmenter:
    """Asks a bundle for a label map, whose numbers the settings explain."""

    def __init__(self, name: str, settings: SegmenterSettings, threads: int = 1) -> None:
        """``name``: as the settings call it. Raises BundleError when the bundle is not the one that is pinned."""
        if settings.path is None or settings.sha256 is None:
            raise UsageError(f"segmenters.{name}: path and sha256 are needed")
        self.name = name
        self._settings, self._threads = settings, threads
        self._bundle = ZooBundle.open(settings.path.absolute(), settings.sha256)

    def locate(
        self,
        volume: Volume,
        annotations: Sequence[Annotation],  # noqa: ARG002 — the port's signature
        organs: Sequence[Anatomy],
    ) -> tuple[Roi, ...]:
        """The lesions in ``organs``, largest first; empty when it sees none.

        Raises:
            Refused: SEGMENTER_FAILED when the process was ended or failed, ROI_GEOMETRY when its result lies
                elsewhere, ROI_UNCERTAIN when the lesion reaches the edge.
            BundleError: the bundle has changed, or cannot be built.
        """
        labels = self._labels(volume)
        made_by = (
            f"MONAI bundle {self._bundle.path.name}, {self._bundle.digest[:_DIGEST_CHARACTERS]}, not validated here"
        )
        return rois_of(labels, volume, self._settings.labels, organs, self.name, made_by)

    def _labels(self, volume: Volume) -> npt.NDArray[np.uint8]:
        """The label map [slice, row, column] that the bundle makes."""
        with private_folder() as folder:
            given, made = folder / "volume.npy", folder / "labels.npy"
            _save(given, volume)
            with made.open("wb") as answer:
                said = self._ask(given, volume.geometry, answer.fileno())
            if "unusable" in said:
                raise Refused(ReasonCode.ROI_GEOMETRY, f"{self.name}: {said['unusable']}")
            try:
                # As it came from another process: bytes of numbers, nothing that is run.
                labels = np.load(made, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise Refused(ReasonCode.SEGMENTER_FAILED, f"{self.name}: its label map cannot be read") from error
        return as_labels(labels.transpose(2, 1, 0), self.name)

    def _ask(self, given: Path, geometry: Geometry, answer: int) -> dict[str, object]:
        wanted = self._settings
        options = {
            "--bundle": str(self._bundle.path),
            "--sha256": self._bundle.digest,
            "--volume": str(given),
            "--affine": json.dumps(affine_ras(geometry).tolist()),
            "--answer-fd": str(answer),
            "--memory-gb": str(wanted.memory_gb),
            "--cpu-s": str(wanted.within_s * self._threads),
            "--threads": str(self._threads),
        }
        words = [word for pair in options.items() for word in pair]
        try:
            return child.ask(RUNNER, words, within_s=wanted.within_s, pass_fds=(answer,))
        except child.Ended as error:
            raise Refused(ReasonCode.SEGMENTER_FAILED, f"{self.name}: {error}") from error


def affine_ras(geometry: Geometry) -> npt.NDArray[np.float64]:
    """(4, 4): from an index (x, y, z) to RAS millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = geometry.matrix
    affine[:3, 3] = geometry.origin_lps_mm
    turned: npt.NDArray[np.float64] = _TO_RAS @ affine
    return turned


def _save(file: Path, volume: Volume) -> None:
    try:
        np.save(file, np.ascontiguousarray(volume.hu.transpose(2, 1, 0)))
    except OSError as error:
        raise of_disk(error, "a volume cannot be written for a segmentation program") or error from error
