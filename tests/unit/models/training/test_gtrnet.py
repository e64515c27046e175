"""GTRNet in training."""

import numpy as np
import pytest
import torch

from models.networks.gtrnet import SMALL
from models.networks.two_stream import TwoStreamGtrNet
from models.predictors.gtrnet import _VARIANTS
from models.preprocessing.profiles import PublishedCheckpoint
from models.training import augmentation
from models.training.cohort import T_STAGE, FileSource
from models.training.gtrnet import NETWORKS, PROFILES, GtrnetTask, SlicePreparation, _voted
from models.training.images import read_volume
from models.training.manifest import read_manifest
from models.training.prepared import prepare
from tests.unit.models.training.conftest import Trained


@pytest.fixture(scope="module")
def task(gtrnet_training: Trained) -> GtrnetTask:
    """The task of the small training, with its cases."""
    wish = gtrnet_training.wish
    assert wish.cohort is not None
    left, arrays, _ = prepare(
        read_manifest(wish.cohort, T_STAGE), GtrnetTask.preparation(wish.options), wish.out / "cache", 1, lambda: None
    )
    return GtrnetTask(left, arrays, wish.options)


def test_a_case_is_prepared_by_the_predictors_own_code(task: GtrnetTask) -> None:
    """The largest slice and its neighbours through the profile."""
    case = task.cohort.cases[0]
    assert isinstance(case.source, FileSource)
    made = SlicePreparation("published-checkpoint", 0)(case)
    hu = read_volume(case.source.image).hu
    np.testing.assert_array_equal(made["slices"], PublishedCheckpoint(50, 350).images(hu[2:5], 1, (0.8, 0.8)))
    assert made["key"].tolist() == [1]
    assert made["centres"].shape == (1, 2)
    np.testing.assert_allclose(made["centres"][0], 0.5)
    assert made["diameter"][0] > 0


def test_the_papers_chain_can_be_asked_for(task: GtrnetTask) -> None:
    """Each slice with mean 0 and deviation 1."""
    slices = SlicePreparation("paper", 0)(task.cohort.cases[0])["slices"]
    np.testing.assert_allclose(slices.mean(axis=(1, 2, 3)), 0.0, atol=1e-4)
    np.testing.assert_allclose(slices.std(axis=(1, 2, 3)), 1.0, atol=1e-3)


def test_networks_and_profiles_are_those_that_a_bundle_may_name() -> None:
    """Whatever is trained can be run."""
    assert set(NETWORKS) == set(_VARIANTS)
    assert all(values["profile"] == name for name, values in PROFILES.items())


def test_a_slice_beside_the_key_slice_still_shows_the_lesion(task: GtrnetTask) -> None:
    """At least half of its area, within 5 mm: of 3 mm slices the third at most."""
    for prepared in task.prepared:
        assert prepared.read("beside").shape == (1, 3, 224, 224)
        assert prepared.read("centres").shape == (2, 2)


def test_training_sees_all_slices_and_aims_with_an_error(task: GtrnetTask) -> None:
    """Over some epochs; without augmentation the key slice and the lesion's own centre."""
    learner = task.learner([], task.defaults, 0, "cpu")
    key = task.prepared[0].row("slices", 1)
    image, centre = learner._seen(0, None)
    np.testing.assert_array_equal(image, key)
    assert centre == pytest.approx((0.5, 0.5))
    seen = [learner._seen(0, epoch) for epoch in range(60)]
    assert len({image.tobytes() for image, _ in seen}) == len({each.tobytes() for each in _all(task)})
    errors = np.array([aim for _, aim in seen]) - 0.5
    assert 0.005 < errors.std() < 0.02


def _all(task: GtrnetTask) -> list[np.ndarray]:  # type: ignore[type-arg]
    prepared = task.prepared[0]
    return [*prepared.read("slices"), *prepared.read("beside")]


def test_the_crop_follows_the_lesion_through_the_augmentation(task: GtrnetTask) -> None:
    """Corners of the detail stream, one for each image."""
    learner = task.learner([], task.defaults, 0, "cpu")
    images, labels, corners = learner.batch([0, 1, 2], 1)
    assert images.shape == (3, 3, 224, 224)
    assert labels.tolist() == [0, 1, 2]
    assert corners.shape == (3, 2)
    change = augmentation.drawn(augmentation.GTRNET, 0, 1, 0)
    moved = augmentation.moved(learner._seen(0, 1)[1], change)
    assert corners[0].tolist() == TwoStreamGtrNet(SMALL).aims(moved, 1)[0][0].tolist()


def test_a_case_is_judged_by_vote(task: GtrnetTask) -> None:
    """Mean probabilities of the three slices, and the class that most of them name."""
    learner = task.learner([], task.defaults, 0, "cpu")
    learner.network.eval()
    with torch.no_grad():
        rows = learner.predict([0, 3])
    assert rows.shape == (2, 5)
    torch.testing.assert_close(rows[:, :4].sum(dim=1), torch.ones(2, dtype=torch.float64))
    three = torch.tensor([[0.6, 0.4, 0, 0], [0.6, 0.4, 0, 0], [0, 1.0, 0, 0]], dtype=torch.float64)
    assert _voted(three)[4] == 0


def test_too_few_patients_give_no_score(task: GtrnetTask) -> None:
    """NaN for the held-out cases, and the training goes on."""
    learner = task.learner([], task.defaults, 0, "cpu")
    learner.network.eval()
    assert np.isnan(task.beside(learner, [0, 1, 2], [3, 4])).all()
