"""Drawing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from node.reports import drawing
from node.reports.drawing import INK, OUTLINE, Canvas


def _luminance(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(rgb, dtype=float) @ [0.299, 0.587, 0.114]


def test_the_window_is_the_portal_venous_abdominal_one() -> None:
    """-135 HU is black, 215 HU is white, 40 HU is the middle."""
    grey = drawing.windowed(np.array([[-200.0, -135.0, 40.0, 215.0, 900.0]], dtype=np.float32))
    assert grey[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_the_saliency_ramp_grows_lighter_all_the_way() -> None:
    """On a greyscale monitor more evidence is lighter, so nothing rests on hue."""
    lightness = _luminance(drawing.ramp(np.linspace(0, 1, 50, dtype=np.float32)))
    assert (np.diff(lightness) > 0).all()


def test_no_saliency_leaves_the_ct_as_it_is() -> None:
    """Where the map is zero, the picture is the CT."""
    rgb = np.full((4, 4, 3), 77, dtype=np.uint8)
    assert np.array_equal(drawing.blended(rgb, np.zeros((4, 4), dtype=np.float32)), rgb)


def test_the_outline_surrounds_the_region_and_leaves_it_free() -> None:
    """The edge lies just outside the region at the right place; no pixel of the region is covered."""
    mask = np.zeros((64, 80), dtype=bool)
    mask[16:32, 20:40] = True
    view = drawing.whole((64, 80), (1.0, 1.0), 320, 256)
    picture = Image.new("RGB", (view.width, view.height), (50, 50, 50))
    drawing.outline(picture, mask, view)
    pixels = np.asarray(picture)
    edge = (pixels == OUTLINE).all(axis=2)
    rows, columns = np.nonzero(edge)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (62, 129, 78, 161)
    assert (pixels[64:128, 80:160] == 50).all()


def test_an_outline_that_touches_the_border_is_drawn() -> None:
    """A region at the edge of the picture does not wrap around to the other side."""
    mask = np.zeros((10, 10), dtype=bool)
    mask[0:3, 0:3] = True
    view = drawing.whole((10, 10), (1.0, 1.0), 100, 100)
    picture = Image.new("RGB", (100, 100))
    drawing.outline(picture, mask, view)
    assert not (np.asarray(picture)[40:] == OUTLINE).all(axis=2).any()


def test_the_whole_slice_keeps_its_physical_proportions() -> None:
    """Pixels that are taller than wide make a taller picture."""
    view = drawing.whole((100, 100), (2.0, 1.0), 400, 400)
    assert (view.width, view.height) == (200, 400)
    assert view.to_view(0, 0) == pytest.approx((1.0, 2.0))


@pytest.mark.parametrize("corner", [(0, 0), (90, 90), (40, 50)])
def test_a_close_up_stays_inside_the_slice(corner: tuple[int, int]) -> None:
    """A lesion near the border is enlarged without leaving the image."""
    mask = np.zeros((100, 100), dtype=bool)
    mask[corner[0] : corner[0] + 8, corner[1] : corner[1] + 8] = True
    view = drawing.around(mask, (1.0, 1.0), 300, 60.0)
    assert 0 <= view.left < view.right <= 100
    assert 0 <= view.top < view.bottom <= 100
    assert view.right - view.left == pytest.approx(60)


def test_a_close_up_of_nothing_is_the_middle() -> None:
    """A slice without the region still has a close-up."""
    view = drawing.around(np.zeros((100, 100), dtype=bool), (1.0, 1.0), 300, 60.0)
    assert (view.left + view.right) / 2 == pytest.approx(50.5)


def test_what_no_font_can_draw_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without further fonts only ASCII can be drawn; the rest is told apart instead of becoming boxes."""
    monkeypatch.setattr(drawing, "FALLBACK_FONTS", ("/nowhere/font.ttf",))
    assert drawing.drawable("Mueller, Joerg")
    assert not drawing.drawable("Müller")
    assert not drawing.drawable("王小东")
    assert not drawing.drawable("bad\ufffd")


def test_a_text_that_cannot_be_drawn_has_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label in another script keeps what can be read of it."""
    monkeypatch.setattr(drawing, "FALLBACK_FONTS", ())
    assert drawing.without_boxes("胰腺 head") == "?? head"


def test_scripts_that_need_shaping_are_not_drawn_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Raqm a right-to-left name would be drawn backwards with any font, so it is not drawn."""
    monkeypatch.setattr(drawing, "can_shape", lambda: False)
    assert not drawing.drawable("שלום")
    assert not drawing.drawable("محمد")


@pytest.mark.skipif(not drawing.can_shape(), reason="Pillow has no Raqm with FriBidi here")
@pytest.mark.skipif(
    not any(Path(path).exists() for path in drawing.FALLBACK_FONTS if "DejaVu" in path),
    reason="no DejaVu Sans is installed",
)
def test_arabic_is_joined_and_runs_from_right_to_left() -> None:
    """Letters take the forms that they have within a word, and the first of them stands on the right."""
    assert drawing.drawable("محمد")
    font = drawing.font(40, "بببب")
    assert font.getlength("بببب") < 0.9 * 4 * font.getlength("ب")
    canvas = drawing.Canvas(200, 60)
    canvas.text((10, 5), "مــــا", 40)  # a wide letter first, an upright stroke last
    inked = np.flatnonzero((canvas.pixels[..., 0] > 128).any(axis=0))
    heights = (canvas.pixels[..., 0] > 128).sum(axis=0)
    assert heights[inked[0] : inked[0] + 6].max() > heights[inked[-1] - 6 : inked[-1]].max()


@pytest.mark.skipif(
    not any(Path(path).exists() for path in drawing.FALLBACK_FONTS if "DejaVu" in path),
    reason="no DejaVu Sans is installed",
)
def test_accents_are_drawn_with_an_installed_font() -> None:
    """A name with accents is set in a font that has them."""
    assert drawing.drawable("Müller, Jörg")
    assert drawing.font(20, "Müller").getname()[0] == "DejaVu Sans"


def test_text_is_shortened_and_wrapped_to_its_room() -> None:
    """No text runs out of its panel."""
    words = "a rather long sentence that has to be broken somewhere"
    assert drawing.font(18).getlength(drawing.shortened(words, 18, 100)) <= 100
    assert all(drawing.font(18).getlength(line) <= 150 for line in drawing.wrapped(words, 18, 150))


def test_a_paragraph_stays_in_its_box() -> None:
    """Text that is too long for its box ends in an ellipsis, not on top of what is below."""
    canvas = Canvas(200, 200)
    assert canvas.paragraph((0, 0, 100, 60), "word " * 200, 18, INK) <= 60
    assert not canvas.pixels[62:].any() or (canvas.pixels[62:] == drawing.PAPER).all()


def test_the_body_fills_the_picture() -> None:
    """Air around the patient and a thin table under it are left out; the proportions are kept."""
    hu = np.full((200, 200), -1000.0, dtype=np.float32)
    hu[60:140, 40:160] = 40.0
    hu[180:182, 90:100] = 300.0
    view = drawing.around_body(hu, (1.0, 1.0), 400)
    assert (view.left, view.top, view.right, view.bottom) == (28, 48, 172, 152)
    assert (view.width, view.height) == (400, round(400 * 104 / 144))


def test_a_slice_of_air_is_shown_whole() -> None:
    """Where no body is found nothing is cut away."""
    view = drawing.around_body(np.full((50, 60), -1000.0, dtype=np.float32), (1.0, 1.0), 120)
    assert (view.left, view.top, view.right, view.bottom) == (0, 0, 60, 50)
