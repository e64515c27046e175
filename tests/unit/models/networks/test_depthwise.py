"""Depthwise convolutions whose gradients are convolutions: PyTorch's own, by rounding."""

import pytest
import torch
from torch import nn

from models.networks.depthwise import Depthwise3d, is_depthwise
from models.networks.en_pct import EnPct

CHANNELS = 6


def plain(kernel: int, stride: int, *, bias: bool = False) -> nn.Conv3d:
    """A depthwise convolution of PyTorch's own, in double precision, so that rounding is nothing."""
    torch.manual_seed(kernel + stride)
    padding = (kernel - 1) // 2
    return nn.Conv3d(CHANNELS, CHANNELS, kernel, stride, padding, groups=CHANNELS, bias=bias).double()


@pytest.mark.parametrize("shape", [(9, 8, 7), (5, 4, 1), (1, 1, 1), (12, 13, 6)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_outputs_and_gradients_are_those_of_pytorch(kernel: int, stride: int, shape: tuple[int, int, int]) -> None:
    """For sides that the stride divides and for others, and for images smaller than the kernel."""
    theirs = plain(kernel, stride)
    ours = Depthwise3d.of(plain(kernel, stride))
    image = torch.randn(3, CHANNELS, *shape, dtype=torch.float64)
    gradients = []
    for convolution in (theirs, ours):
        seen = image.clone().requires_grad_()
        found = convolution(seen)
        weighed = torch.randn(found.shape, generator=torch.Generator().manual_seed(0), dtype=found.dtype)
        (found * weighed).sum().backward()
        gradients.append((found, seen.grad, convolution.weight.grad))
    for their, our in zip(*gradients, strict=True):
        torch.testing.assert_close(our, their)


def test_a_bias_is_added_and_learns() -> None:
    """EfficientNet has none; the class keeps its promise all the same."""
    theirs, ours = plain(3, 1, bias=True), Depthwise3d.of(plain(3, 1, bias=True))
    image = torch.randn(2, CHANNELS, 4, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(ours(image), theirs(image))
    ours(image).sum().backward()
    theirs(image).sum().backward()
    assert ours.bias is not None
    assert theirs.bias is not None
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)


def test_in_half_precision_gradients_are_as_near_as_pytorch_s_own() -> None:
    """``--set precision=bf16``: what is kept stays single, and what is computed has eight bits."""
    exact, theirs, ours = plain(3, 1).float(), plain(3, 1).float(), Depthwise3d.of(plain(3, 1).float())
    image = torch.randn(2, CHANNELS, 6, 6, 6)
    for convolution, is_half in ((exact, False), (theirs, True), (ours, True)):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            loss = convolution(image.clone().requires_grad_()).square().mean()
        loss.backward()
    gradients = [convolution.weight.grad for convolution in (exact, theirs, ours)]
    assert all(each is not None and each.dtype == torch.float32 for each in gradients)
    for half in gradients[1:]:
        torch.testing.assert_close(half, gradients[0], rtol=0.05, atol=0.01)


def test_without_gradients_it_is_pytorch_s_own() -> None:
    """To the bit: a node that only infers computes what it did."""
    theirs, ours = plain(3, 2).float(), Depthwise3d.of(plain(3, 2).float())
    image = torch.randn(1, CHANNELS, 7, 7, 5)
    with torch.inference_mode():
        assert torch.equal(ours(image), theirs(image))


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv3d(4, 4, 3, padding=1),
        nn.Conv3d(4, 8, 3, padding=1, groups=4),
        nn.Conv3d(4, 4, 3, padding=1, dilation=2, groups=4),
        nn.Conv3d(4, 4, 3, padding="same", groups=4),
        nn.Conv3d(4, 4, 3, padding=1, groups=4, padding_mode="reflect"),
    ],
    ids=["not by channel", "more channels", "dilated", "padding by name", "padded with something"],
)
def test_other_convolutions_are_refused(other: nn.Conv3d) -> None:
    """None of them would be computed rightly."""
    assert not is_depthwise(other)
    with pytest.raises(ValueError, match="not depthwise"):
        Depthwise3d.of(other)


def test_porcelain_s_encoder_has_no_other() -> None:
    """One in each of EfficientNet-B0's sixteen blocks."""
    convolutions = [module for module in EnPct().modules() if isinstance(module, nn.Conv3d)]
    assert [type(each) for each in convolutions if is_depthwise(each)] == [Depthwise3d] * 16
