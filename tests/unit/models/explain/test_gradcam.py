"""Grad-CAM from the tail alone, and CAM in closed form, equal Grad-CAM by definition."""

import numpy as np
import pytest
import torch

from models.explain.gradcam import class_activation, evidence, grad_cam, normalised
from models.networks.en_pct import MAP_STAGE
from models.networks.fusion import MultimodalNetwork
from models.networks.gtrnet import GtrNet
from models.networks.initial import draw
from models.networks.unimodal import UnimodalNetwork


def by_definition(features: torch.Tensor, logit: torch.Tensor) -> torch.Tensor:
    """Grad-CAM with the gradient taken through a graph that reaches from the input to the logit."""
    (gradient,) = torch.autograd.grad(logit, features)
    weights = gradient.flatten(2).mean(dim=2)
    return torch.einsum("nc...,nc->n...", features, weights)[:, None].detach()


@pytest.mark.parametrize("network", [MultimodalNetwork((1, 1, 2)), UnimodalNetwork()], ids=["multimodal", "unimodal"])
def test_the_tail_alone_gives_the_whole_gradient(network: MultimodalNetwork | UnimodalNetwork) -> None:
    """For PORCELAIN the map from the tail's gradient equals that of hooks on the whole network, to 1e-4.

    The hooks are those of any Grad-CAM: they keep the map as the network as a whole computes it, and the gradient that
    a backward pass from the logit to the image leaves there. The tail's logit is the network's.
    """
    draw(network, 3)
    inputs = [example[:1] for example in network.examples(torch.Generator().manual_seed(7))]
    kept: list[torch.Tensor] = []
    stage = network.image.stages[MAP_STAGE]
    with stage.register_forward_hook(lambda _module, _inputs, output: kept.append(output)):
        logit = network(inputs[0].clone().requires_grad_(), *inputs[1:])
    expected = by_definition(kept[0], logit[0])
    with torch.no_grad():
        found, signed = grad_cam(network.image.trunk(inputs[0]), lambda f: network.tail(f, *inputs[1:]))
    assert kept[0].shape == (1, 112, 7, 7, 2)
    assert abs(found - float(logit)) < 1e-5
    scale = expected.abs().max()
    assert scale > 0
    assert (signed - expected).abs().max() / scale < 1e-4


@pytest.mark.parametrize("target", [0, 3])
def test_the_row_of_the_linear_layer_gives_the_gradient(target: int) -> None:
    """For GTRNet the closed form equals Grad-CAM by autograd, up to the number of cells that normalising takes out."""
    network = GtrNet()
    draw(network, 3)
    (pictures,) = network.examples(torch.Generator().manual_seed(7))
    features = network.maps(pictures[:1].clone().requires_grad_())
    expected = by_definition(features, network.classify(features)[0, target])
    signed = class_activation(features.detach(), network.fc.weight[target].detach())
    cells = features.shape[2] * features.shape[3]
    assert (signed / cells - expected).abs().max() / expected.abs().max() < 1e-4
    shown, reference = (normalised(evidence(m, (64, 48))) for m in (signed, expected))
    assert np.abs(shown - reference).max() < 1e-4


def test_a_map_is_positive_where_the_feature_speaks_for_the_class() -> None:
    """A feature that raises the logit is evidence where it is active; for the other class nothing is."""
    features = torch.zeros(1, 2, 2, 2, 2)
    features[0, 0, 1, 0, 1] = 4.0
    logit, signed = grad_cam(features, lambda f: 3.0 * f[:, 0].sum(dim=(1, 2, 3)))
    assert logit == 12.0
    assert signed[0, 0, 1, 0, 1] == 12.0
    assert signed.count_nonzero() == 1
    assert evidence(signed, (2, 2, 2)).max() == 12.0
    assert not evidence(-signed, (2, 2, 2)).any()


def test_upsampling_keeps_the_corner_in_its_corner() -> None:
    """A cell in the first row and last column stays in the upper right of the larger map."""
    signed = torch.zeros(1, 1, 2, 3)
    signed[0, 0, 0, 2] = 1.0
    large = evidence(signed, (20, 30))[0]
    assert np.unravel_index(large.argmax(), large.shape)[0] < 5
    assert np.unravel_index(large.argmax(), large.shape)[1] >= 25


def test_normalised_maps_reach_one_or_stay_zero() -> None:
    """The maximum becomes 1; an all-zero map, and one without voxels, stay as they are."""
    assert normalised(np.array([0.0, 0.5, 2.0], dtype=np.float32)).tolist() == [0.0, 0.25, 1.0]
    assert not normalised(np.zeros((2, 2), dtype=np.float32)).any()
    assert normalised(np.zeros((0, 2), dtype=np.float32)).size == 0
    assert normalised(np.ones(1, dtype=np.float32)).dtype == np.float32
