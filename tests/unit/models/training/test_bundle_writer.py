"""What every trained bundle has."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from models.training import bundle_writer
from models.training.cohort import Cohort
from node.domain.prediction import Quantity, TrainingStatus
from tests.unit.models.training.test_facts import facts
from tests.unit.models.training.toy import cohort


def of_phantoms() -> Cohort:
    """A cohort of phantoms."""
    return Cohort(cohort(4).cases, TrainingStatus.PHANTOM, "4 synthetic CTs", "0" * 64)


def test_phantoms_are_said_everywhere() -> None:
    """In status, disclaimer, data source, intended use and at the top of the card."""
    found = bundle_writer.metadata(of_phantoms(), facts(), {}, {})
    assert found["celadon"]["status"] == "phantom"
    assert "phantoms, not on patients" in found["celadon"]["disclaimer"]
    assert found["data_source"] == "4 synthetic CTs"
    assert "Not for clinical use" in found["intended_use"]
    assert bundle_writer.heading("X", of_phantoms()).startswith("# X: trained on phantoms\n")


def test_no_training_validates_itself() -> None:
    """A cohort of patients gives ``unvalidated``."""
    found = bundle_writer.metadata(cohort(4), facts(), {}, {})
    assert found["celadon"]["status"] == "unvalidated"
    assert "Not validated" in bundle_writer.heading("X", cohort(4))


def test_how_to_do_it_again_is_in_it() -> None:
    """Seed, hyper-parameters, folds, versions and the cohort's digest."""
    training = bundle_writer.metadata(cohort(4), facts(), {}, {})["celadon"]["training"]
    assert training["seed"] == 0
    assert training["hyper_parameters"]["learning_rate"] == 0.02
    assert training["folds"] == 2
    assert training["cohort_sha256"] == "0" * 64
    assert training["versions"]["torch"] == "2"


def test_weights_are_whole(tmp_path: Path) -> None:
    """Parameters and BatchNorm's statistics, as fp32 safetensors."""
    bundle_writer.prepare_folder(tmp_path)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    network(torch.randn(4, 2))
    bundle_writer.write_weights(tmp_path, network)
    found = load_file(tmp_path / bundle_writer.WEIGHTS)
    assert set(found) == set(network.state_dict())
    assert torch.equal(found["1.running_mean"], network.state_dict()["1.running_mean"])


def test_what_is_not_finite_has_no_place(tmp_path: Path) -> None:
    """JSON knows no NaN."""
    bundle_writer.prepare_folder(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        bundle_writer.write_metadata(tmp_path, {"auc": float("nan")})
    bundle_writer.write_metadata(tmp_path, {"auc": bundle_writer.finite({"auc": float("nan"), "loss": 0.5})})
    assert json.loads((tmp_path / "configs" / "metadata.json").read_text())["auc"] == {"auc": None, "loss": 0.5}


def test_a_search_flatters_and_one_run_stops_itself() -> None:
    """The card says both."""
    assert "best of 6" in bundle_writer.how(facts(searched=6), {})
    assert "best of" not in bundle_writer.how(facts(), {})
    assert "first fold were judged by the network in this bundle" in bundle_writer.optimistic(facts(is_single=True))
    assert "trained on all cases, has not been judged" in bundle_writer.optimistic(facts())


def test_a_card_says_what_the_training_began_from() -> None:
    """And which part of it was trained."""
    assert "earlier training" not in bundle_writer.how(facts(), {})
    said = bundle_writer.how(facts(), {"start": Path("w.safetensors"), "only": "fine"})
    assert "It began from the weights of an earlier training. Only the fine network was trained. " in said


def test_what_the_earlier_training_learnt_from_is_told(tmp_path: Path) -> None:
    """Where the weights lie in a bundle: on the card, and in the metadata unless it is the same cohort."""
    start = tmp_path / bundle_writer.WEIGHTS
    (tmp_path / "configs").mkdir()
    bundle_writer.write_metadata(tmp_path, {"data_source": "9 patients of another hospital"})
    assert "earlier training (9 patients of another hospital)." in bundle_writer.how(facts(), {"start": start})
    ours = cohort(4)
    found = bundle_writer.metadata(ours, facts(), {}, {}, start)
    assert found["data_source"] == f"{ours.origin}. Before: 9 patients of another hospital"
    bundle_writer.write_metadata(tmp_path, {"data_source": ours.origin})
    assert bundle_writer.data_source(ours, start) == ours.origin


def test_each_origin_of_the_weights_is_told_once(tmp_path: Path) -> None:
    """Of a chain of trainings that comes back to a cohort; one whose words are part of another's is another."""
    ours = cohort(4)
    longer = f"38{ours.origin}"
    bundle_writer.prepare_folder(tmp_path)
    bundle_writer.write_metadata(tmp_path, {"data_source": f"{longer}. Before: {ours.origin}. Before: C"})
    found = bundle_writer.data_source(ours, tmp_path / bundle_writer.WEIGHTS)
    assert found == f"{ours.origin}. Before: {longer}. Before: C"


def test_scores_to_come_are_held_to_those_out_of_fold() -> None:
    """Those of the cases that some network had not seen, as a histogram that monitoring reads; of none, nothing."""
    made = facts(out_of_fold=np.array([[0.05], [np.nan], [0.31], [0.33]]))
    found = bundle_writer.reference(made, (Quantity.NTR_HIGH,))["reference"]
    assert found["scores"]["NTR_HIGH"]["counts"] == [1, 0, 0, 2, 0, 0, 0, 0, 0, 0]
    assert bundle_writer.reference(facts(out_of_fold=np.full((4, 1), np.nan)), (Quantity.NTR_HIGH,)) == {}
