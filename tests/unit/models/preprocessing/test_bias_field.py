"""N4 on the key slice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from models.fields import Fields
from models.preprocessing.bias_field import POSITIVE_HU, BiasField, corrected
from node.domain.imaging import BoolArray, FloatArray
from node.domain.reasons import ReasonCode
from node.errors import BundleError, Refused

N4 = BiasField(shrink=4, levels=4, iterations=10, body_hu=-300.0)
TORSO = Path(__file__).parents[5] / "shared" / "data" / "ct-torso-3mm.nii.gz"


def abdomen(size: int = 300) -> tuple[FloatArray, BoolArray]:
    """A body of tissue and organs in air, and where it is."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    body = (rows / 0.7) ** 2 + (columns / 0.9) ** 2 < 1
    organs = (np.hypot(rows, columns + 0.4) < 0.25) | (np.hypot(rows - 0.2, columns - 0.3) < 0.2)
    noise = np.random.default_rng(0).normal(0.0, 10.0, body.shape)
    return np.where(body, np.where(organs, 110.0, 40.0) + noise, -1000.0).astype(np.float32), body


def smooth_field(size: int = 300) -> FloatArray:
    """A logarithmic field that rises by a fifth from left to right."""
    field: FloatArray = np.broadcast_to(np.linspace(-0.1, 0.1, size), (size, size)).astype(np.float32)
    return field


def test_a_known_field_is_taken_away() -> None:
    """The slope that was put over a body is gone to a quarter; the body's mean attenuation stays."""
    hu, body = abdomen()
    field = smooth_field()
    spoilt = (hu + POSITIVE_HU) * np.exp(field) - POSITIVE_HU
    even = corrected(spoilt, N4.estimate(spoilt))
    left, right = body.copy(), body.copy()
    left[:, 100:], right[:, :200] = False, False
    flat = (hu < 80) & body
    before = abs(spoilt[flat & left].mean() - spoilt[flat & right].mean())
    after = abs(even[flat & left].mean() - even[flat & right].mean())
    assert before > 100
    assert after < before / 4
    assert abs(even[body].mean() - spoilt[body].mean()) < 25


def test_the_field_has_no_scale_of_its_own() -> None:
    """Its mean logarithm over the body is 0: N4 would otherwise move all HU out of the window."""
    hu, body = abdomen()
    field = N4.estimate(hu)
    assert field.shape == hu.shape
    assert field.dtype == np.float32
    assert abs(float(field[body].mean())) < 1e-4


def test_correction_divides_and_leaves_air_at_the_bottom() -> None:
    """By definition, for one plane or several: a field of ln 2 halves what is above -1025 HU."""
    field = np.full((2, 2), np.log(2.0), dtype=np.float32)
    hu = np.array([[[-1025.0, -25.0], [975.0, 0.0]]] * 3, dtype=np.float32)
    assert np.allclose(corrected(hu, field), [[[-1025.0, -525.0], [-25.0, -512.5]]] * 3)


@pytest.mark.parametrize("size", [64, 97])
def test_a_small_slice_is_no_obstacle(size: int) -> None:
    """Also the smallest slices that the model takes can be corrected."""
    assert np.isfinite(N4.estimate(abdomen(size)[0])).all()


def test_a_slice_without_a_body_is_refused() -> None:
    """Air alone: a coded reason that says what was looked for."""
    with pytest.raises(Refused, match="above -300 HU") as caught:
        N4.estimate(np.full((100, 100), -1000.0, dtype=np.float32))
    assert caught.value.reason.code is ReasonCode.INPUT_CONTRACT


@pytest.mark.parametrize(
    ("change", "named"),
    [({"shrink": 0}, "n4.shrink is 0"), ({"levels": None}, "n4.levels"), ({"body_hu": "x"}, "body_hu")],
)
def test_its_parameters_are_checked(change: dict[str, Any], named: str) -> None:
    """A bundle with a missing or senseless parameter is refused by name."""
    values = {"shrink": 4, "levels": 4, "iterations": 10, "body_hu": -300} | change
    with pytest.raises(BundleError, match=named):
        BiasField.read(Fields(Path("metadata.json"), values, "n4."))


@pytest.mark.skipif(not TORSO.is_file(), reason="the CT beside the project is not there")
def test_in_two_dimensions_it_is_nearly_the_field_of_three() -> None:
    """On a real CT the key slice's field agrees with that of a slab of 64 mm, at the same shrinkage, within 3 %."""
    volume = SimpleITK.ReadImage(str(TORSO), SimpleITK.sitkFloat32)
    volume = SimpleITK.Clamp(volume, SimpleITK.sitkFloat32, -1024.0, 1024.0)[:, :, 24:46]
    size = [round(count * 3.0) for count in volume.GetSize()[:2]]
    grid = (volume.GetOrigin(), (1.0, 1.0, 1.0), volume.GetDirection(), -1024.0, SimpleITK.sitkFloat32)
    slab = SimpleITK.Resample(volume, [*size, 64], SimpleITK.Transform(), SimpleITK.sitkLinear, *grid)
    small = SimpleITK.Shrink(slab, [4, 4, 4]) + POSITIVE_HU
    three = SimpleITK.N4BiasFieldCorrectionImageFilter()
    three.SetMaximumNumberOfIterations([10] * 4)
    three.Execute(small, SimpleITK.Cast(small > POSITIVE_HU - 300.0, SimpleITK.sitkUInt8))
    reference = SimpleITK.GetArrayFromImage(three.GetLogBiasFieldAsImage(slab))[32]
    plane = SimpleITK.GetArrayFromImage(slab)[32]
    body = plane > -300.0
    assert reference[body].std() > 0.03
    assert (N4.estimate(plane) - reference)[body].std() < 0.03
