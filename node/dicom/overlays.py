"""Overlays: the frames of a segmentation or parametric map of our own making, by the image that each lies on."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import SegmentationStorage

from node.domain.imaging import FloatArray
from node.errors import Fatal


def read_overlay(path: Path) -> dict[str, FloatArray]:
    """Each frame, (row, column) in [0, 1], by the SOP Instance UID of its source image.

    For what Celadon has written itself: what others have sent is decoded in the sandbox.

    Raises:
        OSError: the file is gone.
        Fatal: it is neither, or names no source image.
    """
    try:
        dataset = dcmread(path)
        frames = _frames(dataset)
        sources = [_source(one) for one in dataset.PerFrameFunctionalGroupsSequence]
        return dict(zip(sources, frames, strict=True))
    except (InvalidDicomError, AttributeError, EOFError, IndexError, ValueError, KeyError, TypeError) as exc:
        raise Fatal("an object of our own cannot be read as an overlay") from exc


def _frames(dataset: Dataset) -> FloatArray:
    shape = (int(dataset.NumberOfFrames), int(dataset.Rows), int(dataset.Columns))
    if dataset.SOPClassUID == SegmentationStorage:
        bits = np.unpackbits(np.frombuffer(dataset.PixelData, dtype=np.uint8), bitorder="little")
        planes: FloatArray = bits[: shape[0] * shape[1] * shape[2]].reshape(shape).astype(np.float32)
        return planes
    found: Any = np.frombuffer(dataset.FloatPixelData, dtype="<f4").reshape(shape)
    levels: FloatArray = np.clip(found, 0.0, 1.0).astype(np.float32)
    return levels


def _source(frame: Dataset) -> str:
    return str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
