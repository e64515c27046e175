"""What can be plugged in on the learning side: name to ``module:Class``. Importing this loads no model library."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

PREDICTORS: Final = {
    "porcelain": "models.predictors.porcelain:Porcelain",
    "gtrnet": "models.predictors.gtrnet:Gtrnet",
}
"""Built with ``(bundle, device, cache)``."""

SEGMENTERS: Final = {
    "dicom-seg": "models.segmenters.dicom_seg:ArchiveSegmenter",
}
"""Built with nothing."""


def resolve(entry: str) -> Callable[..., Any]:
    """The class that ``entry`` (``module:Class``) names, imported now."""
    module, _, name = entry.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
