"""A depthwise 3-D convolution whose gradients are convolutions too, which processors are good at.

PyTorch's own backward pass of a depthwise 3-D convolution takes ten times as long as its forward pass on a processor,
and is two thirds of a step of EfficientNet's. Both gradients of a convolution are convolutions (Dumoulin & Visin 2016,
"A guide to convolution arithmetic for deep learning", section 4): of the output's gradient with the flipped kernel, and
of the input with the output's gradient, each channel of each image by itself.
"""

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import conv3d, conv_transpose3d

_Triple = tuple[int, int, int]


class Depthwise3d(nn.Conv3d):
    """``nn.Conv3d`` with a channel a group, and the same parameters; other gradients only by rounding."""

    @classmethod
    def of(cls, convolution: nn.Conv3d) -> "Depthwise3d":
        """The same convolution, with the very parameters. ValueError when it is not depthwise."""
        if not is_depthwise(convolution):
            raise ValueError(f"not depthwise: {convolution}")
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made.__dict__.update(convolution.__dict__)
        return made

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  as the base names it
        """(n, c, z, y, x) to (n, c, z', y', x')."""
        if input.is_cuda or not torch.is_grad_enabled():
            return super().forward(input)
        stride, padding = cast("_Triple", self.stride), cast("_Triple", self.padding)
        found: Tensor = _Convolution.apply(input, self.weight, stride, padding)  # type: ignore[no-untyped-call]
        return found if self.bias is None else found + self.bias[:, None, None, None]


def is_depthwise(convolution: nn.Conv3d) -> bool:
    """Whether each channel is convolved by itself, without dilation, with as much padding on either side."""
    channels = convolution.in_channels
    is_apart = 1 < channels == convolution.out_channels == convolution.groups
    is_plain = isinstance(convolution.padding, tuple) and convolution.padding_mode == "zeros"
    return is_apart and is_plain and convolution.dilation == (1, 1, 1)


class _Convolution(torch.autograd.Function):
    # A mixed precision of the forward pass is the backward's too.
    @staticmethod
    @partial(custom_fwd, device_type="cpu")
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: _Triple, padding: _Triple) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        return conv3d(image, weight, None, stride, padding, groups=image.shape[1])

    @staticmethod
    @once_differentiable
    @partial(custom_bwd, device_type="cpu")
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # type: ignore[override]  # torch types its decorators thus
        image, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        of_image, of_weight, *_ = ctx.needs_input_grad  # type: ignore[attr-defined]
        stride, padding = ctx.stride, ctx.padding  # type: ignore[attr-defined]
        return (
            _of_image(image, weight, gradient, stride, padding) if of_image else None,
            _of_weight(image, weight, gradient, stride, padding) if of_weight else None,
            None,
            None,
        )


def _of_image(image: Tensor, weight: Tensor, gradient: Tensor, stride: _Triple, padding: _Triple) -> Tensor:
    channels, kernel = image.shape[1], weight.shape[2:]
    if stride == (1, 1, 1):
        back = tuple(side - 1 - pad for side, pad in zip(kernel, padding, strict=True))
        return conv3d(gradient, weight.flip(2, 3, 4), None, 1, back, groups=channels)
    # What the strides step over at the far end.
    sides = zip(image.shape[2:], gradient.shape[2:], kernel, stride, padding, strict=True)
    rest = tuple(size - ((found - 1) * step - 2 * pad + side) for size, found, side, step, pad in sides)
    return conv_transpose3d(gradient, weight, None, stride, padding, rest, groups=channels)


def _of_weight(image: Tensor, weight: Tensor, gradient: Tensor, stride: _Triple, padding: _Triple) -> Tensor:
    apart = image.shape[0] * image.shape[1]
    images, gradients = image.reshape(1, apart, *image.shape[2:]), gradient.reshape(apart, 1, *gradient.shape[2:])
    each = conv3d(images, gradients, None, 1, padding, dilation=stride, groups=apart)
    z, y, x = weight.shape[2:]
    each = each[0, :, :z, :y, :x].reshape(image.shape[0], *weight.shape)
    return each.sum(dim=0)
