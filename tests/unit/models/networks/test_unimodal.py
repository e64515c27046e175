"""The networks without a clinical branch (PORCELAIN, results)."""

import torch

from models.networks.initial import draw
from models.networks.unimodal import UnimodalNetwork


def test_it_is_the_encoder_and_one_unit() -> None:
    """The encoder's 5,017,294 parameters, and 256 weights with a bias on its embedding."""
    network = UnimodalNetwork()
    assert sum(parameter.numel() for parameter in network.parameters()) == 5_017_294 + 257
    assert {name for name in network.state_dict() if not name.startswith("image.")} == {"out.weight", "out.bias"}


def test_the_logit_is_linear_in_the_embedding() -> None:
    """The logit is w . z_img + b, by way of trunk, tail and head alike."""
    network = UnimodalNetwork()
    draw(network, 3)
    (images,) = network.examples(torch.Generator().manual_seed(7))
    with torch.no_grad():
        embedding = network.image(images[:2])
        expected = embedding @ network.out.weight[0] + network.out.bias
        assert torch.allclose(network(images[:2]), expected, atol=1e-5)
        assert torch.equal(network.tail(network.image.trunk(images[:2])), network.head(embedding))
    assert network(images).shape == (4,)


def test_the_image_moves_the_logit() -> None:
    """Other boxes give other, moderate logits."""
    network = UnimodalNetwork()
    draw(network, 1)
    (images,) = network.examples(torch.Generator().manual_seed(99))
    with torch.no_grad():
        logits = network(images)
    assert logits.abs().max() < 6
    assert logits.std() > 1e-3
