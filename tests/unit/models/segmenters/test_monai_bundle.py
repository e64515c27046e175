"""A MONAI bundle as a segmenter: pinned, run apart, its answer on the series' own voxels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.segmenters import zoo
from models.segmenters.monai_bundle import MonaiBundleSegmenter, affine_ras
from node.domain.coding import Anatomy
from node.domain.parts import Part
from node.domain.reasons import BundleFault, ReasonCode
from node.errors import BundleError, Refused
from node.settings import SegmenterKind, SegmenterSettings

ORGANS = (Anatomy.PANCREAS,)


def opened(path: Path, **changes: Any) -> MonaiBundleSegmenter:
    """The bundle as a segmenter of the pancreas."""
    values: dict[str, Any] = {
        "kind": SegmenterKind.MONAI_BUNDLE,
        "path": path,
        "sha256": zoo.digest(path),
        "labels": {1: Part.PANCREAS, 2: Part.PANCREAS_LESION},
        "within_s": 120.0,
    }
    return MonaiBundleSegmenter("zoo", SegmenterSettings(**(values | changes)))


def test_a_bundle_of_the_zoo_marks_what_it_sees(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], make_scene: Callable[..., Any]
) -> None:
    """In a series that is stored feet first and on a grid other than the bundle's, every voxel in its place."""
    made = make_scene(spacing_mm=(1.0, 1.0, 2.0), tilted=True)
    first, second = opened(make_zoo_bundle(tmp_path / "b")).locate(made.volume, (), ORGANS)
    assert np.array_equal(first.mask | second.mask, made.labels == 2)
    assert first.mask.sum() > second.mask.sum()
    assert ([other.label for other in first.others], first.source) == ([second.label], "zoo")
    assert first.anatomy is Anatomy.PANCREAS
    assert "not validated" in first.made_by


def test_another_digest_than_the_pinned_one_is_not_run(tmp_path: Path, make_zoo_bundle: Callable[..., Path]) -> None:
    """Neither when the node starts nor when the file changes later: the configuration is code."""
    path = make_zoo_bundle(tmp_path / "b")
    with pytest.raises(BundleError) as refused:
        opened(path, sha256="0" * 64)
    assert refused.value.fault is BundleFault.BUNDLE_CHANGED


def test_a_bundle_that_changes_under_way_is_not_run(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], make_scene: Callable[..., Any]
) -> None:
    """The process that would run it looks again, and what was added to it never runs."""
    path, mark = make_zoo_bundle(tmp_path / "b"), tmp_path / "ran"
    segmenter = opened(path)
    (path / "configs" / "inference.json").write_text(
        f'{{"imports": ["$open({str(mark)!r}, \'w\')"]}}', encoding="utf-8"
    )
    with pytest.raises(BundleError) as refused:
        segmenter.locate(make_scene().volume, (), ORGANS)
    assert refused.value.fault is BundleFault.BUNDLE_CHANGED
    assert not mark.exists()


def test_a_bundle_that_writes_files_or_starts_programs_fails(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], make_scene: Callable[..., Any]
) -> None:
    """Whatever its configuration calls, the process may only read and compute; the reason is coded."""
    mark = tmp_path / "written"
    path = make_zoo_bundle(tmp_path / "b", imports=[f"$open({str(mark)!r}, 'w').close()"])
    with pytest.raises((Refused, BundleError)):
        opened(path).locate(make_scene().volume, (), ORGANS)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("inferer", "changes"),
    [
        ({"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32], "device": "$__import__('time').sleep(60)"}, {}),
        ({"_target_": "numpy.zeros", "shape": "$(1 << 40,)"}, {"within_s": 60.0}),
    ],
    ids=["time", "memory"],
)
def test_a_bundle_that_takes_too_much_is_ended(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], make_scene: Callable[..., Any], inferer: Any, changes: Any
) -> None:
    """Of time or of memory; the worker goes on."""
    path = make_zoo_bundle(tmp_path / "b", inferer=inferer)
    with pytest.raises((Refused, BundleError)) as ended:
        opened(path, **({"within_s": 12.0} | changes)).locate(make_scene().volume, (), ORGANS)
    if isinstance(ended.value, Refused):
        assert ended.value.reason.code is ReasonCode.SEGMENTER_FAILED


def test_axes_are_turned_from_dicom_to_nifti(make_scene: Callable[..., Any]) -> None:
    """Right and left, front and back change sign; feet and head do not."""
    geometry = make_scene().volume.geometry
    point = affine_ras(geometry) @ np.array([3.0, 4.0, 5.0, 1.0])
    x, y, z = geometry.to_lps_mm(np.array([[3.0, 4.0, 5.0]]))[0]
    assert point[:3].tolist() == [-x, -y, z]
