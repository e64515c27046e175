"""One MONAI bundle run once on one volume: what is used of its configuration, and what its answer has to be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.segmenters import zoo
from models.segmenters.bundle_runner import Unusable, run
from models.segmenters.monai_bundle import affine_ras
from models.segmenters.zoo import ZooBundle
from node.domain.reasons import BundleFault
from node.errors import BundleError


def labels_of(path: Path, scene: Any) -> np.ndarray:
    """The label map [slice, row, column] that the bundle makes."""
    volume = scene.volume
    made = run(ZooBundle.open(path, zoo.digest(path)), volume.hu.transpose(2, 1, 0).copy(), affine_ras(volume.geometry))
    return np.asarray(made).transpose(2, 1, 0)


@pytest.mark.parametrize("weights", ["model.safetensors", "model.pt", "model.ts"])
def test_a_bundle_gives_a_label_map_of_the_volume(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], make_scene: Callable[..., Any], weights: str
) -> None:
    """Resampled and turned as it wants, and back again; whichever way its weights are stored."""
    scene = make_scene(tilted=True)
    assert np.array_equal(labels_of(make_zoo_bundle(tmp_path / "b", weights), scene), scene.labels)


def test_a_bundle_without_further_parts_runs_its_network_alone(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], make_scene: Callable[..., Any]
) -> None:
    """The largest of several channels is the label."""
    channel = {"_target_": "Compose", "transforms": [{"_target_": "EnsureChannelFirstd", "keys": "image"}]}
    scale = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -100, "a_max": 140, "b_min": 0, "b_max": 1}
    channel["transforms"].append(scale)  # type: ignore[attr-defined]  # a list
    path = make_zoo_bundle(tmp_path / "b", preprocessing=channel, inferer=None, postprocessing=None)
    scene = make_scene()
    assert np.array_equal(labels_of(path, scene), scene.labels)


def test_an_answer_of_another_shape_is_unusable(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], make_scene: Callable[..., Any]
) -> None:
    """A bundle that does not undo its resampling would mark something else."""
    after = {"_target_": "Compose", "transforms": [{"_target_": "AsDiscreted", "keys": "pred", "argmax": True}]}
    spacing = (1.0, 1.0, 3.0)
    with pytest.raises(Unusable, match="shape"):
        labels_of(make_zoo_bundle(tmp_path / "b", postprocessing=after), make_scene(spacing_mm=spacing))


def test_an_answer_that_lies_elsewhere_is_unusable(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], make_scene: Callable[..., Any]
) -> None:
    """The same shape is not the same place: turned, and not turned back."""
    after = {"_target_": "Compose", "transforms": [{"_target_": "AsDiscreted", "keys": "pred", "argmax": True}]}
    with pytest.raises(Unusable, match="elsewhere"):
        labels_of(make_zoo_bundle(tmp_path / "b", postprocessing=after), make_scene(tilted=True))


def test_a_part_that_cannot_be_built_is_the_bundles_fault(
    tmp_path: Path, make_zoo_bundle: Callable[..., Path], make_scene: Callable[..., Any]
) -> None:
    """Whatever its class fails with."""
    path = make_zoo_bundle(tmp_path / "b", inferer={"_target_": "no.such.Inferer"})
    with pytest.raises(BundleError) as refused:
        labels_of(path, make_scene())
    assert refused.value.fault is BundleFault.BUNDLE_UNFIT
