"""The frame of the pages."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from node.domain.reporting import Report
from node.reports import drawing, page
from node.reports.evidence import gather
from tests.unit.node.reports.factory import CtSpec

MakeReport = Callable[..., Report]


@pytest.mark.parametrize(
    ("characters", "name", "shown"),
    [
        ("ISO_IR 100", b"Mueller^Joerg", "Mueller, Joerg"),
        ("ISO_IR 100", "Müller^Jörg".encode("latin-1"), page.NAME_NOT_DRAWABLE),
        ("ISO_IR 192", "王^小东".encode(), page.NAME_NOT_DRAWABLE),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东".encode(), "Wang, XiaoDong"),
        (None, b"\xcd\xf5^\xd0\xa1", page.NAME_NOT_DRAWABLE),
        ("ISO_IR 100", b"", "(no name)"),
    ],
)
def test_a_name_is_drawn_right_or_said_to_be_undrawable(
    make_report: MakeReport,
    monkeypatch: pytest.MonkeyPatch,
    characters: str | None,
    name: bytes,
    shown: str,
) -> None:
    """A name never becomes boxes: without fonts for it, the Latin group stands in, or the page says so."""
    monkeypatch.setattr(drawing, "FALLBACK_FONTS", ())
    evidence = gather(make_report(None, CtSpec(character_set=characters, name=name)), [0])
    assert page.patient_name(evidence) == shown


def test_the_sides_of_a_supine_patient(make_report: MakeReport) -> None:
    """The patient's right is at the left of the picture, the front is up."""
    assert page.directions(make_report()) == ("R", "L", "A", "P")


def test_the_sides_follow_the_geometry(make_report: MakeReport) -> None:
    """A patient who was scanned prone is not shown with supine letters."""
    report = make_report()
    turned = replace(report.volume.geometry, direction=((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)))
    assert page.directions(replace(report, volume=replace(report.volume, geometry=turned))) == ("L", "R", "P", "A")


def test_a_slice_is_named_so_that_it_is_found_again(make_report: MakeReport) -> None:
    """Number from one, total and position in millimetres."""
    assert page.place(make_report(), 2) == "Slice 3 of 6, z = 106.0 mm"


def test_a_long_disclaimer_is_not_cut(make_report: MakeReport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disclaimer that is too long for one line is set in two, to its last word."""
    drawn: list[str] = []
    monkeypatch.setattr(drawing.Canvas, "text", lambda _self, _at, words, *_args, **_options: drawn.append(words))
    report = make_report()
    text = "trained on 240 synthetic phantoms only, has never seen a patient; every number is meaningless for people"
    algorithm = replace(report.prediction.algorithm, disclaimer=text)
    report = replace(report, prediction=replace(report.prediction, algorithm=algorithm))
    page.frame(drawing.Canvas(page.SIDE, page.SIDE), report, gather(report, [0]))
    assert text in " ".join(drawn)


def test_the_warning_band_is_the_brightest_part(make_report: MakeReport) -> None:
    """The warning is dark on light while the page is light on dark, on any monitor."""
    report = make_report()
    canvas = drawing.Canvas(page.SIDE, page.SIDE)
    page.frame(canvas, report, gather(report, [0]))
    pixels = canvas.pixels
    band = pixels[page.HEADER_BOTTOM + 2 : page.BAND_BOTTOM - 1]
    assert band.mean() > 4 * pixels[page.BAND_BOTTOM + 2 :].mean()


@pytest.mark.skipif(not drawing.drawable("王小东"), reason="no font with Chinese is installed")
def test_a_name_stands_in_every_script_that_it_has(make_report: MakeReport, words: list[str]) -> None:
    """The alphabetic group first, then the ideographs as they are written, family name first and nothing between."""
    name = "Wang^XiaoDong=王^小东".encode()
    evidence = gather(make_report(None, CtSpec(character_set="ISO_IR 192", name=name)), [0])
    page.header(drawing.Canvas(page.SIDE, page.SIDE), evidence)
    assert words[:2] == ["Wang, XiaoDong", "王小东"]
