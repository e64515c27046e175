"""Pictures of what was received: in order, square, and none where there is none."""

from io import BytesIO

import pytest
from PIL import Image

from node.domain.reporting import ObjectKind
from node.errors import Fatal
from node.web.pictures import WINDOWS, NoPicture, Pictures
from tests import factories
from tests.fakes import HereDecoder
from tests.page import PageUnderTest, receive

ABDOMEN = WINDOWS["abdomen"]


def pictures(page: PageUnderTest) -> Pictures:
    """Of a page, nothing drawn yet."""
    return Pictures(page.stores, HereDecoder())


def test_windows_are_those_that_readers_know() -> None:
    """Width 350 and level 50; and 40 to 350 HU."""
    assert ABDOMEN.words == "W 350 L 50"
    assert (WINDOWS["model"].low_hu, WINDOWS["model"].high_hu) == (40.0, 350.0)


def test_slices_are_in_the_order_in_which_they_lie(page: PageUnderTest) -> None:
    """Whatever the order in which they came; with the directions of the patient."""
    uid = receive(page, list(reversed(factories.ct_slices(5))))
    stack = pictures(page).stack(uid, None)
    heights = [stack.height_mm(number) for number in range(5)]
    assert heights == sorted(heights)  # type: ignore[type-var]  # they all say
    assert stack.edges == ("R", "L", "A", "P")
    with pytest.raises(NoPicture):
        pictures(page).stack("2.25.1", None)


def test_pixels_that_are_higher_than_wide_are_shown_so(page: PageUnderTest) -> None:
    """Twice as high: a picture twice as high."""
    uid = receive(page, factories.ct_slices(2, PixelSpacing=[1.6, 0.8]))
    made = pictures(page)
    picture = Image.open(BytesIO(made.slice(made.stack(uid, None).instances[0], ABDOMEN)))
    assert picture.size == (20, 32)


def test_what_cannot_be_decoded_has_no_picture(page: PageUnderTest) -> None:
    """And the page goes on."""
    uid = receive(page, factories.ct_slices(2, PixelData=b"\x00\x00"))
    made = pictures(page)
    with pytest.raises(NoPicture):
        made.slice(made.stack(uid, None).instances[0], ABDOMEN)


def test_a_decoder_that_cannot_be_had_is_no_missing_picture(
    page: PageUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ours, and is told as an error: not every slice of every case without a word."""
    uid = receive(page, factories.ct_slices(2))
    made = pictures(page)
    instance = made.stack(uid, None).instances[0]

    def fail(_: object) -> None:
        raise Fatal("the decoder cannot be started")

    monkeypatch.setattr(HereDecoder, "read_hounsfield", staticmethod(fail))
    with pytest.raises(Fatal):
        made.slice(instance, ABDOMEN)


def test_a_picture_is_drawn_once(page: PageUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time it is there; and memory has an end."""
    uid = receive(page, factories.ct_slices(3))
    made = pictures(page)
    instances = made.stack(uid, None).instances
    first = made.slice(instances[0], ABDOMEN)
    monkeypatch.setattr(made, "_decoder", None)
    assert made.slice(instances[0], ABDOMEN) is first
    monkeypatch.setattr("node.web.pictures._MOST_BYTES", 0)
    monkeypatch.setattr(made, "_decoder", HereDecoder())
    made.slice(instances[1], ABDOMEN)
    assert made._kept == {}
    assert made._bytes == 0


def test_a_series_that_is_still_received_has_more_slices_the_next_time(page: PageUnderTest) -> None:
    """Whoever looked early does not keep what was there then."""
    slices = factories.ct_slices(5)
    made = pictures(page)
    for count in (3, 5):
        for dataset in slices[:count]:
            page.stores.inbox.accept(factories.received(dataset))
        assert len(made.stack(str(slices[0].SeriesInstanceUID), None).instances) == count


def test_slices_are_those_that_were_asked_for(page: PageUnderTest) -> None:
    """Two analyses of one series may have taken as many, and others."""
    uid = receive(page, factories.ct_slices(4))
    made = pictures(page)
    uids = [one.uid for one in made.stack(uid, None).instances]
    for wanted in (uids[:2], uids[2:]):
        assert [one.uid for one in made.stack(uid, wanted).instances] == wanted


def test_a_region_shows_as_soon_as_there_is_one(full: PageUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also to whoever looked while the case was being analysed."""
    made, job = pictures(full), full.jobs["analysed"]
    with monkeypatch.context() as early:
        early.setattr(type(full.stores.results), "of", lambda *_: ())
        assert not made.shown_on(job, ObjectKind.SEGMENTATION)
    assert made.shown_on(job, ObjectKind.SEGMENTATION)
