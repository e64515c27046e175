"""GTRNet's predictor: three slices, a vote, maps of the concluded class, and the nomogram."""

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from torch import Tensor
from torch.nn.functional import interpolate, relu

from models.bundle import Bundle
from models.explain.overlap import dice
from models.fields import Fields
from models.networks.gtrnet import SMALL, GtrNet
from models.networks.initial import draw
from models.networks.two_stream import TwoStreamGtrNet
from models.predictors.gtrnet import Gtrnet, majority
from models.preprocessing.profiles import read_profile
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.coding import Anatomy
from node.domain.imaging import BoolArray, Roi, Volume
from node.domain.prediction import Case, Conclusion, ExplanationMethod, Quantity
from node.domain.reasons import ReasonCode
from node.errors import BundleError, Refused
from tests.drawn import drawn

SHAPE = (9, 80, 96)
PAPER = {
    "variant": "plain",
    "profile": "paper",
    "window_level_hu": 50,
    "window_width_hu": 350,
    "spacing_mm": 1,
    "clip_hu": [-1024, 1024],
    "n4": {"shrink": 4, "levels": 4, "iterations": 10, "body_hu": -300},
}
CaseMaker = Callable[..., Case]
Spoiler = Callable[..., Path]


@pytest.fixture
def make_case(
    make_volume: Callable[..., Volume], make_roi: Callable[..., Roi], make_ball: Callable[..., BoolArray]
) -> CaseMaker:
    """A case whose region is largest on the given slice."""

    def build(middle: int = 4, shape: tuple[int, int, int] = SHAPE) -> Case:
        volume = make_volume(shape)
        mask = make_ball(shape, (middle, 40, 40), (2, 12, 15))
        return Case(volume, make_roi(volume, Anatomy.STOMACH, mask), ClinicalRecord())

    return build


def drawn_as(folder: Path, variant: str) -> Gtrnet:
    """The bundle with weights from a seed, with another variant."""
    path = folder / "gtrnet"
    shutil.copytree(drawn("gtrnet"), path)
    file = path / "configs" / "metadata.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    values["celadon"]["parameters"]["variant"] = variant
    file.write_text(json.dumps(values), encoding="utf-8")
    return Gtrnet(Bundle.open(path))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Gtrnet:
    """A predictor with the small network, for what does not depend on the network."""
    return drawn_as(tmp_path_factory.mktemp("small"), "small")


@pytest.fixture(scope="module")
def two_stream(tmp_path_factory: pytest.TempPathFactory) -> Gtrnet:
    """A predictor whose detail stream says something."""
    predictor = drawn_as(tmp_path_factory.mktemp("two-stream"), "two-stream")
    network = predictor._network
    assert isinstance(network, TwoStreamGtrNet)
    with torch.no_grad():
        network.detail.weight.normal_(0.0, 0.05, generator=torch.Generator().manual_seed(1))
    return predictor


def trunk_of(predictor: Gtrnet, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, ...]]:
    """What the predictor gives its trunk, call by call."""
    seen: list[tuple[Tensor, ...]] = []
    trunk = predictor._trunk
    monkeypatch.setattr(predictor, "_trunk", lambda *inputs: seen.append(inputs) or trunk(*inputs))
    return seen


def logits_of(predictor: Gtrnet, monkeypatch: pytest.MonkeyPatch, probabilities: list[list[float]]) -> None:
    """Let the network answer with these probabilities."""
    answer = torch.tensor(probabilities).log()
    monkeypatch.setattr(predictor._network, "logits", lambda _: answer)


def test_scores_are_the_mean_of_three_slices(gtrnet: Gtrnet, make_case: CaseMaker) -> None:
    """Four probabilities that sum to one, three votes, no threshold, no clinical variable."""
    prediction = gtrnet.predict(make_case())
    assert [score.quantity for score in prediction.scores] == [Quantity.T1, Quantity.T2, Quantity.T3, Quantity.T4]
    assert abs(sum(score.probability for score in prediction.scores) - 1.0) < 1e-9
    assert all(0.001 < score.probability < 0.999 for score in prediction.scores)
    assert len(prediction.votes) == 3
    assert (prediction.threshold, prediction.clinical_used, prediction.clinical_imputed) == (None, (), ())


def test_the_picture_counts(gtrnet: Gtrnet, make_case: CaseMaker) -> None:
    """Another picture gives other probabilities."""
    case = make_case()
    darker = replace(case, volume=replace(case.volume, hu=case.volume.hu - 100.0))
    assert gtrnet.predict(case).scores != gtrnet.predict(darker).scores


def test_the_majority_decides_over_the_mean(
    small: Gtrnet, make_case: CaseMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two close votes for T2 beat one sure vote for T4, although T4 has the higher mean."""
    logits_of(small, monkeypatch, [[0.1, 0.4, 0.2, 0.3], [0.1, 0.4, 0.2, 0.3], [0.0, 0.0, 0.0, 1.0]])
    prediction = small.predict(make_case())
    assert prediction.votes == (Conclusion.CT2, Conclusion.CT2, Conclusion.CT4)
    assert prediction.conclusion is Conclusion.CT2
    assert prediction.explanation.target == "evidence for cT2"
    assert [round(score.probability, 3) for score in prediction.scores] == [0.067, 0.267, 0.133, 0.533]


@pytest.mark.parametrize(
    ("votes", "mean", "winner"),
    [
        ((1, 1, 3), (0.0, 0.2, 0.1, 0.7), 1),
        ((0, 1, 3), (0.1, 0.2, 0.4, 0.3), 3),
        ((0, 1), (0.4, 0.3, 0.2, 0.1), 0),
        ((2,), (0.2, 0.2, 0.4, 0.2), 2),
    ],
)
def test_ties_go_to_the_highest_mean(votes: tuple[int, ...], mean: tuple[float, ...], winner: int) -> None:
    """Among classes with equally many votes the one with the highest mean wins; a class without votes never does."""
    assert majority(votes, mean) == winner


@pytest.mark.parametrize(("middle", "slices"), [(0, (0, 1)), (8, (8, 7))])
def test_at_the_end_of_the_series_fewer_slices_vote(
    small: Gtrnet, make_case: CaseMaker, middle: int, slices: tuple[int, ...]
) -> None:
    """A missing neighbour does not vote, and a note says so; the region's size is then a lower bound."""
    prediction = small.predict(make_case(middle))
    assert len(prediction.votes) == 2
    assert prediction.explanation.key_slices == slices
    assert prediction.notes[-1].code == "FEWER_SLICES"
    assert "2 of 3 slices voted" in prediction.notes[-1].text
    assert prediction.nomogram is not None
    assert prediction.nomogram.items[1].answer is None
    assert any("lower bound" in note for note in prediction.nomogram.notes)


def test_maps_cover_the_voting_slices(small: Gtrnet, make_case: CaseMaker) -> None:
    """The saliency has the voting slices at full size, the key slice is shown first, and the map varies."""
    explanation = small.predict(make_case()).explanation
    assert explanation.method is ExplanationMethod.CLASS_ACTIVATION
    assert explanation.start_zyx == (3, 0, 0)
    assert explanation.saliency.shape == (3, 80, 96)
    assert explanation.key_slices == (4, 3, 5)
    assert explanation.saliency.max() == 1.0
    assert explanation.saliency.std() > 0.01


def test_the_maps_overlap_with_the_region_is_reported(small: Gtrnet, make_case: CaseMaker) -> None:
    """Results, "Dice similarity coefficient": over the slices that the network read, not those that it never saw."""
    case = make_case()
    explanation = small.predict(case).explanation
    assert explanation.roi_dice == dice(explanation.saliency, (0, 0, 0), case.roi.mask[3:6])
    assert explanation.roi_dice is not None
    assert 0.0 <= explanation.roi_dice <= 1.0


def test_slices_are_given_in_order(small: Gtrnet, make_case: CaseMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch holds the three neighbouring slices from the first to the last, and the trunk runs once."""
    case = make_case()
    hu = np.broadcast_to(np.arange(9, dtype=np.float32)[:, None, None] * 20.0, SHAPE).copy()
    seen = trunk_of(small, monkeypatch)
    small.predict(replace(case, volume=replace(case.volume, hu=hu)))
    assert [[tuple(tensor.shape) for tensor in inputs] for inputs in seen] == [[(3, 3, 224, 224)]]
    means = seen[0][0].mean(dim=(1, 2, 3)).tolist()
    assert means[0] < means[1] < means[2]


def autograd_grad_cam(network: GtrNet, target: int, inputs: tuple[Tensor, ...]) -> Iterator[Tensor]:
    """Grad-CAM (Selvaraju et al. 2017) slice by slice, by autograd from the logit of the whole network."""
    for index in range(inputs[0].shape[0]):
        image, *aims = (tensor[index : index + 1] for tensor in inputs)
        kept: list[Tensor] = []
        hook = network.get_submodule("layer4").register_forward_hook(lambda _, __, out, kept=kept: kept.append(out))
        with torch.enable_grad():
            logit = network(image.clone().requires_grad_(), *aims)[0, target]
            (gradient,) = torch.autograd.grad(logit, kept[0])
        hook.remove()
        yield relu((gradient.mean(dim=(2, 3), keepdim=True) * kept[0].detach()).sum(dim=1, keepdim=True))


@pytest.mark.parametrize("variant", ["gtrnet", "two_stream"])
def test_the_maps_are_grad_cam(
    variant: str, make_case: CaseMaker, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """For both networks the closed form is Grad-CAM by autograd, normalised, within 1e-4."""
    predictor: Gtrnet = request.getfixturevalue(variant)
    case = make_case()
    seen = trunk_of(predictor, monkeypatch)
    prediction = predictor.predict(case)
    target = [Conclusion.CT1, Conclusion.CT2, Conclusion.CT3, Conclusion.CT4].index(prediction.conclusion)
    maps = torch.cat(list(autograd_grad_cam(predictor._network, target, seen[0])))
    expected = interpolate(maps, size=SHAPE[1:], mode="bilinear", align_corners=False)[:, 0]
    assert expected.max() > 0
    assert np.abs(prediction.explanation.saliency - (expected / expected.max()).numpy()).max() < 1e-4


def test_the_detail_stream_looks_at_the_lesion(
    two_stream: Gtrnet, make_case: CaseMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crop is about the region's centre on the key slice, the same for all slices, and it matters where."""
    seen = trunk_of(two_stream, monkeypatch)
    case = make_case()
    here = two_stream.predict(case)
    images, corners = seen[0]
    assert images.shape == (3, 3, 224, 224)
    assert corners.tolist() == [[round(112 * 40.5 / 80) - 28, round(112 * 40.5 / 96) - 28]] * 3
    mask = np.roll(case.roi.mask, (25, 40), axis=(1, 2))
    assert here.scores != two_stream.predict(replace(case, roi=replace(case.roi, mask=mask))).scores
    assert ("variant=two-stream") in here.algorithm.parameters


def test_the_small_network_runs_as_itself(spoil: Spoiler, make_case: CaseMaker) -> None:
    """A bundle with the small network's file is run and named as such; as a plain network it does not fit."""
    network = GtrNet(SMALL)
    draw(network, 4)
    change = {"weights": {"file": "models/model.safetensors"}}
    path = spoil("gtrnet", lambda c: (c.update(change), c["parameters"].update(variant="small")))
    (path / "models").mkdir()
    save_model(network, path / "models" / "model.safetensors")
    predictor = Gtrnet(Bundle.open(path))
    assert "variant=small" in predictor.identity.parameters
    images = predictor._profile.images(make_case().volume.hu[3:6], 1, (0.9, 0.8))
    with torch.no_grad():
        expected = torch.softmax(network(torch.from_numpy(images)).double(), dim=1).mean(dim=0)
    found = [score.probability for score in predictor.predict(make_case()).scores]
    assert found == pytest.approx(expected.tolist(), abs=1e-6)
    metadata = path / "configs" / "metadata.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {}).replace('"small"', '"plain"'))
    with pytest.raises(BundleError, match="does not fit the network"):
        Gtrnet(Bundle.open(path))


def test_the_nomogram_is_read_from_the_same_map(
    gtrnet: Gtrnet, make_case: CaseMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Rad-score is that of the key slice's features; the size is that of the region; histology is unknown."""
    case = make_case()
    seen = trunk_of(gtrnet, monkeypatch)
    nomogram = gtrnet.predict(case).nomogram
    assert len(seen) == 1
    assert nomogram is not None
    assert gtrnet._radscore is not None
    with torch.no_grad():
        features = gtrnet._network.pooled(gtrnet._network.maps(seen[0][0][1:2]))[0].double().numpy()
    score, size, *histology = nomogram.items
    assert score.answer == f"{gtrnet._radscore.of(features):+.2f} SD"
    assert size.answer == "25 mm (longest diameter of the region)"
    assert [item.answer for item in histology] == [None, None]
    assert all(interval.low < interval.high for _, interval in nomogram.probabilities)


def test_with_all_answers_the_nomogram_gives_numbers(small: Gtrnet, make_case: CaseMaker) -> None:
    """What is known is used, named, and leaves no range."""
    values = (
        ClinicalValue(ClinicalVariable.TUMOUR_SIZE, 62.0, "mm", "csv"),
        ClinicalValue(ClinicalVariable.DIFFERENTIATION, "poor", "", "csv"),
        ClinicalValue(ClinicalVariable.LAUREN_TYPE, "diffuse", "", "csv"),
    )
    prediction = small.predict(replace(make_case(), clinical=ClinicalRecord(values)))
    assert prediction.nomogram is not None
    assert prediction.clinical_used == ("tumour_size", "differentiation", "lauren_type")
    assert [item.answer for item in prediction.nomogram.items][1:] == ["62 mm (csv)", "poor", "diffuse"]
    assert all(interval.low == interval.high for _, interval in prediction.nomogram.probabilities)
    total = sum(interval.low for _, interval in prediction.nomogram.probabilities)
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize("section", ["nomogram", "radscore"])
def test_a_bundle_without_rad_score_or_nomogram_has_no_reading(
    spoil: Spoiler, make_case: CaseMaker, section: str
) -> None:
    """The published checkpoint has no Rad-score, and nothing is read from half a nomogram."""

    def change(celadon: dict[str, Any]) -> None:
        del celadon[section]
        celadon["parameters"]["variant"] = "small"

    prediction = Gtrnet(Bundle.open(spoil("gtrnet", change))).predict(make_case())
    assert (prediction.nomogram, prediction.clinical_used) == (None, ())


def test_the_papers_chain_costs_less_than_the_network(gtrnet: Gtrnet, make_case: CaseMaker) -> None:
    """N4 and all: from HU to tensors takes less processor time than the trunk, on slices of a CT's size."""
    profile = read_profile(Fields(Path("metadata.json"), PAPER))
    hu = make_case(1, (3, 512, 512)).volume.hu
    times: dict[str, list[float]] = {"chain": [], "trunk": []}
    with torch.no_grad():
        for _ in range(3):
            begun = time.process_time()
            images = torch.from_numpy(profile.images(hu, 1, (0.8, 0.8)))
            between = time.process_time()
            gtrnet._trunk(images)
            times["chain"].append(between - begun)
            times["trunk"].append(time.process_time() - between)
    assert statistics.median(times["chain"]) < statistics.median(times["trunk"])


def test_a_region_on_one_slice_is_enough(small: Gtrnet, make_case: CaseMaker) -> None:
    """Its neighbours vote although the region does not reach them, and a flat region has a diameter."""
    case = make_case()
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4, 30:50, 30:50] = True
    prediction = small.predict(replace(case, roi=replace(case.roi, mask=mask)))
    assert len(prediction.votes) == 3
    assert prediction.nomogram is not None
    assert prediction.nomogram.items[1].answer is not None


def test_a_series_of_one_slice_votes_alone(small: Gtrnet, make_case: CaseMaker) -> None:
    """One vote decides, and the note counts it."""
    prediction = small.predict(make_case(0, (1, 80, 96)))
    assert len(prediction.votes) == 1
    assert prediction.conclusion is prediction.votes[0]
    assert "1 of 3 slices voted" in prediction.notes[-1].text


def test_what_is_not_square_is_noted(small: Gtrnet, make_case: CaseMaker) -> None:
    """80 rows of 0.9 mm and 96 columns of 0.8 mm are pressed into a square: said, with the map back in their shape."""
    prediction = small.predict(make_case())
    assert [note.text for note in prediction.notes if note.code == "NOT_SQUARE"] == [
        "The images of 77 x 72 mm were pressed into the model's square."
    ]
    assert prediction.explanation.saliency.shape == (3, 80, 96)
    square = small.predict(make_case(4, (9, 80, 90)))
    assert all(note.code != "NOT_SQUARE" for note in square.notes)


def spoilt(case: Case, what: str) -> Case:
    """The case with something wrong with it."""
    hu, mask = case.volume.hu.copy(), case.roi.mask.copy()
    if what == "nan":
        hu[0, 0, 0] = np.nan
    elif what == "empty":
        mask[:] = False
    elif what == "shifted":
        geometry = replace(case.roi.geometry, origin_lps_mm=(0.0, 0.0, 0.0))
        return replace(case, roi=replace(case.roi, geometry=geometry))
    return replace(case, volume=replace(case.volume, hu=hu), roi=replace(case.roi, mask=mask))


@pytest.mark.parametrize(
    ("what", "code", "detail"),
    [
        ("nan", ReasonCode.INPUT_CONTRACT, "not a finite number"),
        ("empty", ReasonCode.ROI_EMPTY, "no voxel"),
        ("shifted", ReasonCode.ROI_GEOMETRY, "grid"),
    ],
)
def test_bad_input_is_refused_with_its_code(
    small: Gtrnet, make_case: CaseMaker, what: str, code: ReasonCode, detail: str
) -> None:
    """Values that are no numbers, a region without voxels, a region on another grid."""
    with pytest.raises(Refused, match=detail) as caught:
        small.predict(spoilt(make_case(), what))
    assert caught.value.reason.code is code


def test_a_tiny_image_is_refused(small: Gtrnet, make_case: CaseMaker) -> None:
    """Under 64 pixels a side there is no anatomy to blow up to 224; 64 are accepted."""
    with pytest.raises(Refused, match="80 x 63 pixels") as caught:
        small.predict(make_case(4, (9, 80, 63)))
    assert caught.value.reason.code is ReasonCode.INPUT_CONTRACT
    assert len(small.predict(make_case(4, (9, 64, 64))).votes) == 3


def test_the_papers_chain_is_named_and_refuses_air(spoil: Spoiler, make_case: CaseMaker) -> None:
    """The chain's parameters are the algorithm's; slices without a body are refused with their code, saying where."""
    parameters = PAPER | {"variant": "small"}
    predictor = Gtrnet(Bundle.open(spoil("gtrnet", lambda celadon: celadon.update(parameters=parameters))))
    case = make_case()
    assert sum(score.probability for score in predictor.predict(case).scores) == pytest.approx(1.0)
    assert {"profile=paper", "variant=small"} < set(predictor.identity.parameters)
    assert any(parameter.startswith("n4=") for parameter in predictor.identity.parameters)
    air = np.full_like(case.volume.hu, -1000.0)
    with pytest.raises(Refused, match="key slice has no body") as caught:
        predictor.predict(replace(case, volume=replace(case.volume, hu=air)))
    assert caught.value.reason.code is ReasonCode.INPUT_CONTRACT


@pytest.mark.parametrize(("name", "word"), [("variant", "resnet50"), ("profile", "imagenet")])
def test_a_bundle_names_what_it_does_not_know(spoil: Spoiler, name: str, word: str) -> None:
    """An unknown variant or chain is refused by name."""
    path = spoil("gtrnet", lambda celadon: celadon["parameters"].update({name: word}))
    with pytest.raises(BundleError, match=rf"parameters\.{name} is '{word}', not one of"):
        Gtrnet(Bundle.open(path))
