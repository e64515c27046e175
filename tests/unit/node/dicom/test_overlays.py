"""Overlays: what we have written comes back on the image that it lies on."""

from pathlib import Path

import numpy as np
import pytest

from node.dicom.overlays import read_overlay
from node.errors import Fatal
from node.reports.pm import ParametricMapWriter
from node.reports.seg import SegmentationWriter
from tests.unit.node.reports.factory import build_report, gtrnet


def test_the_region_comes_back_voxel_by_voxel(tmp_path: Path) -> None:
    """On each slice that holds some of it, by the image's UID."""
    report = build_report(tmp_path, gtrnet())
    path = tmp_path / "seg.dcm"
    path.write_bytes(SegmentationWriter().write(report)[0].content)
    found = read_overlay(path)
    for index, uid in enumerate(report.volume.instance_uids):
        expected = report.roi.mask[index]
        assert (uid in found) == bool(expected.any())
        if uid in found:
            assert np.array_equal(found[uid] > 0, expected)


def test_the_map_comes_back_on_its_slices(tmp_path: Path) -> None:
    """To single precision."""
    report = build_report(tmp_path, gtrnet())
    path = tmp_path / "pm.dcm"
    path.write_bytes(ParametricMapWriter().write(report)[0].content)
    found = read_overlay(path)
    assert found
    for index, uid in enumerate(report.volume.instance_uids):
        expected = report.prediction.explanation.on_slice(index, report.volume.hu.shape[1:])  # type: ignore[arg-type]
        assert np.allclose(found.get(uid, 0.0), expected, atol=1e-6)


def test_what_is_no_overlay_is_said(tmp_path: Path) -> None:
    """An image has no frames that lie on another, and a file that was damaged none at all."""
    report = build_report(tmp_path, gtrnet())
    assert report.series.instances[0].path
    with pytest.raises(Fatal, match="overlay"):
        read_overlay(report.series.instances[0].path)
    (tmp_path / "damaged").write_bytes(b"no DICOM at all")
    with pytest.raises(Fatal, match="overlay"):
        read_overlay(tmp_path / "damaged")
