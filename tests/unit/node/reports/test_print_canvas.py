"""The pages on paper."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from node.reports import drawing
from node.reports.drawing import INK, PANEL
from node.reports.print_canvas import Print

needs_ghostscript = pytest.mark.skipif(shutil.which("gs") is None, reason="gs (Ghostscript) is not installed")


def _shown(pdf: bytes, folder: Path) -> np.ndarray:
    """The first page at two pixels a unit of a page of 523 units, as another program draws it."""
    (folder / "page.pdf").write_bytes(pdf)
    options = ["-sDEVICE=pnggray", "-r144", "-dTextAlphaBits=4", "-dGraphicsAlphaBits=4"]
    target = folder / "page.png"
    command = ["gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", *options, f"-sOutputFile={target}"]
    subprocess.run([*command, str(folder / "page.pdf")], check=True, timeout=60)
    return np.asarray(Image.open(target))[72:, 72:]


def test_the_same_drawing_gives_the_same_bytes() -> None:
    """No clock and no chance is in a document."""
    made = []
    for _ in range(2):
        document = Print(523, "A title")
        page = document.page()
        page.text((10, 10), "Müller", 20, bold=True)
        page.rectangle((10, 60, 100, 80), fill=INK)
        made.append(document.finished())
    assert made[0] == made[1]


@needs_ghostscript
def test_shapes_are_where_they_are_on_the_screen_but_dark_on_light(tmp_path: Path) -> None:
    """A rectangle of ink is black on white paper, at its place from the upper left corner."""
    document = Print(523, "A title")
    document.page().rectangle((100, 50, 199, 99), fill=INK)
    shown = _shown(document.finished(), tmp_path)
    assert shown[102:198, 202:398].max() < 30
    assert shown[:98].min() > 225
    assert shown[202:].min() > 225


@needs_ghostscript
def test_a_picture_keeps_its_own_greys(tmp_path: Path) -> None:
    """A CT slice is not turned round: black stays black."""
    document = Print(523, "A title")
    picture = np.zeros((40, 40, 3), dtype=np.uint8)
    picture[:, 20:] = 200
    document.page().picture(picture, (10, 20))
    shown = _shown(document.finished(), tmp_path)
    assert shown[44:116, 24:56].max() < 20
    assert 180 < shown[44:116, 64:96].mean() < 220


@needs_ghostscript
@pytest.mark.parametrize("words", ["Mueller", "محمد"])
def test_words_take_the_room_that_was_measured(tmp_path: Path, words: str) -> None:
    """Text that hangs at its right end stops there, whether it is set or, for joined letters, a picture."""
    if not drawing.drawable(words):
        pytest.skip("no font for this script is installed")
    document = Print(523, "A title")
    document.page().text((300, 100), words, 40, anchor="ra")
    columns = np.flatnonzero((_shown(document.finished(), tmp_path) < 128).any(axis=0)) / 2
    width = drawing.font(40, words).getlength(words)
    assert abs(columns[-1] - 300) < 6
    assert abs((columns[-1] - columns[0]) - width) < 10


@needs_ghostscript
def test_faint_panels_stay_lighter_than_their_text(tmp_path: Path) -> None:
    """What is a dark panel on the screen is a pale one on paper."""
    document = Print(523, "A title")
    page = document.page()
    page.rectangle((0, 0, 200, 60), fill=PANEL)
    page.text((10, 10), "ID", 30)
    shown = _shown(document.finished(), tmp_path)
    assert shown[4:100, 250:390].min() > 220
    assert shown[20:90, 20:80].min() < 60
