"""The contact sheet: for a person's eye."""

from pathlib import Path

from PIL import Image

from models.phantoms.__main__ import main


def test_the_command_writes_a_picture(tmp_path: Path) -> None:
    """Nine tiles, the last with the lesion outlined."""
    target = tmp_path / "sheet.png"
    assert main(["--seed", "7", "--kind", "gastric", "--thickness-mm", "5", "--png", str(target)]) == 0
    with Image.open(target) as picture:
        assert picture.size == (1200, 1200)
        colours = picture.convert("RGB").crop((800, 800, 1200, 1200)).getcolors(10**6) or []
    assert any(red > blue + 60 for _, (red, _, blue) in colours)  # type: ignore[misc]  # pixels of an RGB picture
