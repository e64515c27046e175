"""The trial: a bundle that passes can be predicted with, and one that cannot is refused before it is taken."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model

from models import trial
from models.bundle import Bundle, shipped
from models.networks.fusion import MultimodalNetwork
from models.preprocessing.clinical import ClinicalTable
from node.errors import BundleError

Spoil = Callable[..., Path]


def test_what_ships_passes() -> None:
    """Built and run on noise, in a process of its own."""
    trial.run(shipped("porcelain"))


def test_weights_of_another_network_are_refused(spoil: Spoil) -> None:
    """With the code and the file, as in a worker."""
    path = spoil("porcelain", lambda c: c.update(status="unvalidated", weights={"file": "models/model.safetensors"}))
    (path / "models").mkdir(exist_ok=True)
    save_file({"x": torch.zeros(1)}, path / "models" / "model.safetensors")
    with pytest.raises(BundleError, match=r"BUNDLE_UNFIT: .*model\.safetensors: does not fit the network"):
        trial.run(path)


def test_weights_that_make_no_number_are_refused(spoil: Spoil) -> None:
    """A predictor that answers NaN to noise answers nothing to a patient."""
    path = spoil("porcelain", lambda c: c.update(status="unvalidated", weights={"file": "models/model.safetensors"}))
    (path / "models").mkdir(exist_ok=True)
    table = ClinicalTable.read(Bundle.open(shipped("porcelain")).celadon)
    network = MultimodalNetwork(table.groups)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    save_model(network, str(path / "models" / "model.safetensors"))
    with pytest.raises(BundleError, match=r"BUNDLE_UNFIT: .*weights that are not finite"):
        trial.run(path)


def test_a_parameter_that_is_missing_is_named(spoil: Spoil) -> None:
    """What only the predictor knows to be missing."""
    with pytest.raises(BundleError, match=r"metadata\.json: field celadon\.parameters\.threshold is missing"):
        trial.run(spoil("porcelain", lambda c: c["parameters"].pop("threshold")))
