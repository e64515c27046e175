"""PORCELAIN's predictor: preprocessing, decision and explanation on the CT's own grid."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle, shipped
from models.networks.en_pct import MAP_STAGE
from models.predictors.porcelain import Porcelain
from models.predictors.variants import VARIANTS
from models.preprocessing.axes import slices_last
from models.preprocessing.clinical import Number
from models.preprocessing.clinical_fit import PORCELAIN
from models.preprocessing.fitting import Fit
from models.preprocessing.lesion import prepare
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.domain.coding import Anatomy
from node.domain.imaging import BoolArray, Roi, Volume
from node.domain.prediction import Case, Conclusion, ExplanationMethod, Quantity
from node.domain.reasons import ReasonCode
from node.errors import Refused
from tests.drawn import drawn

SHAPE = (10, 60, 70)
KNOWN = ClinicalRecord(
    (
        ClinicalValue(ClinicalVariable.AGE, 66.0, "a", "test"),
        ClinicalValue(ClinicalVariable.SEX, "F", "", "test"),
        ClinicalValue(ClinicalVariable.HEIGHT, 1.7, "m", "test"),
        ClinicalValue(ClinicalVariable.WEIGHT, 70.0, "kg", "test"),
    )
)


def complete() -> ClinicalRecord:
    """A value for each variable that the model asks for."""
    values = []
    for what in PORCELAIN:
        if isinstance(what, Number):
            values.append(ClinicalValue(what.variable, sum(what.plausible) / 3, what.unit, "test"))
        else:
            values.append(ClinicalValue(what.variable, what.categories[0][0], "", "test"))
    return ClinicalRecord(tuple(values))


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
    assert prediction.threshold == Bundle.open(shipped("porcelain")).celadon.child("parameters").number("threshold")
    assert (prediction.conclusion is Conclusion.NTR_HIGH) == (score.probability >= prediction.threshold)
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
    trunk = porcelain._trunk
    monkeypatch.setattr(porcelain, "_trunk", lambda image: seen.append(image) or trunk(image))
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
    run = porcelain._run
    monkeypatch.setattr(porcelain, "_run", lambda *given: (run(*given)[0], torch.zeros(1, 1, 7, 7, 2), run(*given)[2]))
    explanation = porcelain.predict(case).explanation
    assert explanation.is_empty
    assert explanation.roi_dice == 0.0
    assert explanation.key_slices == (5, 4, 6)


def test_what_the_crop_loses_is_said(
    porcelain: Porcelain, make_volume: Callable[..., Volume], make_roi: Callable[..., Roi]
) -> None:
    """A lesion of 40 slices loses a quarter: the note says so, and the map covers what the network saw."""
    volume = make_volume((44, 20, 20))
    mask = np.zeros(volume.hu.shape, dtype=bool)
    mask[2:42, 5:15, 5:15] = True
    prediction = porcelain.predict(Case(volume, make_roi(volume, Anatomy.PANCREAS, mask), KNOWN))
    assert [note.code for note in prediction.notes] == ["DISCLAIMER", "CROP_LOSS", "CLINICAL_IMPUTED"]
    assert "25.0%" in prediction.notes[1].text
    assert prediction.explanation.start_zyx == (7, 5, 5)
    assert prediction.explanation.saliency.shape == (30, 10, 10)


def test_what_was_imputed_is_said(porcelain: Porcelain, case: Case) -> None:
    """Imputed variables are named in the prediction and in a note; with all values there is no such note."""
    partial = porcelain.predict(case)
    assert partial.clinical_used == ("age", "sex", "bmi")
    assert partial.clinical_imputed[:3] == ("clinical_t", "clinical_n", "lesion_site")
    assert [note.code for note in partial.notes] == ["DISCLAIMER", "CLINICAL_IMPUTED"]
    assert partial.notes[1].text == "24 of 27 clinical variables were imputed."
    assert partial.clinical_imputed[:2] == ("clinical_t", "clinical_n")
    full = porcelain.predict(replace(case, clinical=complete()))
    assert "CLINICAL_IMPUTED" not in [note.code for note in full.notes]
    assert (len(full.clinical_used), full.clinical_imputed) == (27, ())


def test_a_clinical_n_category_is_said_to_be_one(porcelain: Porcelain, case: Case) -> None:
    """It leads in the paper, where it was presumably pathological: whoever gives one is told."""
    given = ClinicalRecord((*KNOWN.values, ClinicalValue(ClinicalVariable.CLINICAL_N, "cN1", "", "test")))
    notes = porcelain.predict(replace(case, clinical=given)).notes
    assert [note.code for note in notes] == ["DISCLAIMER", "CLINICAL_IMPUTED", "CLINICAL_N"]


def test_what_cannot_be_believed_is_said(porcelain: Porcelain, case: Case) -> None:
    """A recorded value that is not plausible is imputed, and named in a note without the value."""
    odd = ClinicalRecord((*KNOWN.values, ClinicalValue(ClinicalVariable.ALBUMIN, 4000.0, "g/L", "test")))
    prediction = porcelain.predict(replace(case, clinical=odd))
    assert [note.code for note in prediction.notes] == ["DISCLAIMER", "CLINICAL_IMPUTED", "CLINICAL_DISBELIEVED"]
    assert prediction.notes[2].text.endswith("imputed: albumin.")
    assert "4000" not in prediction.notes[2].text


def test_each_variable_and_the_image_have_a_contribution(porcelain: Porcelain, case: Case) -> None:
    """28 Shapley values add up from the base to the logit, the largest first, each with what went in."""
    prediction = porcelain.predict(case)
    found = prediction.attribution
    assert found is not None
    assert len(found.contributions) == 28
    total = found.base_logit + sum(each.logits for each in found.contributions)
    assert total == pytest.approx(found.logit, abs=1e-5)
    assert 1 / (1 + np.exp(-found.logit)) == pytest.approx(prediction.scores[0].probability)
    sizes = [abs(each.logits) for each in found.contributions]
    assert sizes == sorted(sizes, reverse=True)
    by_name = {each.name: each for each in found.contributions}
    assert (by_name["age"].answer, by_name["age"].is_imputed) == ("66 years", False)
    assert (by_name["bmi"].answer, by_name["bmi"].is_imputed) == ("24.22 kg/m2", False)
    assert by_name["cea"].is_imputed
    assert (by_name["image"].answer, by_name["image"].is_imputed) == ("", False)


def test_the_overlap_with_the_region_is_reported(porcelain: Porcelain, case: Case) -> None:
    """Dice of the map, binarised at half its maximum, with the mask."""
    explanation = porcelain.predict(case).explanation
    seen = np.zeros(SHAPE, dtype=bool)
    box = tuple(slice(a, a + n) for a, n in zip(explanation.start_zyx, explanation.saliency.shape, strict=True))
    seen[box] = explanation.saliency >= 0.5
    expected = 2 * (seen & case.roi.mask).sum() / (seen.sum() + case.roi.mask.sum())
    assert explanation.roi_dice == pytest.approx(expected)


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Porcelain:
    """Each of the seven models with seeded weights."""
    path = tmp_path_factory.mktemp("bundles") / "porcelain"
    shutil.copytree(drawn("porcelain"), path)
    file = path / "configs" / "metadata.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    values["celadon"]["parameters"]["variant"] = request.param
    file.write_text(json.dumps(values), encoding="utf-8")
    return Porcelain(Bundle.open(path))


def test_every_variant_predicts_and_explains(variant: Porcelain, case: Case) -> None:
    """A moderate score that the image moves, a map with the region in it, and SHAP where there are clinical columns."""
    prediction = variant.predict(case)
    is_multimodal = variant._variant.is_multimodal
    assert 0.01 < prediction.scores[0].probability < 0.99
    explanation = prediction.explanation
    covered = np.zeros(SHAPE, dtype=bool)
    covered[tuple(slice(a, a + n) for a, n in zip(explanation.start_zyx, explanation.saliency.shape, strict=True))] = (
        True
    )
    assert not (case.roi.mask & ~covered).any()
    assert explanation.saliency.max() in {0.0, 1.0}
    assert (prediction.attribution is not None) == is_multimodal
    assert (len(prediction.clinical_used) > 0) == is_multimodal
    hu = case.volume.hu.copy()
    hu[case.roi.mask] = hu[case.roi.mask][::-1]
    changed = variant.predict(replace(case, volume=replace(case.volume, hu=hu)))
    assert changed.scores[0].probability != prediction.scores[0].probability


def test_every_variant_is_explained_by_grad_cam_of_its_own_network(variant: Porcelain, case: Case) -> None:
    """The map from the tail alone equals that of hooks on the whole network with a full backward pass, to 1e-4."""
    network = variant._network
    record = variant._table.encode(case.clinical) if variant._table else None
    columns = variant._columns(record)
    image = prepare(case.volume, case.roi.mask, variant._variant.region, variant._window, (30, 100, 100)).values
    with torch.no_grad():
        features = variant._trunk(torch.from_numpy(slices_last(image))[None, None])
        logit, signed, embedding = variant._run(features, columns)
    kept: list[torch.Tensor] = []
    with network.image.stages[MAP_STAGE].register_forward_hook(lambda _module, _inputs, output: kept.append(output)):
        tensor = torch.from_numpy(slices_last(image))[None, None].requires_grad_()
        whole = network(tensor, *columns)
    (gradient,) = torch.autograd.grad(whole[0], kept[0])
    expected = (gradient.mean(dim=(2, 3, 4), keepdim=True) * kept[0]).sum(dim=1, keepdim=True).detach()
    assert logit == pytest.approx(float(whole.detach()), abs=1e-5)
    assert float((signed - expected).abs().max() / expected.abs().max()) < 1e-4
    with torch.no_grad():
        assert torch.allclose(embedding, network.image(tensor), atol=1e-4)


def test_every_variant_turns_the_map_for_a_low_conclusion(variant: Porcelain, case: Case) -> None:
    """Seen from the other side of the threshold, the map shows what was negative; together they cover what was seen."""
    maps = {}
    own = variant._threshold
    for threshold, conclusion in ((0.0, Conclusion.NTR_HIGH), (1.0, Conclusion.NTR_LOW)):
        variant._threshold = threshold
        prediction = variant.predict(case)
        assert prediction.conclusion is conclusion
        maps[conclusion] = prediction.explanation.saliency
    variant._threshold = own
    assert not np.allclose(maps[Conclusion.NTR_HIGH], maps[Conclusion.NTR_LOW])


def test_every_variant_puts_a_hot_cell_where_it_belongs(
    variant: Porcelain, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cell of the 7 x 7 x 2 map lights up the same place of the CT as it was read from."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1:9, 5:55, 5:65] = True
    cell = (4, 2, 1)

    def hot(*_: object) -> tuple[float, torch.Tensor, torch.Tensor]:
        signed = torch.zeros(1, 1, 7, 7, 2)
        signed[(0, 0, *cell)] = 1.0 if variant._threshold < 0.5 else -1.0
        return 0.0, signed, torch.zeros(1, 256)

    monkeypatch.setattr(variant, "_run", hot)
    monkeypatch.setattr(variant, "_attribution", lambda *_: None)
    monkeypatch.setattr(variant, "_threshold", 0.1)
    explanation = variant.predict(replace(case, roi=replace(case.roi, mask=mask))).explanation
    z, y, x = (
        a + int(i)
        for a, i in zip(
            explanation.start_zyx,
            np.unravel_index(int(explanation.saliency.argmax()), explanation.saliency.shape),
            strict=True,
        )
    )
    # The centre of the cell in the 100 x 100 x 30 input, from the middle of the input, which is the middle of the box.
    off_rows, off_columns, off_slices = (
        (c + 0.5) * size / n - size / 2 for c, size, n in zip(cell, (100, 100, 30), (7, 7, 2), strict=True)
    )
    mm = (3.0, 0.9, 0.8) if variant._variant.region.dilation_mm else (1.0, 1.0, 1.0)
    middle = (4.5, 29.5, 34.5)
    expected = (middle[0] + off_slices / mm[0], middle[1] + off_rows / mm[1], middle[2] + off_columns / mm[2])
    reach = (30 / 2 / 2 / mm[0] + 1, 100 / 7 / 2 / mm[1] + 1, 100 / 7 / 2 / mm[2] + 1)
    assert all(abs(a - b) <= r for a, b, r in zip((z, y, x), expected, reach, strict=True))


def test_a_value_in_an_unknown_unit_is_refused(porcelain: Porcelain, case: Case) -> None:
    """With a code, the variable and the unit."""
    wrong = ClinicalRecord((ClinicalValue(ClinicalVariable.HAEMOGLOBIN, 13.0, "stone", "test"),))
    with pytest.raises(Refused, match="haemoglobin, from test: the unit is 'stone', not 'g/L'") as refused:
        porcelain.predict(replace(case, clinical=wrong))
    assert refused.value.reason.code is ReasonCode.CLINICAL_VALUE


def test_too_many_missing_values_are_refused(spoil: Callable[..., Path], case: Case) -> None:
    """Beyond the bundle's limit there is no prediction, and the reason names what is missing."""
    path = spoil("porcelain", lambda celadon: celadon["parameters"].update(max_imputed=5))
    with pytest.raises(Refused, match="24 of 27 are missing, 5 may be: clinical_t") as refused:
        Porcelain(Bundle.open(path)).predict(case)
    assert refused.value.reason.code is ReasonCode.CLINICAL_MISSING


def test_a_region_at_the_very_corner_is_read(variant: Porcelain, case: Case) -> None:
    """One slice, one corner: the map stays inside the volume."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[0, :6, :6] = True
    explanation = variant.predict(replace(case, roi=replace(case.roi, mask=mask))).explanation
    ends = [a + n for a, n in zip(explanation.start_zyx, explanation.saliency.shape, strict=True)]
    assert min(explanation.start_zyx) >= 0
    assert all(end <= size for end, size in zip(ends, SHAPE, strict=True))


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
