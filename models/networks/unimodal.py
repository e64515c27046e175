"""PORCELAIN's networks without a clinical branch: the image embedding and one linear layer.

Source: PORCELAIN, results, "Development and validation of AI models": Cuboid, ROI, ROIex-3mm and ROIex-5mm. The paper
leaves their last layer open; one unit on the embedding of eq. 2 is the smallest that gives eq. 8 its probability.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from models.networks import en_pct
from models.networks.initial import Network


class UnimodalNetwork(Network):
    """An image box to one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.image = en_pct.EnPct()
        self.out = nn.Linear(en_pct.EMBEDDING, 1)

    def examples(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Boxes as lesions are."""
        return (en_pct.examples(generator),)

    def residual_norms(self) -> Iterator[nn.BatchNorm3d]:
        """The last BatchNorm of each residual branch of the encoder."""
        return self.image.residual_norms()

    def head(self, embedding: Tensor) -> Tensor:
        """From the image embedding z_img (n, 256) to the logit (n,)."""
        logit: Tensor = self.out(embedding)
        return logit.squeeze(1)

    def tail(self, features: Tensor) -> Tensor:
        """From the image map (n, 112, 7, 7, 2) to the logit (n,)."""
        return self.head(self.image.tail(features))

    def forward(self, image: Tensor) -> Tensor:
        """(n, 1, 100, 100, 30) to (n,)."""
        return self.tail(self.image.trunk(image))
