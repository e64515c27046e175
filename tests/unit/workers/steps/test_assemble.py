"""Assemble: slices as one volume in Hounsfield units."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from node.domain.reasons import ReasonCode
from node.domain.stacking import Stack, stack
from node.errors import Quarantined, Refused
from tests.factories import ct_slice, ct_slices, instance, write
from tests.fakes import HERE
from workers.steps.assemble import assemble


def stacked(slices: Sequence[Dataset], folder: Path) -> Stack:
    """The slices on disk and in order."""
    made = stack([instance(one, path=path) for one, path in zip(slices, write(slices, folder), strict=True)])
    assert isinstance(made, Stack)
    return made


def test_slices_lie_in_the_order_of_the_stack(tmp_path: Path) -> None:
    """Slice k of the volume is the image with the k-th UID, each with its own rescale."""
    slices = ct_slices(4)
    slices[2].RescaleIntercept = "0"
    volume = assemble(stacked(slices[::-1], tmp_path), HERE)
    assert volume.instance_uids == tuple(one.SOPInstanceUID for one in slices)
    assert volume.hu.dtype == np.float32
    for plane, image in zip(volume.hu, slices, strict=True):
        expected = np.frombuffer(image.PixelData, "<u2").reshape(16, 20) + float(image.RescaleIntercept)
        np.testing.assert_array_equal(plane, expected)


def test_pixels_of_another_size_than_the_header_says_are_held(tmp_path: Path) -> None:
    """A file that holds something else than its header at arrival is never squeezed into the volume."""
    made = stacked(ct_slices(4), tmp_path)
    other = write([ct_slice(1, rows=8)], tmp_path / "other")[0]
    path = made.instances[1].path
    assert path is not None
    path.write_bytes(other.read_bytes())
    with pytest.raises(Quarantined) as held:
        assemble(made, HERE)
    assert held.value.reason.code is ReasonCode.UNDECODABLE
    assert held.value.reason.detail == "slice 2 decodes to (8, 20), its header says (16, 20)"


def test_several_frames_in_a_slice_are_held(tmp_path: Path) -> None:
    """A slice that decodes to a stack of its own is not a slice."""
    slices = ct_slices(4)
    slices[1].NumberOfFrames, slices[1].PixelData = 2, slices[1].PixelData * 2
    with pytest.raises(Quarantined):
        assemble(stacked(slices, tmp_path), HERE)


def test_a_slice_without_rescale_refuses_the_series(tmp_path: Path) -> None:
    """There are no Hounsfield units to be had."""
    slices = ct_slices(4)
    del slices[2].RescaleSlope
    with pytest.raises(Refused) as refused:
        assemble(stacked(slices, tmp_path), HERE)
    assert refused.value.reason.code is ReasonCode.NO_RESCALE


def test_a_file_that_is_gone_is_held_and_says_which(tmp_path: Path) -> None:
    """The store has lost what it took responsibility for: a person must look."""
    made = stacked(ct_slices(4), tmp_path)
    path = made.instances[3].path
    assert path is not None
    path.unlink()
    with pytest.raises(Quarantined, match=f"{made.instances[3].uid} is gone"):
        assemble(made, HERE)
    with pytest.raises(Quarantined):
        assemble(replace(made, instances=tuple(replace(one, path=None) for one in made.instances)), HERE)
