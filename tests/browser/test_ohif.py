"""What a radiologist sees in OHIF: every kind of object, the notice, and a withdrawal; and no error on any page."""

import re
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PATIENCE_MS, Hospital, picture

pytestmark = [pytest.mark.timeout(600)]

_THUMBNAILS = '[data-cy^="study-browser-thumbnail"]'
_VIEWPORT = '[data-cy="viewport-grid"]'
_TO_SLICE = """async (z) => {
  const [one] = window.cornerstone.getEnabledElements();
  if (!one || one.viewport.getImageIds().length === 0) return 1e9;
  const heights = one.viewport.getImageIds().map(
    (id) => window.cornerstone.metaData.get('imagePlaneModule', id).imagePositionPatient[2]);
  const wanted = heights.reduce((best, height, k) => Math.abs(height - z) < Math.abs(heights[best] - z) ? k : best, 0);
  const now = () => window.cornerstone.metaData.get(
    'imagePlaneModule', one.viewport.getCurrentImageId()).imagePositionPatient[2];
  for (const imageIndex of [wanted, heights.length - 1 - wanted]) {
    await window.cornerstone.utilities.jumpToSlice(one.viewport.element, { imageIndex });
    if (Math.abs(now() - z) < 0.5) break;
  }
  return Math.abs(now() - z);
}"""
_PLACE = """(point) => {
  const [one] = window.cornerstone.getEnabledElements();
  const box = one.viewport.canvas.getBoundingClientRect();
  const [x, y] = one.viewport.worldToCanvas(point);
  return [box.left + x, box.top + y];
}"""
_DRAWN = """window.cornerstone && window.cornerstone.getEnabledElements().some(
  (one) => one.viewport.viewportStatus === 'rendered')"""
_SHOWN = """() => window.cornerstone.getEnabledElements().map(({ viewport }) => {
  const [image] = viewport.getImageIds();
  const series = image && window.cornerstone.metaData.get('generalSeriesModule', image);
  return `${viewport.type} ${viewport.viewportStatus} of series ${series && series.seriesNumber}`;
})"""
_AGAIN_S = 30
_COLOURED = 25  # levels between the strongest and the weakest channel: CT alone is grey


def _open(page: Page, hospital: Hospital, study: str) -> None:
    uid = hospital.studies[study].case.study_uid
    page.goto(f"{hospital.ohif_url}/viewer?StudyInstanceUIDs={uid}")
    page.wait_for_selector(_THUMBNAILS)
    # What is asked for while the first image is on its way can be lost: its viewport gives way before it has drawn.
    page.wait_for_function(_DRAWN)


def _thumbnail(page: Page, words: str) -> Locator:
    return page.locator(_THUMBNAILS).filter(has_text=words).first


def _show(page: Page, words: str) -> None:
    _thumbnail(page, words).dblclick()


def _pixels(page: Page) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(page.screenshot())).convert("RGB"), dtype=int)


def _until(page: Page, condition: Callable[[], bool], what: str, again: Callable[[], object] | None = None) -> None:
    """Wait for pixels: nothing on the page says that they are drawn.

    ``again`` is done every 30 s: a click is lost while the viewer still fills its list, and a person begins once more.
    """
    begun = tried = time.monotonic()
    while not condition():
        now = time.monotonic()
        if now > begun + PATIENCE_MS / 1000:
            pytest.fail(f"not within {PATIENCE_MS / 1000:g} s: {what}; shown: {page.evaluate(_SHOWN)}")
        if again is not None and now > tried + _AGAIN_S:
            again()
            tried = time.monotonic()
        time.sleep(0.3)


def _colour_at(page: Page, point: tuple[float, ...]) -> float:
    """How far the picture is from grey in the 7 x 7 pixels around a point of the patient, in LPS mm."""
    x, y = page.evaluate(_PLACE, list(point))
    patch = _pixels(page)[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4]
    return float(np.median(patch.max(axis=2) - patch.min(axis=2)))


def _is_coloured(page: Page, point: tuple[float, ...]) -> bool:
    """Whether the picture has a colour there, in that slice: a viewer that loads an overlay goes to another slice."""
    return bool(page.evaluate(_TO_SLICE, point[2]) < 0.5) and _colour_at(page, point) > _COLOURED


def _points(hospital: Hospital) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A point in the middle of the region's largest slice, and one far from it in the same slice, in LPS mm."""
    report = hospital.studies["result"].report
    k = report.roi.largest_slice
    ys, xs = np.nonzero(report.roi.mask[k])
    nearest = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    index = np.array([[xs[nearest], ys[nearest], k], [xs[nearest] - 90, ys[nearest], k]], dtype=float)
    inside, outside = report.volume.geometry.to_lps_mm(index)
    return tuple(map(float, inside)), tuple(map(float, outside))


def test_the_structured_report_shows_its_numbers(page: Page, hospital: Hospital) -> None:
    """The text tree has the names, the numbers and the limits."""
    _open(page, hospital, "result")
    _show(page, "AI NTR: report")
    expect(page.get_by_text("Probability of high NTR").first).to_be_visible()
    text = page.locator("body").inner_text()
    assert re.search(r"73\.4", text)
    assert "NOT FOR CLINICAL USE" in text
    picture(page, "ohif-report")
    _show(page, "AI NTR: text report")
    expect(page.get_by_text("Probability of high NTR").first).to_be_visible()


def test_the_segmentation_lies_on_the_lesion(page: Page, hospital: Hospital) -> None:
    """The overlay colours the middle of the region and leaves what is far from it grey."""
    inside, outside = _points(hospital)
    _open(page, hospital, "result")
    _show(page, "AI NTR: region")
    page.get_by_text("Yes", exact=True).click()
    _until(page, lambda: _is_coloured(page, inside), "the overlay is over the middle of the region")
    assert _colour_at(page, outside) < _COLOURED
    picture(page, "ohif-segmentation")


def test_the_map_is_in_colours(page: Page, hospital: Hospital) -> None:
    """The evidence map lies over the CT in colours at the middle of the region, and what is far from it stays grey."""
    inside, outside = _points(hospital)
    _open(page, hospital, "result")
    _show(page, "AI NTR: map")
    _until(page, lambda: _is_coloured(page, inside), "the map is over the middle of the region")
    assert _colour_at(page, outside) < _COLOURED
    picture(page, "ohif-map")


def _shows_a_page(page: Page) -> bool:
    """Whether the yellow band of our pages is on the screen, much wider than on a thumbnail."""
    red, green, blue = np.moveaxis(_pixels(page)[:, 300:], 2, 0)
    band = (abs(red - 250) < 12) & (abs(green - 210) < 12) & (abs(blue - 90) < 20)
    return bool(band.sum() > 5000)


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ("result", "AI NTR: summary"),
        ("result", "AI NTR: key images"),
        ("notice", "AI notice: not analysed"),
        ("withdrawn", "AI notice: WITHDRAWN"),
    ],
)
def test_a_page_is_shown(page: Page, hospital: Hospital, study: str, words: str) -> None:
    """The pages are pictures like any other."""

    def ask() -> None:
        _open(page, hospital, study)
        _show(page, words)

    ask()
    _until(page, lambda: _shows_a_page(page), "the page is on the screen", again=ask)
    picture(page, f"ohif-{study}-{words.rsplit(maxsplit=1)[-1].lower()}")


def test_a_withdrawal_is_told_in_words_beside_what_is_still_there(page: Page, hospital: Hospital) -> None:
    """The notice's document reads as withdrawn. Orthanc ignores the rejection note: what it names is still listed."""
    _open(page, hospital, "withdrawn")
    page.locator(_THUMBNAILS).filter(has_text="AI notice: WITHDRAWN").filter(has_text="SR").first.dblclick()
    expect(page.get_by_text("AI RESULT WITHDRAWN", exact=False).first).to_be_visible()
    assert _thumbnail(page, "AI cT: summary").count() == 1
    assert page.locator(_THUMBNAILS).filter(has_text="AI rejection note").count() == 1
    picture(page, "ohif-withdrawn-report")
