"""Seeded weights: finite, unsaturated, reproducible, and the image matters."""

import pytest
import torch

from models.networks.fusion import MultimodalNetwork
from models.networks.gtrnet import GtrNet
from models.networks.initial import draw, noise


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_image_moves_the_logit_without_saturating_it(seed: int) -> None:
    """Two boxes with other contents give other maps and other logits, all moderate; the clinical columns do, too."""
    network = MultimodalNetwork((1, 1, 2))
    draw(network, seed)
    images, columns = network.examples(torch.Generator().manual_seed(99))
    with torch.no_grad():
        logits = network(images, columns[:1].expand(4, -1))
        others = network(images[:1].expand(4, -1, -1, -1, -1), columns)
    assert logits.abs().max() < 6
    assert logits.std() > 1e-3
    assert others.std() > 1e-3


def test_a_deep_residual_network_stays_moderate() -> None:
    """ResNet-152 with drawn weights gives probabilities away from 0 and 1 that depend on the picture."""
    network = GtrNet()
    draw(network, 1)
    (pictures,) = network.examples(torch.Generator().manual_seed(99))
    with torch.no_grad():
        probabilities = torch.softmax(network(pictures[:2]), dim=1)
    assert probabilities.min() > 0.001
    assert probabilities.max() < 0.99
    assert not torch.allclose(probabilities[0], probabilities[1], atol=1e-4)


def test_drawing_leaves_the_network_ready_to_be_used() -> None:
    """Afterwards the network is in evaluation mode, and BatchNorm keeps its momentum for later training."""
    network = MultimodalNetwork((1, 1))
    draw(network, 5)
    assert not any(module.training for module in network.modules())
    momenta = {m.momentum for m in network.image.modules() if isinstance(m, torch.nn.BatchNorm3d)}
    assert momenta == {0.1}


@pytest.mark.parametrize("fine_share", [0.0, 0.5, 1.0])
def test_noise_has_unit_variance(fine_share: float) -> None:
    """Noise has zero mean and unit variance whatever its grain."""
    values = noise(torch.Generator().manual_seed(0), (4, 1, 64, 64, 32), fine_share)
    assert values.mean().abs() < 0.1
    assert abs(values.std() - 1.0) < 0.1
