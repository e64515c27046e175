"""PORCELAIN's clinical branch and fusion for very many rows at once: what Shapley values are made of.

The same numbers as ``MultimodalNetwork.head`` in evaluation mode, to rounding. BatchNorm is folded into the linear
layers, the linear layers between TabNet's steps and the hidden layer of the fusion into one, and the two inputs of
that layer are kept apart, so that an image embedding is projected once however many clinical rows it meets. Rows are
columns here: the halves of a gated linear unit then lie one after the other in memory.
"""

from typing import Final

import torch
from pytorch_tabnet.tab_network import FeatTransformer, GLU_Layer
from torch import Tensor, nn
from torch.nn.functional import glu

from models.networks.fusion import Fusion, MultimodalNetwork
from models.networks.tabnet import WIDTH

_SHRINK: Final = 0.5**0.5
# Each turn of the search for a threshold drops at least one variable, or is the last.
_TURNS_BETWEEN_LOOKS: Final = 3


class FoldedHead:
    """The head of ``network``, frozen as it is now."""

    def __init__(self, network: MultimodalNetwork) -> None:
        with torch.no_grad():
            encoder = network.clinical.network.tabnet.encoder
            self._scale, self._shift = (each[:, None] for each in _affine(encoder.initial_bn))
            self._groups = network.clinical.groups.T.contiguous()
            self._relaxation = encoder.gamma
            self._first = _Transformer(encoder.initial_splitter, slice(WIDTH, 2 * WIDTH))
            last = len(encoder.feat_transformers) - 1
            self._steps = [
                _Transformer(transformer, slice(0, WIDTH) if i == last else slice(0, 2 * WIDTH))
                for i, transformer in enumerate(encoder.feat_transformers)
            ]
            self._attention = [_folded(attend.fc, attend.bn.bn) for attend in encoder.att_transformers]
            self._fold(network.fusion, network.clinical.network.tabnet.final_mapping.weight)

    def clinical(self, columns: Tensor) -> Tensor:
        """(c, n) clinical columns as their part (128, n) of the hidden layer."""
        values = columns * self._scale + self._shift
        prior: Tensor | None = None
        attending = self._first(values)
        decided: list[Tensor] = []
        for step, (weight, bias) in zip(self._steps, self._attention, strict=True):
            wanted = torch.addmm(bias, weight, attending)
            mask = sparsemax(wanted if prior is None else wanted.mul_(prior))
            relaxed = self._relaxation - mask
            prior = relaxed if prior is None else prior.mul_(relaxed)
            out = step((self._groups @ mask).mul_(values))
            decided.append(torch.relu(out[:WIDTH]))
            attending = out[WIDTH:]
        part: Tensor = self._clinical @ torch.stack(decided).sum(dim=0)
        return part

    def image(self, embeddings: Tensor) -> Tensor:
        """(n, 256) image embeddings as their part (128, n) of the hidden layer."""
        return torch.addmm(self._image_bias, self._image, embeddings.T)

    def logits(self, hidden: Tensor) -> Tensor:
        """The sum of both parts (128, ...), which is overwritten, as logits (...)."""
        flat = hidden.relu_().flatten(1)
        return (self._out @ flat + self._out_bias).view(hidden.shape[1:])

    def _fold(self, fusion: Fusion, mapping: Tensor) -> None:
        """Everything linear from TabNet's decisions and the image embedding to the hidden layer, and from it on."""
        clinical_scale, clinical_shift = _affine(fusion.norm_clinical)
        image_scale, image_shift = _affine(fusion.norm_image)
        of_clinical, of_image = torch.split(fusion.hidden.weight, mapping.shape[0], dim=1)
        projected = of_image @ fusion.project_image.weight
        self._clinical = (of_clinical * clinical_scale) @ mapping
        self._image = projected * image_scale
        bias = fusion.hidden.bias + of_clinical @ clinical_shift + projected @ image_shift
        self._image_bias = (bias + of_image @ fusion.project_image.bias)[:, None]
        scale, shift = _affine(fusion.norm_hidden)
        self._out = fusion.out.weight[0] * scale
        self._out_bias = fusion.out.weight[0] @ shift + fusion.out.bias[0]


class _Transformer:
    """One feature transformer: four gated linear units, the last three with a shrunken sum of input and output.

    The shrinking by the square root of 1/2 is not done to the values but undone in the weights.
    """

    def __init__(self, transformer: FeatTransformer, wanted: slice) -> None:
        """``wanted``: which of the outputs anything is made of."""
        layers = [*transformer.shared.glu_layers, *transformer.specifics.glu_layers]
        self._wanted = wanted
        self._layers = [
            _gated(
                layer, _SHRINK ** max(i - 1, 0), first=i == 0, wanted=wanted if i == len(layers) - 1 else slice(None)
            )
            for i, layer in enumerate(layers)
        ]
        self._shrink = _SHRINK ** (len(layers) - 1)

    def __call__(self, columns: Tensor) -> Tensor:
        """(c, n) to the wanted outputs (k, n)."""
        (weight, bias), *others = self._layers
        state = glu(torch.addmm(bias, weight, columns), dim=0)
        for weight, bias in others[:-1]:
            state.add_(glu(torch.addmm(bias, weight, state), dim=0))
        weight, bias = others[-1]
        last = glu(torch.addmm(bias, weight, state), dim=0)
        return last.add_(state[self._wanted]).mul_(self._shrink)


def sparsemax(values: Tensor) -> Tensor:
    """Sparsemax (Martins & Astudillo 2016) down each column of (k, n), without sorting.

    The threshold is the fixed point of: the mean, less one over their number, of the values above it. From below it
    rises to its place in at most k turns (Michelot 1986), most often in three or four.
    """
    ones = values.new_ones(1, values.shape[0])  # a product with ones sums faster than a sum over the first axis
    threshold = (ones @ values).sub_(1.0).div_(values.shape[0])
    above = torch.empty_like(values)
    for turn in range(1, values.shape[0] + 1):
        torch.gt(values, threshold, out=above)
        number = ones @ above
        higher = (ones @ above.mul_(values)).sub_(1.0).div_(number)
        if turn % _TURNS_BETWEEN_LOOKS == 0 and torch.equal(higher, threshold):
            break
        threshold = higher
    return (values - threshold).clamp_(min=0.0)


def _gated(layer: GLU_Layer, shrunk: float, *, first: bool, wanted: slice) -> tuple[Tensor, Tensor]:
    """Weight and bias of a gated linear unit whose input was divided by ``shrunk``, and its output is to be."""
    weight, bias = _folded(layer.fc, layer.bn.bn)
    values, gates = (torch.arange(layer.output_dim)[wanted] + start for start in (0, layer.output_dim))
    if first:
        return weight, bias
    return torch.cat((weight[values], weight[gates] * shrunk)), torch.cat((bias[values] / shrunk, bias[gates]))


def _folded(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """A linear layer without bias and the BatchNorm after it, as one: weight (o, i) and bias (o, 1)."""
    scale, shift = _affine(norm)
    return linear.weight * scale[:, None], shift[:, None].clone()


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """What BatchNorm does in evaluation: x times the first plus the second."""
    variance, mean = norm.running_var, norm.running_mean
    if variance is None or mean is None:
        raise TypeError("a BatchNorm without statistics cannot be folded")
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale
