"""The finished bundle of GTRNet."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from models.networks.gtrnet import SMALL, GtrNet
from models.networks.two_stream import TwoStreamGtrNet
from models.predictors.gtrnet import Gtrnet
from models.training.cohort import T_STAGE, FileSource
from models.training.gtrnet_bundle import _embedded
from models.training.images import read_mask, read_volume
from models.training.manifest import read_manifest
from node.domain.clinical import ClinicalRecord
from node.domain.coding import Anatomy
from node.domain.imaging import Roi
from node.domain.prediction import Case
from tests.unit.models.training.conftest import Trained, finished


def test_it_names_the_network_that_it_holds(gtrnet_training: Trained) -> None:
    """A small one with two streams, not the published one."""
    bundle = gtrnet_training.bundle
    assert bundle.celadon.child("parameters").text("variant") == "small-two-stream"
    assert "not the published network" in gtrnet_training.card


def test_it_predicts_what_the_network_says(gtrnet_training: Trained) -> None:
    """The vote of three slices from the files, as the final network's own code gives it."""
    predictor = Gtrnet(gtrnet_training.bundle)
    network = TwoStreamGtrNet(SMALL).eval()
    network.load_state_dict(load_file(gtrnet_training.wish.out / "bundle" / "models" / "model.safetensors"))
    assert gtrnet_training.wish.cohort is not None
    case = read_manifest(gtrnet_training.wish.cohort, T_STAGE).cases[0]
    assert isinstance(case.source, FileSource)
    volume, mask = read_volume(case.source.image), read_mask(case.source.mask)
    roi = Roi(mask, volume.geometry, Anatomy.STOMACH, "", "cohort")
    prediction = predictor.predict(Case(volume, roi, ClinicalRecord(())))
    with torch.no_grad():
        images = torch.from_numpy(predictor._profile.images(volume.hu[2:5], 1, (0.8, 0.8)))
        expected = torch.softmax(network(images, *network.aims((0.5, 0.5), 3)).double(), dim=1).mean(dim=0)
    np.testing.assert_allclose([score.probability for score in prediction.scores], expected.numpy(), atol=1e-5)


def test_the_card_has_the_figures_and_the_confusions(gtrnet_training: Trained) -> None:
    """Accuracy as in the summary; the confusions sum up to the cases."""
    card = gtrnet_training.card
    assert f"| accuracy | {gtrnet_training.summary['held_out']['accuracy']:.3f} (" in card
    rows = [line for line in card.splitlines() if line.startswith(("| T1", "| T2", "| T3", "| T4"))]
    assert sum(int(cell) for row in rows for cell in row.split("|")[2:-1]) == 12
    assert "Cross-validation in 2 folds" in card


def test_a_small_network_embeds_in_the_large_one() -> None:
    """With either one stream or two, to rounding."""
    torch.manual_seed(0)
    images = torch.randn(1, 3, 224, 224)
    for small in (GtrNet(SMALL).eval(), TwoStreamGtrNet(SMALL).eval()):
        if isinstance(small, TwoStreamGtrNet):
            torch.nn.init.normal_(small.detail.weight, std=0.1)
        large = _embedded(small).eval()
        with torch.no_grad():
            aims = small.aims((0.3, 0.7), 1)
            torch.testing.assert_close(large(images, *aims), small(images, *aims), atol=1e-4, rtol=1e-4)


def test_intercepts_are_the_published_ones_without_enough_cases(gtrnet_training: Trained) -> None:
    """Three patients a category are too few to fit any; the bundle says whose they are."""
    section = json.loads((Path(gtrnet_training.bundle.path) / "configs" / "metadata.json").read_text())["celadon"]
    if "nomogram" in section:
        assert section["nomogram"]["thresholds_from"] == "published"
        assert section["nomogram"]["thresholds"] == [-3.2, -1.17, 1.24]
    else:
        assert "There is no Rad-score" in gtrnet_training.card


def test_the_same_training_gives_the_same_bundle(gtrnet_training: Trained, tmp_path: Path) -> None:
    """From the same seed, in another folder, byte for byte."""
    again = finished(replace(gtrnet_training.wish, out=tmp_path / "out", cache=gtrnet_training.wish.out / "cache"))
    assert again.summary["digest"] == gtrnet_training.summary["digest"]
