"""Organs in the whole series, lesions in the box around each: with networks that tell tissue by its brightness."""

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from models.segmenters import zoo
from models.segmenters.coarse_to_fine import CoarseToFineSegmenter, scaled
from models.segmenters.plan import Plan
from node.domain.coding import Anatomy
from node.domain.identifiers import FrameOfReferenceUID, InstanceUID
from node.domain.imaging import Geometry, Volume
from node.domain.parts import Part
from node.domain.reasons import BundleFault, ReasonCode
from node.errors import BundleError, Refused

ORGANS: Final = tuple(Anatomy)
FAT, ORGAN, LESION = -100.0, 80.0, 180.0
_SURE: Final = 12.0


class ByBrightness:
    """A network: fat is background, what is brighter a pancreas, what is brightest a lesion of it."""

    def __init__(self, plan: Plan, *, fine: bool) -> None:
        stage = plan.fine if fine else plan.coarse
        self._classes, self._organ = stage.classes, stage.number(Part.PANCREAS)
        self._lesion = stage.number(Part.PANCREAS_LESION) if fine else self._organ
        self._cuts = [float(scaled(np.float32(hu), plan.window_hu)) for hu in (-10.0, 130.0)]

    def __call__(self, window: Tensor) -> Tensor:
        """The logits."""
        logits = torch.zeros(1, self._classes, *window.shape[2:])
        logits[:, 0] = _SURE * (window[:, 0] < self._cuts[0])
        is_organ = (window[:, 0] >= self._cuts[0]) & (window[:, 0] < self._cuts[1])
        logits[:, self._organ] += _SURE * is_organ
        logits[:, self._lesion] += _SURE * (window[:, 0] >= self._cuts[1])
        return logits

    def with_features(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and features that are those of familiar images."""
        return self(window), torch.zeros(1, 6)


@pytest.fixture
def plan(make_tiny_plan: Callable[..., Plan]) -> Plan:
    """Small windows, and no limit on entropy but nonsense."""
    return make_tiny_plan()


def segmenter(path: Path, plan: Plan) -> CoarseToFineSegmenter:
    """A bundle whose networks are exchanged for such."""
    made = CoarseToFineSegmenter("own", path, zoo.digest(path))
    made._coarse = ByBrightness(plan, fine=False)  # type: ignore[assignment]  # a fake
    made._fine = ByBrightness(plan, fine=True)  # type: ignore[assignment]  # a fake
    return made


def body(
    slices: int = 40, lesions: tuple[float, ...] = (14.0, 9.0), signs: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> tuple[Volume, npt.NDArray[np.bool_]]:
    """An ellipsoid of an organ, 3 x 1.5 x 1.5 mm voxels, with balls of lesions in it; and where those are."""
    shape, spacing = (slices, 96, 96), np.array([3.0, 1.5, 1.5])
    places = np.stack(np.meshgrid(*(np.arange(size) for size in shape), indexing="ij"), axis=-1) * spacing
    middle = np.array(shape) * spacing / 2.0
    hu = np.full(shape, FAT, np.float32)
    hu[(((places - middle) / (45.0, 45.0, 60.0)) ** 2).sum(axis=-1) < 1.0] = ORGAN
    is_lesion = np.zeros(shape, np.bool_)
    for radius, beside in zip(lesions, (-28.0, 26.0), strict=False):
        is_lesion |= np.linalg.norm(places - middle - (0.0, 0.0, beside), axis=-1) < radius
    hu[is_lesion] = LESION
    direction = tuple(tuple(row) for row in np.diag(signs).tolist())
    geometry = Geometry(shape, (1.5, 1.5, 3.0), (5.0, -7.0, 90.0), direction, FrameOfReferenceUID("2.25.11"))
    flips = tuple(slice(None, None, int(sign)) for sign in signs[::-1])
    images = tuple(InstanceUID(f"2.25.{k + 1}") for k in range(slices))
    return Volume(np.ascontiguousarray(hu[flips]), geometry, images), np.ascontiguousarray(is_lesion[flips])


def dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """The overlap."""
    return 2.0 * float((one & other).sum()) / float(one.sum() + other.sum())


@pytest.mark.parametrize(
    "signs", [(1.0, 1.0, 1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)], ids=["as is", "feet", "prone"]
)
def test_every_lesion_is_found_where_it_is(
    tmp_path: Path, plan: Plan, make_tiny_bundle: Callable[..., Path], signs: tuple[float, float, float]
) -> None:
    """Largest first, on the series' own voxels, whichever way it is stored; each knows the others."""
    volume, truth = body(signs=signs)
    first, second = segmenter(make_tiny_bundle(tmp_path / "b"), plan).locate(volume, (), ORGANS)
    assert dice(first.mask | second.mask, truth) > 0.9
    assert first.mask.sum() > second.mask.sum()
    assert first.anatomy is Anatomy.PANCREAS
    assert [other.label for other in first.others] == [second.label]
    assert first.means_hu[Part.PANCREAS] == pytest.approx(ORGAN, abs=40.0)
    assert "for tests only" in first.made_by


def test_an_organ_without_lesions_has_none(tmp_path: Path, plan: Plan, make_tiny_bundle: Callable[..., Path]) -> None:
    """Nor has a series without the organ; neither is an error."""
    made = segmenter(make_tiny_bundle(tmp_path / "b"), plan)
    assert made.locate(body(lesions=())[0], (), ORGANS) == ()
    assert made.locate(body(lesions=(14.0,))[0], (), (Anatomy.STOMACH,)) == ()
    volume = body()[0]
    volume.hu[:] = FAT
    assert made.locate(volume, (), ORGANS) == ()


def test_a_lesion_may_lie_in_the_smaller_piece_of_an_organ(
    tmp_path: Path, plan: Plan, make_tiny_bundle: Callable[..., Path]
) -> None:
    """A tumour may part its organ; specks of the organ are no piece of it, and what lies in them is no lesion."""
    made = segmenter(make_tiny_bundle(tmp_path / "b"), plan)
    volume, truth = body(lesions=(0.0, 9.0))
    volume.hu[:, :, 44:47] = FAT  # the organ in two, the lesion in the right one, which is smaller
    volume.hu[:, :, 75:] = FAT
    (found,) = made.locate(volume, (), ORGANS)
    assert dice(found.mask, truth & (volume.hu > FAT)) > 0.8
    made.plan = replace(plan, least_organ_ml=400.0)
    assert made.locate(volume, (), ORGANS) == ()


def test_images_unlike_those_of_training_are_not_analysed(
    tmp_path: Path, plan: Plan, make_tiny_bundle: Callable[..., Path]
) -> None:
    """Whatever the networks see in them; nor is anything measured there."""
    made = segmenter(make_tiny_bundle(tmp_path / "b"), plan)
    made._coarse.with_features = lambda window: (made._coarse(window), torch.full((1, 6), 1e9))  # type: ignore[method-assign]
    with pytest.raises(Refused) as refused:
        made.locate(body()[0], (), ORGANS)
    assert refused.value.reason.code is ReasonCode.OUT_OF_DISTRIBUTION
    assert made.measure(body()[0]) == {}


def test_an_uncertain_region_is_not_analysed(tmp_path: Path, plan: Plan, make_tiny_bundle: Callable[..., Path]) -> None:
    """The largest is what would be analysed, so its quality decides."""
    made = segmenter(make_tiny_bundle(tmp_path / "b"), plan)
    volume, truth = body(lesions=(40.0,))
    volume.hu[:, :, 48:] = FAT  # the organ ends in the middle of the lesion, which goes on to the box's edge
    volume.hu[truth] = LESION
    volume.hu[0:40, 40:56, 40:56] = LESION  # and through all slices
    with pytest.raises(Refused) as refused:
        made.locate(volume, (), ORGANS)
    assert refused.value.reason.code is ReasonCode.ROI_UNCERTAIN
    assert "edge" in refused.value.reason.detail


def test_an_uncertain_region_stands_in_no_lesions_way(
    tmp_path: Path, plan: Plan, make_tiny_bundle: Callable[..., Path]
) -> None:
    """The largest of those that can be trusted is analysed, and those alone are listed."""
    made = segmenter(make_tiny_bundle(tmp_path / "b"), plan)
    volume = body()[0]
    first, second = made.look(volume, ORGANS).found
    limits = made.plan.limits[Anatomy.PANCREAS]
    between = replace(limits, most_ml=0.5 * (first.quality.volume_ml + second.quality.volume_ml))
    made.plan = replace(made.plan, limits={**made.plan.limits, Anatomy.PANCREAS: between})
    (only,) = made.locate(volume, (), ORGANS)
    assert np.array_equal(only.mask, second.mask)
    assert only.others == ()


def test_organs_are_measured_without_a_lesion(
    tmp_path: Path, plan: Plan, make_tiny_bundle: Callable[..., Path]
) -> None:
    """What a person's contour comes without: the attenuation that the phase is read from."""
    made = segmenter(make_tiny_bundle(tmp_path / "b"), plan)
    assert made.measure(body(lesions=())[0]) == {Part.PANCREAS: pytest.approx(ORGAN, abs=1.0)}


def test_memory_grows_with_the_window_and_not_the_series(
    tmp_path: Path, plan: Plan, make_tiny_bundle: Callable[..., Path]
) -> None:
    """Four times as many slices of the same patient cost a mask of theirs, a byte a voxel, and little else."""
    made = segmenter(make_tiny_bundle(tmp_path / "b"), plan)

    def peak(volume: Volume) -> int:
        tracemalloc.start()
        try:
            made.look(volume, (Anatomy.PANCREAS,))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = body(40, (14.0,))[0], body(160, (14.0,))[0]
    more_voxels = long.hu.size - short.hu.size
    assert peak(long) - peak(short) < 1.5 * more_voxels
    assert long.hu.nbytes > 2.5 * more_voxels, "otherwise one more copy of the series would pass"


def spoilt(path: Path, change: Callable[[dict[str, Any]], Any], file: str = zoo.CONFIGS[0]) -> str:
    """The digest of a bundle whose configuration somebody has changed."""
    values = json.loads((path / file).read_text(encoding="utf-8"))
    change(values)
    (path / file).write_text(json.dumps(values), encoding="utf-8")
    return zoo.digest(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["network_def"].update(_target_="os.system", command="true"),
        lambda values: values["network_def"].update(_target_="$__import__('os').abort()"),
        lambda values: values["network_def"].update(coarse_classes="$__import__('os').abort()"),
        lambda values: values["network_def"].update(fine_features=[4, 4, 4, "$__import__('os').abort()"]),
        lambda values: values["network_def"].update(_requires_="$__import__('os').abort()"),
        lambda values: values["network_def"].update(coarse_features=[4, 4, 4, 10**9]),
        lambda values: values.update(network_def="$__import__('os').abort()"),
    ],
)
def test_nothing_that_a_configuration_names_is_run(
    tmp_path: Path, make_tiny_bundle: Callable[..., Path], change: Callable[[dict[str, Any]], Any]
) -> None:
    """Only numbers are taken from it: it is built in the worker's own process, even when its digest is pinned."""
    path = make_tiny_bundle(tmp_path / "b")
    digest = spoilt(path, change)
    with pytest.raises(BundleError) as refused:
        CoarseToFineSegmenter("own", path, digest)
    assert refused.value.fault is BundleFault.BUNDLE_FORBIDDEN


def test_another_digest_than_the_pinned_one_is_not_loaded(
    tmp_path: Path, make_tiny_bundle: Callable[..., Path]
) -> None:
    """Not a byte of it."""
    with pytest.raises(BundleError) as refused:
        CoarseToFineSegmenter("own", make_tiny_bundle(tmp_path / "b"), "0" * 64)
    assert refused.value.fault is BundleFault.BUNDLE_CHANGED


@pytest.mark.parametrize(
    ("change", "file"),
    [
        (lambda values: values["network_def"].update(fine_classes=9), zoo.CONFIGS[0]),
        (lambda values: values["network_def"].update(fine_features=[4, 4]), zoo.CONFIGS[0]),
        (lambda values: values["celadon"]["segmenter"]["fine"].update(parts=["pancreas"]), zoo.METADATA),
        (lambda values: values["celadon"].update(disclaimer=""), zoo.METADATA),
        (lambda values: values["celadon"].update(status="excellent"), zoo.METADATA),
    ],
    ids=["classes", "levels", "parts", "disclaimer", "status"],
)
def test_a_bundle_that_does_not_fit_is_refused(
    tmp_path: Path, make_tiny_bundle: Callable[..., Path], change: Callable[[dict[str, Any]], Any], file: str
) -> None:
    """When it is loaded; one that is not validated says so, or is not loaded."""
    path = make_tiny_bundle(tmp_path / "b")
    digest = spoilt(path, change, file)
    with pytest.raises(BundleError):
        CoarseToFineSegmenter("own", path, digest)


def test_the_fast_network_says_what_the_slow_one_says(tmp_path: Path, make_tiny_bundle: Callable[..., Path]) -> None:
    """Warm or not, the same probabilities within rounding."""
    path = make_tiny_bundle(tmp_path / "b")
    slow, fast = (CoarseToFineSegmenter("own", path, zoo.digest(path)) for _ in range(2))
    fast.warm()
    volume = body(lesions=(14.0,))[0]
    one, other = (made.look(volume, ORGANS).survey for made in (slow, fast))
    assert np.array_equal(one.labels, other.labels)
    window = torch.from_numpy(np.random.default_rng(1).random((1, 1, 16, 32, 32), dtype=np.float32))
    with torch.inference_mode():
        assert torch.allclose(torch.softmax(slow._fine(window), 1), torch.softmax(fast._fine(window), 1), atol=1e-4)
