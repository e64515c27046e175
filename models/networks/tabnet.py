"""TabNet: the clinical encoder of PORCELAIN. The only file that builds on ``pytorch_tabnet``.

Source: PORCELAIN, methods, "Clinical branch" and eq. 3: 3 steps, width 64, relaxation 1.5, sparsity 1e-3, dropout 0.4.
"""

from collections.abc import Callable, Sequence
from typing import Final, Self

import torch
from pytorch_tabnet.tab_network import TabNet
from torch import Tensor, nn

EMBEDDING: Final = 128
WIDTH: Final = 64
STEPS: Final = 3
RELAXATION: Final = 1.5
DROPOUT: Final = 0.4
SPARSITY: Final = 1e-3
"""What training adds of the sparsity term to its loss, negated: the paper's lambda."""


class ClinicalEncoder(nn.Module):
    """The encoder: (n, columns) prepared clinical columns to (n, 128) embedding z_cli (eq. 3).

    ``groups`` gives the number of columns of each variable, in order: attention is paid to variables, not to the
    single columns of a one-hot code.
    """

    def __init__(self, groups: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("groups", _group_matrix(groups), persistent=False)
        self.groups: Tensor
        self.network = TabNet(
            input_dim=sum(groups),
            output_dim=EMBEDDING,
            n_d=WIDTH,
            n_a=WIDTH,
            n_steps=STEPS,
            gamma=RELAXATION,
            group_attention_matrix=self.groups,
        )
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, columns: Tensor) -> Tensor:
        """(n, columns) to (n, 128)."""
        return self.attend(columns)[0]

    def attend(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding, and the (negated) entropy of the attention, of which training subtracts ``SPARSITY`` times."""
        embedding, entropy = self.network(columns)
        return self.dropout(embedding), entropy

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move with the module what the library keeps as a plain attribute."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.network.tabnet.encoder.group_attention_matrix = self.groups
        return self


def _group_matrix(groups: Sequence[int]) -> Tensor:
    """(variables, columns): each row spreads the attention to one variable evenly over its columns."""
    matrix = torch.zeros(len(groups), sum(groups))
    first = 0
    for row, size in enumerate(groups):
        matrix[row, first : first + size] = 1.0 / size
        first += size
    return matrix
