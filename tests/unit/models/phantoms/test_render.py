"""Rendered phantoms: the same bytes, the same crop, organs as bright as they should be, lesions where they belong."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.phantoms import (
    Box,
    Kind,
    Organ,
    Phantom,
    Phase,
    Renderer,
    Wanted,
    draw,
    key_planes,
    lesion_box,
    lesion_place,
    render,
    stomach_box,
)
from models.phantoms.enhancement import Tissue

ROOT = Path(__file__).resolve().parents[4]
_DIGEST = """
import hashlib
from models.phantoms import Kind, Wanted, draw, lesion_box, render
spec = draw(21, Wanted(Kind.PANCREATIC))
made = render(spec, lesion_box(spec, (4, 60, 60)))
print(hashlib.sha256(made.hu.tobytes() + made.organs.tobytes() + made.lesions.tobytes()).hexdigest())
"""


def digest(phantom: Phantom) -> str:
    """Of all voxels."""
    return hashlib.sha256(phantom.hu.tobytes() + phantom.organs.tobytes() + phantom.lesions.tobytes()).hexdigest()


def crop(seed: int, wanted: Wanted, shape: tuple[int, int, int] = (30, 100, 100)) -> Phantom:
    """A lesion's box."""
    spec = draw(seed, wanted)
    return render(spec, lesion_box(spec, shape))


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_same_seed_gives_the_same_bytes_in_another_process(threads: str) -> None:
    """Whatever the number of threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", _DIGEST], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest(crop(21, Wanted(Kind.PANCREATIC), (4, 60, 60)))


@pytest.mark.parametrize(
    ("seed", "kind", "thickness"),
    [(5, Kind.PANCREATIC, 3.0), (6, Kind.GASTRIC, 1.0), (7, Kind.PANCREATIC, 5.0), (10, Kind.GASTRIC, 2.0)],
)
def test_a_crop_is_the_whole_voxel_for_voxel(seed: int, kind: Kind, thickness: float) -> None:
    """What a network is trained on is what it will see, in thick and thin slices; also a tumour that has grown out."""
    spec = draw(seed, Wanted(kind, t_stage=4, thickness_mm=thickness))
    box = lesion_box(spec, (1, 100, 100))
    whole, part = render(spec, Box(box.slices)), render(spec, box)
    index = (slice(None), *box.index[1:])
    assert np.array_equal(whole.hu[index], part.hu)
    assert np.array_equal(whole.organs[index], part.organs)
    assert np.array_equal(whole.lesions[index], part.lesions)


def test_a_crop_at_the_edge_is_the_whole_too() -> None:
    """Where the kernel meets the border of the matrix, and the wall of the body."""
    spec = draw(8)
    middle = spec.grid.slices // 2
    box = Box((middle, middle + 1), (150, 330), (0, 120))
    whole, part = render(spec, Box(box.slices)), render(spec, box)
    assert np.array_equal(whole.hu[:, 150:330, 0:120], part.hu)


@pytest.mark.parametrize(("seed", "index", "row", "column"), [(0, 64, 283, 301), (6, 3, 289, 147), (7, 62, 285, 161)])
def test_what_hangs_over_an_organs_pole_is_in_a_crop_too(seed: int, index: int, row: int, column: int) -> None:
    """A kidney's fat reaches planes that the kidney does not; a small box there has it as the whole has."""
    spec = draw(seed, Wanted(Kind.NORMAL, thickness_mm=2.0))
    box = Box((index, index + 1), (row, row + 44), (column, column + 44))
    whole, part = render(spec, Box(box.slices)), render(spec, box)
    cut = (slice(None), *box.index[1:])
    assert np.array_equal(part.hu, whole.hu[cut])
    assert np.array_equal(part.organs, whole.organs[cut])


def test_boxes_have_the_shapes_that_the_models_read() -> None:
    """30 x 100 x 100 for PORCELAIN; 3 x 224 x 224 and whole slices for GTRNet."""
    thin = draw(3, Wanted(Kind.PANCREATIC, thickness_mm=1.0))
    assert lesion_box(thin).shape_zyx == (30, 100, 100)
    gastric = draw(3, Wanted(Kind.GASTRIC))
    assert stomach_box(gastric).shape_zyx == (3, 224, 224)
    assert key_planes(gastric).shape_zyx == (3, 512, 512)


def test_the_key_slice_is_the_one_with_the_largest_area() -> None:
    """Found without rendering the study."""
    spec = draw(31, Wanted(Kind.GASTRIC, thickness_mm=3.0))
    place = lesion_place(spec)
    row, column = place.centre_zyx[1:]
    around = Box((0, 1), (max(0, row - 90), row + 90), (max(0, column - 90), column + 90))
    near = range(max(0, place.key_slice - 4), min(spec.grid.slices, place.key_slice + 5))
    renderer = Renderer(spec)
    areas = {index: int((renderer.labels(index, around)[1] == 1).sum()) for index in near}
    assert max(areas, key=lambda index: areas[index]) == place.key_slice


def test_a_study_without_a_lesion_has_no_place_for_one() -> None:
    """Said, not guessed."""
    with pytest.raises(ValueError, match="no lesion"):
        lesion_place(draw(3, Wanted(Kind.NORMAL)))


_TISSUES = {
    Organ.LIVER: Tissue.LIVER,
    Organ.SPLEEN: Tissue.SPLEEN,
    Organ.AORTA: Tissue.AORTA,
    Organ.PORTAL_VEIN: Tissue.PORTAL_VEIN,
    Organ.VENA_CAVA: Tissue.VENA_CAVA,
}


@pytest.mark.parametrize("phase", Phase)
def test_organs_have_the_attenuation_of_their_phase(phase: Phase) -> None:
    """The median over each organ's voxels, within 8 HU of the curve."""
    spec = draw(40, Wanted(Kind.NORMAL, phase=phase, thickness_mm=2.0))
    middle = spec.grid.slices // 2
    renderer = Renderer(spec)
    parts = [renderer.render(Box((k, k + 1), (100, 412), (60, 452))) for k in (middle, middle + 9, middle + 16)]
    hu, organs = (np.stack([getattr(part, name) for part in parts]) for name in ("hu", "organs"))
    for organ, tissue in _TISSUES.items():
        mask = organs == organ
        assert mask.sum() > 100, organ
        expected = spec.bolus.hu(tissue) - (spec.habitus.fatty_liver_hu if organ is Organ.LIVER else 0.0)
        assert float(np.median(hu[mask])) == pytest.approx(expected, abs=8.0), organ


@pytest.mark.parametrize("kind", [Kind.PANCREATIC, Kind.GASTRIC])
def test_lesions_lie_in_their_organ(kind: Kind) -> None:
    """Every voxel, and the lesion is there in each of six patients."""
    organ = Organ.PANCREAS if kind is Kind.PANCREATIC else Organ.STOMACH
    for seed in range(6):
        made = crop(100 + seed, Wanted(kind, thickness_mm=2.0), (5, 100, 100))
        assert made.lesion().sum() > 20, seed
        assert made.organ(organ)[made.lesion()].all()


def test_a_pancreatic_tumour_is_darker_than_the_pancreas() -> None:
    """In the portal venous phase, in the mean of ten patients by 15 HU or more."""
    steps = []
    for seed in range(10):
        spec = draw(200 + seed, Wanted(Kind.PANCREATIC, thickness_mm=2.0))
        made = render(spec, lesion_box(spec, (3, 60, 60)))
        healthy = spec.bolus.hu(Tissue.PANCREAS)
        steps.append(healthy - float(made.hu[made.lesion()].mean()))
    assert np.mean(steps) > 15.0


def test_a_low_and_a_high_tumour_differ_in_texture() -> None:
    """A feature by hand, smoothed variance over variance, separates the extremes without learning."""
    ratios: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(16):
        high = seed % 2 == 0
        made = crop(500 + seed, Wanted(Kind.PANCREATIC, ntr_high=high, thickness_mm=2.0), (6, 70, 70))
        ratios[high].append(_smoothed_share(made))
    pairs = [(one, other) for one in ratios[True] for other in ratios[False]]
    assert np.mean([one > other for one, other in pairs]) > 0.8


def _smoothed_share(phantom: Phantom) -> float:
    mask = phantom.lesion()
    values = np.where(mask, phantom.hu - phantom.hu[mask].mean(), 0.0)
    width = max(3, round(5.0 / phantom.spec.grid.spacing_zyx_mm[1]))
    smooth = values
    for axis in (1, 2):
        padded = np.pad(smooth, [(0, 0) if k != axis else (width, 0) for k in range(3)])
        sums = padded.cumsum(axis=axis)
        length = sums.shape[axis]
        ahead, behind = np.take(sums, range(width, length), axis), np.take(sums, range(length - width), axis)
        smooth = (ahead - behind) / width
    return float(smooth[mask].var() / values[mask].var())


@pytest.mark.parametrize("t_stage", [1, 2, 3, 4])
def test_depth_of_invasion_is_what_the_stage_says(t_stage: int) -> None:
    """T1 spares the outer wall, T2 the outermost muscularis, T3 reaches the surface, T4 grows beyond it.

    The same seed without its tumour gives the stomach as it was: voxels of the lesion outside it are beyond the serosa.
    """
    beyond, spared = [], []
    for seed in range(6):
        ill = draw(700 + seed, Wanted(Kind.GASTRIC, t_stage=t_stage, thickness_mm=2.0))
        box = stomach_box(ill, (1, 224, 224))
        lesion = render(ill, box).lesion()[0]
        healthy = render(draw(700 + seed, Wanted(Kind.NORMAL, thickness_mm=2.0)), box).organ(Organ.STOMACH)[0]
        beyond.append(_reach_px(lesion, healthy) * ill.grid.spacing_zyx_mm[1])
        edge = healthy & ~_eroded(healthy)
        spared.append(1.0 - (lesion & edge).sum() / max(1, (_grown(lesion, 8) & edge).sum()))
    if t_stage <= 2:
        assert max(beyond) == 0.0
        assert np.mean(spared) > (0.99 if t_stage == 1 else 0.5)
    elif t_stage == 3:
        assert 0.0 < max(beyond) <= 2.5
    else:
        assert np.mean(beyond) > 4.0


def _reach_px(lesion: np.ndarray, healthy: np.ndarray) -> int:
    """How many pixels beyond the organ's edge the lesion goes."""
    return next(steps for steps in range(40) if not (lesion & ~_grown(healthy, steps)).any())


def _eroded(mask: np.ndarray) -> np.ndarray:
    return mask & np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1)


def _grown(mask: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        mask = ~_eroded(~mask)
    return mask


def test_several_lesions_are_numbered() -> None:
    """The first is the largest."""
    spec = draw(12, Wanted(Kind.PANCREATIC, lesions=2, thickness_mm=5.0))
    sizes = []
    for number in (1, 2):
        made = render(spec, lesion_box(spec, (spec.grid.slices, 80, 80), number))
        sizes.append(int(made.lesion(number).sum()))
    assert sizes[0] > sizes[1] > 0


def test_the_window_is_the_readers() -> None:
    """Level 50, width 350: -125 HU is black, 225 white."""
    made = crop(21, Wanted(Kind.PANCREATIC), (2, 60, 60))
    grey = made.window()
    assert grey[made.hu <= -125].max(initial=0) == 0
    assert grey[made.hu >= 225].min(initial=255) == 255
