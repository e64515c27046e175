"""A contact sheet of a phantom: axial slices in an abdominal window, for a person's eye."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from models.phantoms.render import Box, Renderer, key_planes
from models.phantoms.spec import Kind, PhantomSpec

_TILE_PX: Final = 400
_OUTLINE: Final = (255, 190, 0)
_Picture = npt.NDArray[np.uint8]


def contact_sheet(spec: PhantomSpec, tiles: int = 9, columns: int = 3, *, outline: bool = True) -> Image.Image:
    """Slices from the top of the study down; of a study with a lesion, the last tile is its key slice, outlined."""
    slices = [int(k) for k in np.linspace(spec.grid.slices - 4, 3, tiles)]
    if spec.kind is not Kind.NORMAL:
        slices[-1] = sum(key_planes(spec, neighbours=0).slices) // 2
    renderer = Renderer(spec)
    sheet = Image.new("RGB", (columns * _TILE_PX, -(-tiles // columns) * _TILE_PX))
    for k, index in enumerate(slices):
        phantom = renderer.render(Box((index, index + 1)))
        picture = _coloured(phantom.window()[0], phantom.lesions[0], outline=outline)
        tile = Image.fromarray(picture).resize((_TILE_PX, _TILE_PX), Image.Resampling.BILINEAR)
        ImageDraw.Draw(tile).text((6, 4), f"{index + 1}/{spec.grid.slices}", fill=_OUTLINE)
        sheet.paste(tile, ((k % columns) * _TILE_PX, (k // columns) * _TILE_PX))
    return sheet


def save(spec: PhantomSpec, path: Path) -> None:
    """Write the sheet as PNG."""
    contact_sheet(spec).save(path, format="PNG")


def _coloured(grey: _Picture, lesions: _Picture, *, outline: bool) -> _Picture:
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    if outline:
        inside = lesions > 0
        core = inside.copy()
        core[1:-1, 1:-1] &= inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        picture[inside & ~core] = _OUTLINE
    return picture
