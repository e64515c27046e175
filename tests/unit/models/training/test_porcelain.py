"""PORCELAIN in training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.networks.unimodal import UnimodalNetwork
from models.predictors.variants import VARIANTS
from models.preprocessing.lesion import prepare as predictors_own
from models.training import checkpoint
from models.training.cohort import NTR, Cohort, FileSource
from models.training.images import read_mask, read_volume
from models.training.manifest import read_manifest
from models.training.porcelain import LesionPreparation, PorcelainTask, schema_of
from models.training.prepared import prepare
from models.training.starting import FITTED, TRAINED_ON, population
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable
from node.errors import UsageError
from tests.unit.models.training.conftest import Trained

WINDOW = (40.0, 350.0)
AGE = ClinicalVariable.AGE


@pytest.fixture(scope="module")
def task(porcelain_training: Trained) -> PorcelainTask:
    """The task of the small training, with its cases."""
    wish = porcelain_training.wish
    assert wish.cohort is not None
    cohort = read_manifest(wish.cohort, NTR)
    how = PorcelainTask.preparation(wish.options)
    left, arrays, _ = prepare(cohort, how, wish.out / "cache", 1, lambda: None)
    return PorcelainTask(left, arrays, wish.options)


@pytest.mark.parametrize("variant", ["cuboid", "roi", "roiex-3mm"])
def test_a_case_is_prepared_by_the_predictors_own_code(task: PorcelainTask, variant: str) -> None:
    """Voxel for voxel, and nothing is lost of a lesion that fits."""
    case = task.cohort.cases[0]
    assert isinstance(case.source, FileSource)
    made = LesionPreparation(VARIANTS[variant].region, WINDOW, 0)(case)
    volume, mask = read_volume(case.source.image), read_mask(case.source.mask)
    expected = predictors_own(volume, mask, VARIANTS[variant].region, WINDOW, (30, 100, 100))
    np.testing.assert_array_equal(made["images"][0], expected.values)
    assert made["lost"][0] == expected.lost_fraction == 0.0


def test_rough_masks_are_further_images(task: PorcelainTask) -> None:
    """The case's own mask first; the others see other voxels of the same lesion."""
    images, dice = task.prepared[0].read("images"), task.prepared[0].read("dice")
    assert images.shape == (2, 30, 100, 100)
    assert 0.5 < dice[0] < 1.0
    assert ((images[0] != 0) != (images[1] != 0)).any()


def with_clinical(cohort: Cohort, index: int, value: float) -> Cohort:
    """The cohort with another age of one case."""
    old = cohort.cases[index].clinical.values
    kept = tuple(each for each in old if each.variable is not AGE)
    record = ClinicalRecord((*kept, ClinicalValue(AGE, value, "a", "cohort")))
    changed = replace(cohort.cases[index], clinical=record)
    return replace(cohort, cases=(*cohort.cases[:index], changed, *cohort.cases[index + 1 :]))


def test_held_out_cases_leave_no_trace_in_the_statistics(task: PorcelainTask) -> None:
    """A wild age of a case that is not trained on changes no median, mean or deviation; of one that is, it does."""
    train = [0, 1, 2, 3]
    plain = task.learner(train, task.defaults, 0, "cpu").entries
    held_out = PorcelainTask(with_clinical(task.cohort, 5, 119.0), task.prepared, task.options)
    assert held_out.learner(train, task.defaults, 0, "cpu").entries == plain
    trained_on = PorcelainTask(with_clinical(task.cohort, 1, 119.0), task.prepared, task.options)
    assert trained_on.learner(train, task.defaults, 0, "cpu").entries != plain


def test_a_batch_is_as_the_network_reads_it(task: PorcelainTask) -> None:
    """Rows, columns, slices; without augmentation the prepared image itself."""
    learner = task.learner([0, 1, 2, 3], task.defaults, 0, "cpu")
    boxes, labels, columns = learner.batch([2, 5], None)
    assert boxes.shape == (2, 1, 100, 100, 30)
    np.testing.assert_array_equal(boxes[0, 0].permute(2, 0, 1).numpy(), task.prepared[2].row("images", 0))
    assert labels.tolist() == [0.0, 1.0]
    assert columns.shape[0] == 2


def test_an_epoch_is_augmented_and_can_be_drawn_again(task: PorcelainTask) -> None:
    """The same epoch the same voxels, another epoch others; never what lies outside the lesion's box moved in."""
    learner = task.learner([0, 1, 2, 3], task.defaults, 0, "cpu")
    first, again, other = (learner.batch([0, 1], epoch)[0] for epoch in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first[..., 0] == 0).all()  # the lesion has 8 of 30 slices, in the middle


def test_both_masks_are_seen(task: PorcelainTask) -> None:
    """Over some epochs each about as often."""
    learner = task.learner([0, 1, 2, 3], task.defaults, 0, "cpu")
    seen = [learner._mask(0, epoch) for epoch in range(200)]
    assert np.mean(seen) == pytest.approx(0.5, abs=0.12)


def test_a_unimodal_variant_has_no_columns(task: PorcelainTask) -> None:
    """Image and label alone."""
    alone = PorcelainTask(task.cohort, task.prepared, {"variant": "roi"})
    learner = alone.learner([0, 1], task.defaults, 0, "cpu")
    assert isinstance(learner.network, UnimodalNetwork)
    assert len(learner.batch([0], None)) == 2


def finished_image_branch(task: PorcelainTask, folder: Path, train: list[int]) -> UnimodalNetwork:
    """A network without clinical variables, kept as a finished run on the cases ``train`` keeps it."""
    torch.manual_seed(11)
    network = UnimodalNetwork()
    trained_on = population(task.cohort.cases[index].id for index in train)
    tensors = checkpoint.prefixed(checkpoint.weights(network), "network")
    folder.mkdir()
    checkpoint.write(folder / FITTED, checkpoint.Checkpoint(tensors, {TRAINED_ON: trained_on}))
    return network


def test_a_finished_image_branch_is_taken_as_it_is(task: PorcelainTask, tmp_path: Path) -> None:
    """Its weights stay, the rest reads its embeddings, and what is predicted is what the whole network says."""
    image = finished_image_branch(task, tmp_path / "images", [0, 1, 2, 3]).image
    staged = PorcelainTask(task.cohort, task.prepared, {**task.options, "image_from": tmp_path / "images"})
    learner = staged.learner([3, 2, 1, 0], task.defaults, 0, "cpu")
    assert {name for name, weight in learner.network.named_parameters() if not weight.requires_grad} == {
        f"image.{name}" for name, _ in image.named_parameters()
    }
    for name, tensor in image.state_dict().items():
        assert torch.equal(learner.network.image.state_dict()[name], tensor)
    learner.network.eval()
    embeddings, _, columns = learner.batch([2, 5], None)
    assert embeddings.shape == (2, 256)
    boxes = torch.from_numpy(np.stack([task.prepared[index].row("images", 0) for index in (2, 5)]))
    with torch.no_grad():
        whole = learner.network(boxes.permute(0, 2, 3, 1)[:, None], columns).sigmoid()
        torch.testing.assert_close(learner.predict([2, 5])[:, 0].float(), whole, atol=1e-5, rtol=1e-5)


def test_an_image_branch_that_saw_other_cases_is_refused(task: PorcelainTask, tmp_path: Path) -> None:
    """It would know held-out cases."""
    finished_image_branch(task, tmp_path / "images", [0, 1, 2, 3])
    staged = PorcelainTask(task.cohort, task.prepared, {**task.options, "image_from": tmp_path / "images"})
    with pytest.raises(UsageError, match="no finished run there was trained on the same cases"):
        staged.learner([0, 1, 2, 5], task.defaults, 0, "cpu")


def test_sparsity_is_part_of_the_loss(task: PorcelainTask) -> None:
    """In the measure that the hyper-parameter says."""
    losses = []
    for sparsity in ("0", "1"):
        learner = task.learner([0, 1, 2, 3], task.defaults.changed([f"sparsity={sparsity}"]), 0, "cpu")
        torch.manual_seed(0)  # of dropout: the same in both
        losses.append(float(learner.loss(learner.batch([0, 1, 2, 3], None)).detach()))
    assert losses[0] != losses[1]


def test_variables_that_say_nothing_are_left_out() -> None:
    """Those that fewer than half have, and those that are the same in all."""

    def record(index: int) -> ClinicalRecord:
        values: list[Any] = [
            ClinicalValue(AGE, 50.0 + index, "a", "x"),
            ClinicalValue(ClinicalVariable.SEX, "F", "", "x"),
        ]
        rare = [ClinicalValue(ClinicalVariable.CEA, 1.0 + index, "ng/mL", "x")] if index < 2 else []
        return ClinicalRecord((*values, *rare))

    assert [what.variable for what in schema_of([record(index) for index in range(5)])] == [AGE]
    with pytest.raises(UsageError, match="no clinical variable"):
        schema_of([ClinicalRecord(())] * 3)


def test_dropout_sleeps_in_predictions(task: PorcelainTask) -> None:
    """Twice the same answer."""
    learner = task.learner([0, 1, 2, 3], task.defaults, 0, "cpu")
    learner.network.eval()
    assert any(isinstance(module, nn.Dropout) for module in learner.network.modules())
    with torch.no_grad():
        assert torch.equal(learner.predict([0, 1]), learner.predict([0, 1]))
