"""SHAP: how far each clinical variable, and the image as a whole, moved the logit away from what is usual.

Source: Lundberg & Lee 2017; PORCELAIN, results and figure 4, where the "DL_Signature" stands beside the clinical
variables. The values are interventional: "without" a player means with its value in a background row, averaged over
the rows. A player is a variable (the columns of a one-hot code go together) or the whole image embedding (eq. 2). They
are estimated over orders in which the players join. Each background row has orders of its own, so that their errors
cancel out, and each order comes with its reverse (antithetic sampling, Mitchell et al. 2022). What follows the image
embedding is small, so the image is encoded once, and every coalition is one row of one batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.explain.background import Background
from models.networks.folded import FoldedHead
from models.networks.fusion import MultimodalNetwork
from node.domain.prediction import Attribution, Contribution
from node.domain.reasons import ReasonCode
from node.errors import Quarantined

IMAGE: Final = "image"
"""The name of the player that is the whole image embedding."""
ORDERS: Final = 10
"""A background row; half of them are the reverse of the others.

With orders of their own for each row, ten err less than twenty that all rows share: by 0.0015 logits at most against
0.0025, measured on seeded networks with 27 variables and the image against two hundred orders a row.
"""
SEED: Final = 20250
TOLERANCE: Final = 1e-5
"""By how much base and contributions may miss the network's own logit, in logits."""
PRECISION: Final = 1e-4
"""And by how much of the logit more.

The head is folded: both are rounded on their own, in single precision. That is 1.6e-5 of a logit of 38, of a patient
whose every variable lies far out, and who must not be refused for it.
"""
_ROWS_AT_ONCE: Final = 8

Ranks = npt.NDArray[np.int64]
"""(rows, orders, players): the place at which each player joins, in each order of each background row."""


@dataclass(frozen=True, slots=True, eq=False)
class Shapley:
    """Shapley values in logits for one patient."""

    base: float
    """The mean logit of the background rows."""
    variables: npt.NDArray[np.float64]
    """One a clinical variable."""
    image: float


def antithetic(rows: int, orders: int, players: int, seed: int = SEED) -> Ranks:
    """Random orders, an even number a row: the first half, then the reverse of each."""
    generator = np.random.default_rng(seed)
    start = np.broadcast_to(np.arange(players), (rows, orders // 2, players))
    ranks = generator.permuted(start, axis=2)
    return np.concatenate((ranks, players - 1 - ranks), axis=1)


class Explainer:
    """Shapley values for the head of ``network``; everything that does not depend on the patient is laid out once.

    ``ranks`` are the orders, over the variables and then the image as the last player.
    """

    def __init__(self, network: MultimodalNetwork, background: Background, ranks: Ranks | None = None) -> None:
        groups = network.clinical.groups
        rows, variables = len(background.columns), len(groups)
        ranks = antithetic(rows, ORDERS, variables + 1) if ranks is None else ranks
        device = groups.device
        self._head = FoldedHead(network)
        self._places, self._after_image, self._image_place = _places(ranks)
        switches = torch.from_numpy(_switches(self._places)).to(device)  # (rows, coalitions, variables)
        of_column = groups.argmax(dim=0)
        self._switches = switches[:, :, of_column].permute(2, 0, 1).contiguous()
        self._background = background.columns.T.contiguous().to(device)
        self._background_images = self._head.image(background.embeddings.to(device))

    def values(self, embedding: Tensor, columns: Tensor) -> Shapley:
        """For one patient: image embedding (256,) and clinical columns (c,)."""
        with torch.no_grad():
            path = self._logits(embedding, columns).double().cpu().numpy()
        rows, orders, _ = self._places.shape
        row, order = np.ogrid[:rows, :orders]
        with_image = self._after_image.astype(np.intp)
        each = (row[..., None], order[..., None])
        variables = path[(*each, self._places + 1, with_image)] - path[(*each, self._places, with_image)]
        image = path[row, order, self._image_place, 1] - path[row, order, self._image_place, 0]
        return Shapley(float(path[:, 0, 0, 0].mean()), variables.mean(axis=(0, 1)), float(image.mean()))

    def _logits(self, embedding: Tensor, columns: Tensor) -> Tensor:
        """(rows, orders, variables + 1, 2): after so many variables have joined, without and with the image."""
        rows, orders, variables = self._places.shape
        image = self._head.image(embedding[None])
        logits = torch.empty(rows, orders, variables + 1, 2, device=columns.device)
        for start in range(0, rows, _ROWS_AT_ONCE):
            chunk = slice(start, start + _ROWS_AT_ONCE)
            mixed = torch.where(self._switches[:, chunk], columns[:, None, None], self._background[:, chunk, None])
            logits[chunk, :, 1:variables] = self._both(mixed, chunk, image).view(-1, orders, variables - 1, 2)
        # Nobody and everybody are the same in every order.
        logits[:, :, 0] = self._both(self._background[:, :, None], slice(0, rows), image)
        everybody = columns[:, None, None].expand(-1, rows, 1)
        logits[:, :, variables] = self._both(everybody, slice(0, rows), image)
        return logits

    def _both(self, columns: Tensor, chunk: slice, image: Tensor) -> Tensor:
        """Columns (c, rows, n) beside the rows in ``chunk`` as logits (rows, n, 2): without and with the image."""
        hidden = self._head.clinical(columns.flatten(1))
        hidden = hidden.view(len(hidden), *columns.shape[1:])
        without = self._head.logits(hidden + self._background_images[:, chunk, None])
        return torch.stack((without, self._head.logits(hidden.add_(image[:, :, None]))), dim=-1)


def attribution(found: Shapley, logit: float, variables: Sequence[Contribution]) -> Attribution:
    """``found`` with the names and answers of ``variables`` (their logits are filled in here), the largest first.

    Raises Quarantined(INTERNAL) when base and contributions do not add up to the network's own ``logit``.
    """
    total = found.base + float(found.variables.sum()) + found.image
    if not abs(total - logit) <= TOLERANCE + PRECISION * abs(logit):
        raise Quarantined(ReasonCode.INTERNAL, f"the Shapley values add up to {total:.6f}, the logit is {logit:.6f}")
    contributions = [
        Contribution(each.name, float(value), each.answer, each.is_imputed)
        for each, value in zip(variables, found.variables, strict=True)
    ]
    contributions.append(Contribution(IMAGE, found.image))
    ordered = sorted(contributions, key=lambda each: abs(each.logits), reverse=True)
    return Attribution(found.base, logit, tuple(ordered))


def _places(ranks: Ranks) -> tuple[Ranks, npt.NDArray[np.bool_], Ranks]:
    """The orders as: how many variables join before each, whether the image does, and how many before the image."""
    image = ranks[:, :, -1]
    after = ranks[:, :, :-1] > image[:, :, None]
    return ranks[:, :, :-1] - after, after, image


def _switches(places: Ranks) -> npt.NDArray[np.bool_]:
    """(rows, coalitions, variables): who has joined, for all orders and after 1, 2, ... all but one variable."""
    rows, _, variables = places.shape
    joined = places[:, :, None, :] < np.arange(1, variables)[:, None]
    return joined.reshape(rows, -1, variables)
