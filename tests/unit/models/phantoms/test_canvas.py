"""The canvas: later shapes cover earlier ones, edges blend over a pixel, and only what is near is looked at."""

import numpy as np
import pytest

from models.phantoms.anatomy import Organ
from models.phantoms.canvas import AIR_HU, Canvas
from models.phantoms.lattice import Plane
from models.phantoms.shapes import Ellipsoid, Extent

BALL = Ellipsoid((5.0, -8.0, 20.0), (10.0, 10.0, 10.0))


def canvas(z_mm: float = 20.0, *, moved_mm: float = 0.0, columns: slice = slice(None)) -> Canvas:
    """A plane of 80 x 100 mm in 1 mm pixels, the patient shifted to the left on it."""
    x, y = np.arange(-50.0, 50.0)[columns], np.arange(-40.0, 40.0)
    full = np.zeros((len(y), len(x)), np.float32)
    patient = (
        full + x.astype(np.float32)[None] + np.float32(moved_mm),
        full + y.astype(np.float32)[:, None],
        full + np.float32(z_mm),
    )
    return Canvas(x, y, patient, 1.0)


def painted(on: Canvas, hu: Plane | float = 50.0, organ: Organ | None = Organ.LIVER) -> Canvas:
    """The canvas with the ball on it."""
    patch = on.patch(BALL.extent)
    assert patch is not None
    on.paint(patch, BALL.distance(patch.x, patch.y, patch.z), hu, organ)
    return on


def test_a_new_canvas_is_air() -> None:
    """No organ, no lesion."""
    empty = canvas()
    assert (empty.hu == AIR_HU).all()
    assert not empty.organs.any()
    assert not empty.lesions.any()


def test_a_shape_is_painted_where_it_is() -> None:
    """A disc of radius 10 mm, its middle row and column where the ball's centre lies; elsewhere it stays air."""
    made = painted(canvas())
    rows, columns = np.nonzero(made.organs == Organ.LIVER)
    assert (rows.mean(), columns.mean()) == pytest.approx((32.0, 55.0))
    assert len(rows) == pytest.approx(np.pi * 100.0, rel=0.03)
    assert made.hu[32, 55] == 50.0
    assert made.hu[10, 10] == AIR_HU


@pytest.mark.parametrize("moved_mm", [-19.0, 0.0, 23.0])
def test_a_bent_patient_is_painted_whole(moved_mm: float) -> None:
    """However far bending moves it, nothing is cut off."""
    made = painted(canvas(moved_mm=moved_mm))
    rows, columns = np.nonzero(made.organs)
    assert columns.mean() == pytest.approx(55.0 - moved_mm)
    assert len(rows) == len(np.nonzero(painted(canvas()).organs)[0])


def test_half_a_pixel_of_an_organ_is_half_as_bright() -> None:
    """At the very edge the values of both sides meet."""
    made = painted(canvas())
    assert made.hu[32, 65] == pytest.approx(0.5 * (50.0 + AIR_HU), abs=1.0)


def test_what_is_covered_is_forgotten() -> None:
    """To the last bit, whatever lay below; the label follows, and a lesion below is gone."""
    plain, busy = canvas(), canvas()
    busy.hu[:] = np.random.default_rng(1).normal(0.0, 3000.0, busy.hu.shape)
    busy.lesions[:] = 1
    painted(plain, hu=0.1)
    painted(busy, hu=0.1)
    inside = plain.organs == Organ.LIVER
    sure = inside & (plain.hu == np.float32(0.1))
    assert sure.sum() > 200
    assert np.array_equal(busy.hu[sure], plain.hu[sure])
    assert not busy.lesions[inside].any()
    assert busy.lesions[~inside].all()


def test_paint_without_an_organ_leaves_the_labels() -> None:
    """A vessel within the liver is liver."""
    made = painted(painted(canvas()), hu=150.0, organ=None)
    assert made.hu[32, 55] == 150.0
    assert made.organs[32, 55] == Organ.LIVER


def test_a_texture_is_painted_pixel_by_pixel() -> None:
    """Each pixel has its own value."""
    on = canvas()
    patch = on.patch(BALL.extent)
    assert patch is not None
    texture = np.random.default_rng(1).normal(50.0, 9.0, patch.x.shape).astype(np.float32)
    painted(on, texture)
    spot = (slice(29, 36), slice(52, 59))
    row, column = (part.start for part in patch.window)
    assert np.array_equal(on.hu[spot], texture[29 - row : 36 - row, 52 - column : 59 - column])


def test_a_lesion_is_numbered_and_belongs_to_its_organ() -> None:
    """Where it is marked, and nowhere else."""
    made = canvas()
    patch = made.patch(BALL.extent)
    assert patch is not None
    inside = BALL.distance(patch.x, patch.y, patch.z) <= 0.0
    made.mark_lesion(patch, inside, 2, Organ.PANCREAS)
    assert (made.lesions == 2).sum() == inside.sum() > 300
    assert ((made.organs == Organ.PANCREAS) == (made.lesions == 2)).all()


@pytest.mark.parametrize(
    "extent",
    [
        Extent((-10.0, -10.0, 40.0), (10.0, 10.0, 60.0)),
        Extent((-10.0, -10.0, -60.0), (10.0, 10.0, 0.0)),
        Extent((90.0, -10.0, 10.0), (99.0, 10.0, 30.0)),
        Extent((-10.0, -99.0, 10.0), (10.0, -60.0, 30.0)),
    ],
)
def test_a_shape_out_of_reach_has_no_patch(extent: Extent) -> None:
    """Above, below, beside, in front."""
    assert canvas().patch(extent) is None


def test_what_lies_around_a_shape_is_in_its_patch() -> None:
    """Its fat reaches planes and columns that it does not reach itself; a wider neighbourhood is had by asking."""
    above = Extent((-10.0, -10.0, 28.0), (10.0, 10.0, 60.0))
    patch = canvas().patch(above)
    assert patch is not None
    assert (patch.x.min(), patch.x.max()) == (-20.0, 20.0)
    assert canvas().patch(above, near_mm=5.0) is None
    wide = canvas().patch(above, near_mm=30.0)
    assert wide is not None
    assert wide.x.min() == -40.0


def test_a_part_of_a_canvas_is_painted_as_the_whole() -> None:
    """Voxel for voxel, though the patches differ."""
    columns = slice(50, 62)
    whole, part = painted(canvas(moved_mm=3.0)), painted(canvas(moved_mm=3.0, columns=columns))
    assert np.array_equal(whole.hu[:, columns], part.hu)
    assert np.array_equal(whole.organs[:, columns], part.organs)
