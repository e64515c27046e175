"""The segmenter that comes with Celadon: the bundle in ``models/bundles/segmenter``, with the digest recorded there."""

from typing import Final

from models.bundle import shipped
from models.bundle_store import shipped_digests
from models.segmenters.coarse_to_fine import CoarseToFineSegmenter
from node.domain.reasons import BundleFault
from node.errors import BundleError

NAME: Final = "shipped"
"""As ``segmenter.<organ>`` calls it."""
BUNDLE: Final = "segmenter"


def opened() -> CoarseToFineSegmenter:
    """It, loaded. Raises BundleError when its bytes are not those that were recorded."""
    path, digest = shipped(BUNDLE), shipped_digests().get(BUNDLE)
    if digest is None:
        raise BundleError(f"{path}: has no recorded digest", BundleFault.BUNDLE_UNRECORDED)
    return CoarseToFineSegmenter(NAME, path, digest)
