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
    "shipped": "models.segmenters.shipped:opened",
}
"""Built with nothing."""

SEGMENTER_KINDS: Final = {
    "monai-bundle": "models.segmenters.monai_bundle:MonaiBundleSegmenter",
    "coarse-to-fine": "models.segmenters.coarse_to_fine:configured",
    "totalsegmentator": "models.segmenters.totalsegmentator:TotalSegmentator",
    "nnunet": "models.segmenters.nnunet:NnUnet",
}
"""What a ``[segmenters.NAME]`` of the settings can be; built with ``(name, settings, threads)``."""


def resolve(entry: str) -> Callable[..., Any]:
    """The class that ``entry`` (``module:Class``) names, imported now."""
    module, _, name = entry.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
