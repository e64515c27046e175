"""What every predictor refuses, and what it always says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle, shipped
from models.predictors.gtrnet import Gtrnet
from models.predictors.porcelain import Porcelain
from models.registry import PREDICTORS
from node.domain.clinical import ClinicalRecord
from node.domain.imaging import BoolArray, Roi, Volume
from node.domain.prediction import Case, Prediction
from node.domain.reasons import ReasonCode
from node.errors import BundleError, Refused
from tests.drawn import drawn

SHAPE = (8, 64, 64)
Predictor = Porcelain | Gtrnet


@pytest.fixture(params=PREDICTORS)
def predictor(request: pytest.FixtureRequest) -> Predictor:
    """Each registered predictor with its shipped bundle."""
    loaded: Predictor = request.getfixturevalue(request.param)
    return loaded


@pytest.fixture
def case(
    predictor: Predictor,
    make_volume: Callable[..., Volume],
    make_roi: Callable[..., Roi],
    make_ball: Callable[..., BoolArray],
) -> Case:
    """A case that the predictor can use."""
    volume = make_volume(SHAPE)
    return Case(volume, make_roi(volume, predictor.anatomy, make_ball(SHAPE, (4, 20, 24), (3, 9, 8))), ClinicalRecord())


def reason(predictor: Predictor, case: Case) -> ReasonCode:
    """Why the case is refused."""
    with pytest.raises(Refused) as refused:
        predictor.predict(case)
    return refused.value.reason.code


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(predictor: Predictor, case: Case, value: float) -> None:
    """One NaN or infinity anywhere in the volume, also outside the region, breaks the input contract."""
    hu = case.volume.hu.copy()
    hu[0, 0, 0] = value
    assert reason(predictor, replace(case, volume=replace(case.volume, hu=hu))) is ReasonCode.INPUT_CONTRACT


def test_the_first_value_that_is_no_number_is_named(predictor: Predictor, case: Case) -> None:
    """With slice, row and column."""
    hu = case.volume.hu.copy()
    hu[5, 7, 9] = hu[6, 0, 0] = np.nan
    with pytest.raises(Refused, match="not a finite number: slice 5, row 7, column 9"):
        predictor.predict(replace(case, volume=replace(case.volume, hu=hu)))


def test_huge_numbers_are_numbers(predictor: Predictor, case: Case) -> None:
    """A value whose square overflows is finite all the same: outside the region it changes nothing."""
    hu = case.volume.hu.copy()
    hu[0, 0, 0] = 1e30
    assert predictor.predict(replace(case, volume=replace(case.volume, hu=hu))).scores == predictor.predict(case).scores


def test_opposite_infinities_are_refused(predictor: Predictor, case: Case) -> None:
    """Infinities of both signs do not cancel out."""
    hu = case.volume.hu.copy()
    hu[0, 0, :2] = np.inf, -np.inf
    assert reason(predictor, replace(case, volume=replace(case.volume, hu=hu))) is ReasonCode.INPUT_CONTRACT


def test_a_region_on_another_grid_is_refused(predictor: Predictor, case: Case) -> None:
    """The mask must have the volume's shape and its geometry."""
    cut = replace(case.roi, mask=case.roi.mask[:-1])
    moved = replace(case.roi, geometry=replace(case.roi.geometry, origin_lps_mm=(0.0, 0.0, 0.0)))
    assert reason(predictor, replace(case, roi=cut)) is ReasonCode.ROI_GEOMETRY
    assert reason(predictor, replace(case, roi=moved)) is ReasonCode.ROI_GEOMETRY


def test_an_empty_region_is_refused(predictor: Predictor, case: Case) -> None:
    """A mask without a voxel is an empty region."""
    assert reason(predictor, replace(case, roi=replace(case.roi, mask=case.roi.mask & False))) is ReasonCode.ROI_EMPTY


def test_another_organ_is_refused(predictor: Predictor, case: Case) -> None:
    """A predictor is given lesions of the organ that its bundle was made for, or none."""
    other = next(anatomy for anatomy in type(predictor.anatomy) if anatomy is not predictor.anatomy)
    assert reason(predictor, replace(case, roi=replace(case.roi, anatomy=other))) is ReasonCode.INPUT_CONTRACT


def test_the_disclaimer_comes_first(predictor: Predictor, case: Case) -> None:
    """The first note is the bundle's disclaimer, and the identity is the bundle's."""
    prediction = predictor.predict(case)
    assert prediction.notes[0].code == "DISCLAIMER"
    assert prediction.notes[0].text == predictor.identity.disclaimer != ""
    assert prediction.algorithm == predictor.identity


def test_the_same_case_gives_the_same_prediction(predictor: Predictor, case: Case) -> None:
    """Two runs agree to the last bit, and leave torch's generator and gradients alone."""
    state = torch.get_rng_state()
    first, second = predictor.predict(case), predictor.predict(case)
    assert first.scores == second.scores
    assert first.explanation.saliency.tobytes() == second.explanation.saliency.tobytes()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_the_input_is_left_as_it_was(predictor: Predictor, case: Case) -> None:
    """Predicting changes neither the volume nor the mask."""
    hu, mask = case.volume.hu.copy(), case.roi.mask.copy()
    predictor.predict(case)
    assert np.array_equal(hu, case.volume.hu)
    assert np.array_equal(mask, case.roi.mask)


def test_the_map_fits_the_volume(predictor: Predictor, case: Case) -> None:
    """The saliency is a box inside the volume in [0, 1], and the key slices are slices of the volume."""
    explanation = predictor.predict(case).explanation
    ends = [start + size for start, size in zip(explanation.start_zyx, explanation.saliency.shape, strict=True)]
    assert all(start >= 0 for start in explanation.start_zyx)
    assert all(end <= size for end, size in zip(ends, SHAPE, strict=True))
    assert explanation.saliency.dtype == np.float32
    assert explanation.saliency.min() >= 0
    assert explanation.saliency.max() in {0.0, 1.0}
    assert len(set(explanation.key_slices)) == len(explanation.key_slices) == 3
    assert all(0 <= index < SHAPE[0] for index in explanation.key_slices)


def test_a_bundle_for_another_predictor_is_an_error() -> None:
    """A class takes only bundles that ask for it."""
    with pytest.raises(BundleError, match="for 'gtrnet', not for 'porcelain'"):
        Porcelain(Bundle.open(shipped("gtrnet")))


def test_building_leaves_the_global_generator_alone() -> None:
    """Whoever seeded torch gets the same numbers whether or not a predictor was built in between."""
    bundle = Bundle.open(drawn("porcelain"))
    state = torch.get_rng_state()
    Porcelain(bundle)
    assert torch.equal(torch.get_rng_state(), state)


def test_many_cases_are_one_batch(predictor: Predictor, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of all cases go through the trunk together, and each case gets the answer it would get alone."""
    other = replace(case, volume=replace(case.volume, hu=np.flip(case.volume.hu, axis=0).copy()))
    alone = [predictor.predict(each) for each in (case, other)]
    batches: list[int] = []
    trunk = predictor._trunk
    monkeypatch.setattr(predictor, "_trunk", lambda *inputs: batches.append(len(inputs[0])) or trunk(*inputs))
    together = predictor.predict_many((case, other))
    assert len(batches) == 1
    for one, many in zip(alone, together, strict=True):
        assert isinstance(many, Prediction)
        assert many.conclusion is one.conclusion
        assert [score.probability for score in many.scores] == pytest.approx(
            [s.probability for s in one.scores], abs=1e-5
        )
        assert np.allclose(many.explanation.saliency, one.explanation.saliency, atol=1e-3)


def test_a_refused_case_does_not_stop_the_others(predictor: Predictor, case: Case) -> None:
    """Among many, the refused one has its reason where its answer would be."""
    empty = replace(case, roi=replace(case.roi, mask=case.roi.mask & False))
    first, second, third = predictor.predict_many((case, empty, case))
    assert isinstance(second, Refused)
    assert second.reason.code is ReasonCode.ROI_EMPTY
    assert isinstance(first, Prediction)
    assert isinstance(third, Prediction)
    assert first.notes[0].code == "DISCLAIMER"


def test_no_case_is_no_answer(predictor: Predictor) -> None:
    """An empty batch asks the network nothing."""
    assert predictor.predict_many(()) == ()


@pytest.mark.parametrize("made", [Gtrnet, Porcelain])
def test_what_ships_runs_on_the_fast_path(made: type[Gtrnet] | type[Porcelain]) -> None:
    """Its own weights give there what they give in plain torch."""
    predictor = made(Bundle.open(shipped(made.name)))
    predictor.warm()
    assert not isinstance(predictor._trunk, torch.nn.Module)


def test_warm_changes_the_speed_and_not_the_answer(case: Case, predictor: Predictor, tmp_path: Path) -> None:
    """On the fast path the probabilities stay within 1e-4 and the map is the same to the eye; what it needs is kept."""
    fresh = type(predictor)(Bundle.open(drawn(predictor.name)), cache=tmp_path)
    before = fresh.predict(case)
    fresh.warm()
    after = fresh.predict(case)
    assert not isinstance(fresh._trunk, torch.nn.Module)
    assert len(list(tmp_path.iterdir())) == 1
    assert after.conclusion is before.conclusion
    assert [score.probability for score in after.scores] == pytest.approx(
        [score.probability for score in before.scores], abs=1e-4
    )
    assert np.abs(after.explanation.saliency - before.explanation.saliency).max() < 1e-3
