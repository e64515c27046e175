"""The code that a researcher would write for the same two answers: torch as it comes, libraries with their defaults.

Same networks, same weights, same prepared tensors as ours. What it leaves out (the way back to the CT's grid, Dice, the
nomogram) is in its favour.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shap
import torch
from monai.visualize import GradCAM
from torch import Tensor, nn

from models.networks.fusion import MultimodalNetwork
from models.networks.gtrnet import GtrNet

Numbers = npt.NDArray[np.float64]


class StraightforwardGtrnet:
    """Three slices to mean probabilities and Grad-CAM of the class that won."""

    def __init__(self, network: GtrNet) -> None:
        # As it comes from loading: gradients wanted everywhere.
        self._network = network.requires_grad_(requires_grad=True)
        self._cam = GradCAM(nn_module=network, target_layers="layer4")

    def __call__(self, images: Tensor) -> tuple[Numbers, Numbers]:
        """(n, 3, 224, 224) to probabilities (4,) and maps (n, 1, 224, 224)."""
        with torch.no_grad():
            probabilities = torch.softmax(self._network(images), dim=1)
        votes = probabilities.argmax(dim=1).bincount(minlength=probabilities.shape[1])
        maps = self._cam(x=images, class_idx=int(votes.argmax()))
        return probabilities.mean(dim=0).double().numpy(), np.asarray(maps)


class StraightforwardPorcelain:
    """A lesion and clinical columns to the probability, Grad-CAM, and SHAP of the columns and the image's embedding."""

    def __init__(self, network: MultimodalNetwork, embeddings: Tensor, columns: Tensor, stage: int) -> None:
        """``embeddings`` (n, 256) and ``columns`` (n, c) are the background."""
        self._network = network.requires_grad_(requires_grad=True)
        self._cam = GradCAM(nn_module=_WithClasses(network).eval(), target_layers=f"network.image.stages.{stage}")
        self._embeddings, self._columns = embeddings, columns

    def __call__(self, image: Tensor, columns: Tensor) -> tuple[float, Numbers, Numbers]:
        """(1, 1, 100, 100, 30) and (1, c) to the probability, the map and the Shapley values (c + 1,), image last."""
        with torch.no_grad():
            probability = float(torch.sigmoid(self._network(image, columns)))
        saliency = self._cam(x=image, columns=columns)
        return probability, np.asarray(saliency), self._shap(image, columns)

    def _shap(self, image: Tensor, columns: Tensor) -> Numbers:
        """The embedding is one player: a column with the number of the case that the embedding comes from."""
        with torch.no_grad():
            embeddings = torch.cat((self._embeddings, self._network.image(image)))
        cases = len(self._embeddings)
        background = np.column_stack((self._columns.numpy(), np.arange(cases)))

        def model(rows: Numbers) -> Numbers:
            with torch.no_grad():
                chosen = embeddings[torch.from_numpy(rows[:, -1].astype(np.int64))]
                return self._network.head(chosen, torch.from_numpy(rows[:, :-1]).float()).double().numpy()

        explainer = shap.PermutationExplainer(model, background)
        return np.asarray(explainer(np.column_stack((columns.numpy(), [[cases]]))).values[0])


class _WithClasses(nn.Module):
    """MONAI's Grad-CAM wants an output (n, classes)."""

    def __init__(self, network: MultimodalNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, columns: Tensor) -> Tensor:
        """(n, 1)."""
        return self.network(image, columns)[:, None]


def by_variable(values: Numbers, groups: Sequence[Sequence[int]]) -> Numbers:
    """Shapley values of columns as those of variables: the sum over each variable's columns."""
    return np.array([values[list(columns)].sum() for columns in groups])
