"""The fusion is equations 4 to 7 of the paper (PORCELAIN, methods)."""

import torch
from torch.nn.functional import batch_norm, linear, relu

from models.networks.fusion import Fusion, MultimodalNetwork


def test_it_is_the_equations() -> None:
    """The logit is w . BN(ReLU(W u + b)) + b0 of u = [BN(z_cli); P(BN(z_img))] in R^256, computed by hand."""
    fusion = Fusion().eval()
    for norm in (fusion.norm_clinical, fusion.norm_image, fusion.norm_hidden):
        torch.nn.init.normal_(norm.running_mean)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    clinical, image = torch.randn(3, 128), torch.randn(3, 256)

    def bn(norm: torch.nn.BatchNorm1d, x: torch.Tensor) -> torch.Tensor:
        return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    projected = linear(bn(fusion.norm_image, image), fusion.project_image.weight, fusion.project_image.bias)
    u = torch.cat((bn(fusion.norm_clinical, clinical), projected), dim=1)
    assert u.shape == (3, 256)
    hidden = bn(fusion.norm_hidden, relu(linear(u, fusion.hidden.weight, fusion.hidden.bias)))
    expected = linear(hidden, fusion.out.weight, fusion.out.bias)[:, 0]
    assert torch.allclose(fusion(clinical, image), expected, atol=1e-6)


def test_the_hidden_layer_drops_half() -> None:
    """Dropout is 0.5 after the norm of the hidden layer (eq. 7), and the fusion has 66,945 parameters."""
    fusion = Fusion()
    assert fusion.dropout.p == 0.5
    assert sum(parameter.numel() for parameter in fusion.parameters()) == 66_945


def test_the_network_is_its_trunk_and_its_tail() -> None:
    """The whole network gives the same logit as trunk and tail one after the other."""
    network = MultimodalNetwork((1, 1, 2)).eval()
    image, columns = torch.randn(2, 1, 100, 100, 30), torch.randn(2, 4)
    with torch.no_grad():
        logits = network(image, columns)
        assert logits.shape == (2,)
        assert torch.equal(network.tail(network.image.trunk(image), columns), logits)
        assert torch.equal(network.head(network.image(image), columns), logits)


def test_the_whole_network_has_the_size_of_its_parts() -> None:
    """5,017,294 for EN-PCT (the paper says 5.3 million), 66,945 for the fusion, and TabNet for 27 variables."""
    network = MultimodalNetwork((1, 2, 1, 4, 3, 2, *(1,) * 21))
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert sizes == {"image": 5_017_294, "clinical": 325_482, "fusion": 66_945}
