"""The fusion of PORCELAIN and the multimodal network that it completes.

Source: PORCELAIN, methods, "Multi-modal feature fusion and classification", eq. 4 to 7.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from models.networks import en_pct, tabnet
from models.networks.initial import Network

ALIGNED: Final = 128
DROPOUT: Final = 0.5


class Fusion(nn.Module):
    """z_cli (n, 128) and z_img (n, 256) to one logit (n,)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_clinical = nn.BatchNorm1d(tabnet.EMBEDDING)
        self.norm_image = nn.BatchNorm1d(en_pct.EMBEDDING)
        self.project_image = nn.Linear(en_pct.EMBEDDING, ALIGNED)
        self.hidden = nn.Linear(tabnet.EMBEDDING + ALIGNED, ALIGNED)
        self.norm_hidden = nn.BatchNorm1d(ALIGNED)
        self.dropout = nn.Dropout(DROPOUT)
        self.out = nn.Linear(ALIGNED, 1)

    def forward(self, clinical: Tensor, image: Tensor) -> Tensor:
        """The logit; its sigmoid is the probability of a high NTR."""
        aligned_clinical = self.norm_clinical(clinical)  # eq. 4
        aligned_image = self.project_image(self.norm_image(image))  # eq. 5
        fused = torch.cat((aligned_clinical, aligned_image), dim=1)  # eq. 6
        hidden = self.dropout(self.norm_hidden(torch.relu(self.hidden(fused))))  # eq. 7
        logit: Tensor = self.out(hidden)
        return logit.squeeze(1)


class MultimodalNetwork(Network):
    """PORCELAIN's multimodal network: an image box and clinical columns to one logit.

    ``groups`` gives the number of clinical columns of each variable, in order.
    """

    def __init__(self, groups: Sequence[int]) -> None:
        super().__init__()
        self.image = en_pct.EnPct()
        self.clinical = tabnet.ClinicalEncoder(groups)
        self.fusion = Fusion()
        self.columns = sum(groups)

    def examples(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Boxes as lesions are, and standard normal columns."""
        image = en_pct.examples(generator)
        return image, torch.randn(len(image), self.columns, generator=generator)

    def residual_norms(self) -> Iterator[nn.BatchNorm3d]:
        """The last BatchNorm of each residual branch of the encoder."""
        return self.image.residual_norms()

    def head(self, embedding: Tensor, columns: Tensor) -> Tensor:
        """From the image embedding z_img (n, 256) and the columns (n, c) to the logit (n,)."""
        logit: Tensor = self.fusion(self.clinical(columns), embedding)
        return logit

    def tail(self, features: Tensor, columns: Tensor) -> Tensor:
        """From the image map (n, 112, 7, 7, 2) and the columns (n, c) to the logit (n,)."""
        return self.head(self.image.tail(features), columns)

    def forward(self, image: Tensor, columns: Tensor) -> Tensor:
        """(n, 1, 100, 100, 30) and (n, c) to (n,)."""
        return self.tail(self.image.trunk(image), columns)
