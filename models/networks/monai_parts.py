"""What our networks are made of, from MONAI, without what MONAI would load besides.

MONAI imports whatever it finds of the libraries that one or another of its modules can use. For drawing, tables and
scores, which no network here has to do with, that takes twice as long as MONAI itself and 100 MB in each process that
loads a model. As with OpenVINO's telemetry (``models.runtime``), they are forbidden while MONAI is imported: it does
without each of them where it is not installed. Afterwards they can be imported as ever.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NOT_NEEDED: Final = ("matplotlib", "pandas", "scipy.signal", "sklearn", "tensorboardX")
"""Optional for MONAI: for its pictures, its tables, an ultrasound transform, its scores and its event files."""


@contextmanager
def without(names: tuple[str, ...]) -> Iterator[None]:
    """Within it, those of the modules that are not loaded yet cannot be imported."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None is how Python forbids an import
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


with without(NOT_NEEDED):
    from monai.losses.dice import DiceCELoss, DiceLoss
    from monai.networks.blocks.squeeze_and_excitation import ChannelSELayer
    from monai.networks.nets.basic_unet import Down, TwoConv, UpCat
    from monai.networks.nets.efficientnet import EfficientNetBN, MBConvBlock
    from monai.networks.nets.resnet import ResNet, ResNetBottleneck

__all__ = [
    "ChannelSELayer",
    "DiceCELoss",
    "DiceLoss",
    "Down",
    "EfficientNetBN",
    "MBConvBlock",
    "ResNet",
    "ResNetBottleneck",
    "TwoConv",
    "UpCat",
]
