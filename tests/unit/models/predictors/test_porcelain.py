"""PORCELAIN's predictor: preprocessing, decision and explanation on the CT's own grid."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle
from models.predictors.porcelain import Porcelain
from models.preprocessing.fitting import Fit
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.coding import Anatomy
from node.domain.imaging import BoolArray, Roi, Volume
from node.domain.prediction import Case, Conclusion, ExplanationMethod, Quantity
from node.domain.reasons import ReasonCode
from node.errors import Refused

SHAPE = (10, 60, 70)
KNOWN = ClinicalRecord(
    (
        ClinicalValue(ClinicalVariable.AGE, 66.0, "a", "test"),
        ClinicalValue(ClinicalVariable.SEX, "F", "", "test"),
        ClinicalValue(ClinicalVariable.HEIGHT, 1.7, "m", "test"),
        ClinicalValue(ClinicalVariable.WEIGHT, 70.0, "kg", "test"),
    )
)


@pytest.fixture
def case(make_volume: Callable[..., Volume], make_roi: Callable[..., Roi], make_ball: Callable[..., BoolArray]) -> Case:
    """An ellipsoid in a textured volume, off its centre."""
    volume = make_volume(SHAPE)
    return Case(volume, make_roi(volume, Anatomy.PANCREAS, make_ball(SHAPE, (5, 20, 45), (3, 12, 16))), KNOWN)


def test_it_gives_one_score_and_a_class(porcelain: Porcelain, case: Case) -> None:
    """One probability of a high NTR, compared with the bundle's threshold; there is no vote."""
    prediction = porcelain.predict(case)
    (score,) = prediction.scores
    assert score.quantity is Quantity.NTR_HIGH
    assert 0.01 < score.probability < 0.99
    assert prediction.threshold == 0.5
    assert (prediction.conclusion is Conclusion.NTR_HIGH) == (score.probability >= 0.5)
    assert prediction.votes == ()


def test_the_image_and_the_patient_both_count(
    porcelain: Porcelain, case: Case, make_volume: Callable[..., Volume]
) -> None:
    """Another texture, another region and another age each give another probability."""
    other = ClinicalRecord((ClinicalValue(ClinicalVariable.AGE, 30.0, "a", "test"), *KNOWN.values[1:]))
    smaller = replace(case.roi, mask=case.roi.mask & (np.arange(SHAPE[2]) < 45))
    cases = (
        case,
        replace(case, volume=make_volume(SHAPE, seed=9)),
        replace(case, roi=smaller),
        replace(case, clinical=other),
    )
    assert len({porcelain.predict(each).scores[0].probability for each in cases}) == len(cases)


def test_what_lies_outside_the_region_does_not_count(porcelain: Porcelain, case: Case) -> None:
    """The ROI variant zeroes voxels outside the mask: other values there change nothing."""
    hu = np.where(case.roi.mask, case.volume.hu, np.float32(3000.0))
    other = porcelain.predict(replace(case, volume=replace(case.volume, hu=hu)))
    assert other.scores == porcelain.predict(case).scores


def test_the_encoder_is_given_rows_columns_slices(
    porcelain: Porcelain, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tensor is 1 x 1 x 100 x 100 x 30 with the region in the middle, z-scored inside and 0 outside."""
    seen: list[torch.Tensor] = []
    trunk = porcelain._network.image.trunk
    monkeypatch.setattr(porcelain._network.image, "trunk", lambda image: seen.append(image) or trunk(image))
    porcelain.predict(case)
    (image,) = seen
    assert image.shape == (1, 1, 100, 100, 30)
    box = case.roi.mask[2:9, 8:33, 29:62]
    expected = np.moveaxis(Fit.between(box.shape, (30, 100, 100)).apply(box), 0, -1)
    inside = image[0, 0].numpy()
    assert not inside[~expected].any()
    assert abs(inside[expected].mean()) < 1e-5
    assert abs(inside[expected].std() - 1.0) < 1e-5


def test_the_map_lies_on_the_box_of_the_region(porcelain: Porcelain, case: Case) -> None:
    """The saliency covers the region's box on the CT's grid, and is not the same everywhere."""
    explanation = porcelain.predict(case).explanation
    assert explanation.method is ExplanationMethod.GRAD_CAM
    assert explanation.start_zyx == (2, 8, 29)
    assert explanation.saliency.shape == (7, 25, 33)
    assert explanation.saliency.max() == 1.0
    assert explanation.saliency.std() > 0.01


def test_the_map_moves_with_the_region(porcelain: Porcelain, case: Case) -> None:
    """The same lesion elsewhere in the volume has the same map there."""
    shift = (1, 11, -13)
    moved = replace(
        case,
        volume=replace(case.volume, hu=np.roll(case.volume.hu, shift, (0, 1, 2))),
        roi=replace(case.roi, mask=np.roll(case.roi.mask, shift, (0, 1, 2))),
    )
    here, there = porcelain.predict(case).explanation, porcelain.predict(moved).explanation
    assert there.start_zyx == tuple(a + b for a, b in zip(here.start_zyx, shift, strict=True))
    assert np.array_equal(here.saliency, there.saliency)
    assert there.key_slices == tuple(index + 1 for index in here.key_slices)


def test_a_low_conclusion_turns_the_sign_of_the_map(spoil: Callable[..., Path], case: Case) -> None:
    """With the threshold below and above the score, the two maps show evidence in different places."""
    explanations = []
    for threshold, conclusion in ((0.0, Conclusion.NTR_HIGH), (1.0, Conclusion.NTR_LOW)):
        path = spoil("porcelain", lambda c, t=threshold: c["parameters"].update(threshold=t))
        prediction = Porcelain(Bundle.open(path)).predict(case)
        assert prediction.conclusion is conclusion
        explanations.append(prediction.explanation)
        path.rename(path.with_name(f"porcelain-{threshold}"))
    high, low = explanations
    assert (high.target, low.target) == ("evidence for a high NTR", "evidence for a low NTR")
    assert not np.allclose(high.saliency, low.saliency)


def test_key_slices_are_those_with_most_evidence(porcelain: Porcelain, case: Case) -> None:
    """Three slices of the volume in falling order of the map's sum."""
    explanation = porcelain.predict(case).explanation
    mass = [explanation.on_slice(index, SHAPE[1:]).sum(dtype=np.float64) for index in range(SHAPE[0])]
    assert list(explanation.key_slices) == sorted(range(SHAPE[0]), key=lambda index: -mass[index])[:3]


def test_without_evidence_the_largest_slices_are_shown(
    porcelain: Porcelain, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An all-zero map stays all zero, is called empty, and the region's largest slices are shown."""
    monkeypatch.setattr(porcelain, "_run", lambda *_: (0.0, torch.zeros(1, 1, 7, 7, 2)))
    explanation = porcelain.predict(case).explanation
    assert explanation.is_empty
    assert explanation.key_slices == (5, 4, 6)


def test_what_the_crop_loses_is_said(
    porcelain: Porcelain, make_volume: Callable[..., Volume], make_roi: Callable[..., Roi]
) -> None:
    """A lesion of 40 slices loses a quarter: the note says so, and the map covers what the network saw."""
    volume = make_volume((44, 20, 20))
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[2:42, 5:15, 5:15] = True
    prediction = porcelain.predict(Case(volume, make_roi(volume, Anatomy.PANCREAS, mask), KNOWN))
    assert [note.code for note in prediction.notes] == ["DISCLAIMER", "CROP_LOSS"]
    assert "25.0%" in prediction.notes[1].text
    assert prediction.explanation.start_zyx == (7, 5, 5)
    assert prediction.explanation.saliency.shape == (30, 10, 10)


def test_what_was_imputed_is_said(porcelain: Porcelain, case: Case) -> None:
    """Imputed variables are named in the prediction and in a note; with all values there is no note."""
    complete = porcelain.predict(case)
    assert complete.clinical_used == ("age", "bmi", "sex")
    assert [note.code for note in complete.notes] == ["DISCLAIMER"]
    empty = porcelain.predict(replace(case, clinical=ClinicalRecord()))
    assert (empty.clinical_used, empty.clinical_imputed) == ((), ("age", "bmi", "sex"))
    assert empty.notes[1].text == "3 of 3 clinical variables were imputed: age, bmi, sex."


def test_a_region_of_equal_values_is_refused(porcelain: Porcelain, case: Case) -> None:
    """Air is clipped to one value by the window: there is nothing to normalise by."""
    air = replace(case.volume, hu=np.full(SHAPE, -1000.0, dtype=np.float32))
    with pytest.raises(Refused) as refused:
        porcelain.predict(replace(case, volume=air))
    assert refused.value.reason.code is ReasonCode.INPUT_CONTRACT


def test_a_crop_that_loses_everything_is_refused(
    porcelain: Porcelain, make_volume: Callable[..., Volume], make_roi: Callable[..., Roi]
) -> None:
    """Two far ends of a region with nothing between leave no voxel in the centre."""
    volume = make_volume((44, 20, 20))
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[[0, 43], 5:15, 5:15] = True
    with pytest.raises(Refused) as refused:
        porcelain.predict(Case(volume, make_roi(volume, Anatomy.PANCREAS, mask), KNOWN))
    assert refused.value.reason.code is ReasonCode.ROI_EMPTY
