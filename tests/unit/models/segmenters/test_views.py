"""An image in several views, and what is said of it averaged."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.fields import Fields
from models.segmenters import views
from models.segmenters.views import PLAIN, View, averaged
from node.errors import BundleError

Image = npt.NDArray[np.float32]
WINDOW = (16, 16, 16)


def disc(rows: int, columns: int, row: float, column: float, radius: float) -> Image:
    """Bright, with an edge of one voxel; the distance from the middle of the plane."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    far = np.hypot(y - (rows - 1) / 2 - row, x - (columns - 1) / 2 - column)
    return np.clip(radius + 0.5 - far, 0.0, 1.0).astype(np.float32)[None].repeat(3, axis=0)


def middle(image: Image) -> npt.NDArray[np.float64]:
    """Row and column of what is bright on the first plane, from the plane's middle."""
    rows, columns = image.shape[1:]
    y, x = np.mgrid[:rows, :columns]
    weight = image[0] / image[0].sum()
    return np.array([(weight * y).sum() - (rows - 1) / 2, (weight * x).sum() - (columns - 1) / 2])


def itself(window: Image) -> Image:
    """Two classes whose probabilities follow from the voxel alone."""
    return np.stack([window, 1.0 - window])


def test_the_plain_view_changes_nothing() -> None:
    """Not by a bit: a bundle that names no views is asked as before there were any."""
    image = np.random.default_rng(0).random((20, 17, 30), dtype=np.float32)
    assert PLAIN.of(image) is image
    assert np.array_equal(
        averaged(image, (PLAIN,), WINDOW, itself)[0], averaged(image, (PLAIN, PLAIN), WINDOW, itself)[0]
    )
    assert np.allclose(averaged(image, (PLAIN,), WINDOW, itself)[0], image, atol=1e-6)


def test_a_view_turns_about_the_middle_and_scales() -> None:
    """By as much as it says: a quarter of a right angle and half as large again, the place follows."""
    seen = View(22.5, 1.5).of(disc(41, 61, 8.0, -12.0, 4.0))
    assert seen.shape == (3, 62, 92)
    angle = np.radians(22.5)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert middle(seen) == pytest.approx(1.5 * turn @ [8.0, -12.0], abs=0.1)
    assert seen[0].sum() == pytest.approx(1.5**2 * np.pi * 4.5**2, rel=0.25)


@pytest.mark.parametrize("view", [View(7.0, 1.08), View(-12.0), View(0.0, 0.85), View(45.0, 2.0)])
def test_what_a_view_says_comes_back_to_where_it_is(view: View) -> None:
    """To a tenth of a voxel, and in the image's own size: results lie on what they are of."""
    image = disc(41, 60, 6.0, 9.0, 5.0)
    back = view.back(itself(view.of(image)), 41, 60)
    assert back.shape == (2, *image.shape)
    assert middle(back[0]) == pytest.approx([6.0, 9.0], abs=0.1)
    said, true = back[0] >= 0.5, image >= 0.5
    assert 2.0 * (said & true).sum() / (said.sum() + true.sum()) > 0.96
    assert np.allclose(back.sum(axis=0), 1.0, atol=1e-5)


def test_the_mean_of_all_views_counts() -> None:
    """Each as much, whatever its size; probabilities stay probabilities."""
    image = np.random.default_rng(1).random((20, 40, 24), dtype=np.float32)
    asked = (PLAIN, View(10.0, 1.1), View(-10.0, 0.9))
    alone = [averaged(image, (view,), WINDOW, itself) for view in asked]
    together = averaged(image, asked, WINDOW, itself)
    assert np.allclose(together, np.mean(alone, axis=0), atol=1e-6)
    assert np.allclose(together.sum(axis=0), 1.0, atol=1e-5)


def test_views_average_out_what_depends_on_how_the_image_lies() -> None:
    """A network that errs at every place otherwise, says in several views more nearly what is there."""
    image = np.full((16, 48, 48), 0.5, np.float32)
    grain = np.random.default_rng(2).normal(0.0, 0.3, WINDOW).astype(np.float32)

    def erring(window: Image) -> Image:
        return itself(window + grain)

    def off(asked: tuple[View, ...]) -> float:
        return float(np.abs(averaged(image, asked, WINDOW, erring)[0] - image).mean())

    assert off((PLAIN, View(7.0), View(-7.0), View(4.0, 1.1))) < 0.8 * off((PLAIN,))


def test_an_image_without_a_voxel_is_an_error() -> None:
    """As of the windows."""
    with pytest.raises(ValueError, match="without a voxel"):
        averaged(np.zeros((0, 4, 4), np.float32), (PLAIN,), WINDOW, itself)


def fields(asked: object) -> Fields:
    """A bundle's, with views."""
    return Fields(Path("metadata.json"), {"views": asked})


def test_a_bundle_that_names_no_views_has_the_plain_one() -> None:
    """As all had before."""
    assert views.read(fields(None), "views") == (PLAIN,)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "0 views"),
        ([{"degrees": 1.0, "scale": 1.0}] * 17, "17 views"),
        ([{"degrees": 90.0, "scale": 1.0}], "degrees"),
        ([{"degrees": 0.0, "scale": 0.0}], "scale"),
        ([{"degrees": 0.0, "scale": 1e9}], "scale"),
        ([{"degrees": 0.0}], "scale"),
        (["plain"], "object"),
    ],
)
def test_views_that_cannot_be_or_cost_too_much_are_refused(asked: object, told: str) -> None:
    """When the bundle is loaded: a scale of a billion would take all memory in the middle of a patient."""
    with pytest.raises(BundleError, match=told):
        views.read(fields(asked), "views")
