"""Grad-CAM: where in the image the evidence for the concluded class lies.

Source: Selvaraju et al. 2017. Both networks are cut at the map that is explained, so that only what follows it needs a
gradient; for global pooling and one linear layer the gradient is known and none is computed (Zhou et al. 2016, CAM).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, relu

from node.domain.imaging import FloatArray


def grad_cam(features: Tensor, tail: Callable[[Tensor], Tensor]) -> tuple[float, Tensor]:
    """The logit of one image, and its signed class activation map.

    ``features`` (1, c, *spatial) is the map explained; ``tail`` takes it to the logit (1,). The map (1, 1, *spatial)
    weighs each channel by the mean gradient of the logit: positive speaks for a higher logit, negative against it.
    """
    with torch.enable_grad():
        leaf = features.detach().requires_grad_()
        logit = tail(leaf)
        (gradient,) = torch.autograd.grad(logit.sum(), leaf)
    weights = gradient.mean(dim=tuple(range(2, features.ndim)), keepdim=True)
    return float(logit.detach()), (weights * features).sum(dim=1, keepdim=True)


def class_activation(features: Tensor, weights: Tensor) -> Tensor:
    """The signed class activation maps (n, 1, rows, columns) of ``features`` (n, c, rows, columns).

    ``weights`` (c,) is the class's row of the linear layer after global average pooling. Equals ``grad_cam`` of that
    class times the number of cells of the map, a factor that normalising takes out.
    """
    return torch.einsum("nchw,c->nhw", features, weights)[:, None]


def evidence(signed: Tensor, size: tuple[int, ...]) -> FloatArray:
    """The positive part of a signed map (n, 1, *spatial), upsampled linearly to (n, *size)."""
    mode = "trilinear" if len(size) == 3 else "bilinear"  # noqa: PLR2004  three axes
    upsampled = interpolate(relu(signed), size=size, mode=mode, align_corners=False)
    array: FloatArray = upsampled[:, 0].cpu().numpy()
    return array


def normalised(saliency: FloatArray) -> FloatArray:
    """``saliency`` (not negative) over its maximum, in [0, 1]; an all-zero map stays all zero."""
    peak = saliency.max(initial=0.0)
    return (saliency / peak).astype(np.float32) if peak > 0 else np.zeros_like(saliency)
