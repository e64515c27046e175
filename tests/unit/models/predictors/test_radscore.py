"""The Rad-score: stored, standardised, and never random in a bundle that says it was trained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.bundle import Bundle
from models.predictors.radscore import RadScore, read_radscore
from node.domain.prediction import TrainingStatus
from node.errors import BundleError

WIDTH = 40


def features(count: int = 200) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Features as after ReLU and pooling: not negative, of unlike size, one of them always the same."""
    made = np.random.default_rng(0).gamma(2.0, np.linspace(0.1, 3.0, WIDTH), (count, WIDTH))
    made[:, 7] = 0.25
    return made


def drawn() -> RadScore:
    """A random score."""
    return RadScore.drawn(3, features())


def test_over_its_training_data_it_is_standardised() -> None:
    """Table 3, "OR per SD": mean 0 and SD 1, so that its coefficient is per SD."""
    scores = np.array([drawn().of(row) for row in features()])
    assert abs(scores.mean()) < 1e-12
    assert scores.std() == pytest.approx(1.0)


def test_it_is_linear_in_the_standardised_features() -> None:
    """One SD of one feature moves the score by that feature's coefficient, over the SD of the sum."""
    score = drawn()
    row = features()[0]
    for index in (np.flatnonzero(score.coefficients)[0], 7):
        moved = row.copy()
        moved[index] += score.feature_sd[index]
        step = score.coefficients[index] / score.score_sd
        assert score.of(moved) - score.of(row) == pytest.approx(step)


def test_a_feature_that_never_varies_says_nothing() -> None:
    """Its coefficient is 0 and nothing is divided by its deviation."""
    score = RadScore.standardised(np.ones(WIDTH), features())
    assert score.coefficients[7] == 0.0
    assert np.count_nonzero(score.coefficients) == WIDTH - 1
    with pytest.raises(ValueError, match="the same for all"):
        RadScore.standardised(np.zeros(WIDTH), features())


def test_a_drawn_score_follows_from_its_seed() -> None:
    """Thirty coefficients, the same for the same seed, others for another."""
    assert np.count_nonzero(drawn().coefficients) == 30
    assert np.array_equal(drawn().coefficients, drawn().coefficients)
    assert not np.array_equal(drawn().coefficients, RadScore.drawn(4, features()).coefficients)


def test_stored_it_is_the_same_score(tmp_path: Path) -> None:
    """A file gives back the same number to the last digit."""
    drawn().save(tmp_path / "r.safetensors")
    row = features()[5]
    assert RadScore.load(tmp_path / "r.safetensors").of(row) == drawn().of(row)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"feature_sd": np.zeros(WIDTH)}, "not above zero"),
        ({"coefficients": np.full(WIDTH, np.nan)}, "finite"),
        ({"feature_mean": np.zeros(3)}, "shapes"),
        ({"extra": np.zeros(1)}, "holds"),
    ],
)
def test_a_file_that_is_no_score_is_refused(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    """Wrong tensors, shapes, deviations or values name the file."""
    score = drawn()
    tensors = {name: getattr(score, name) for name in ("coefficients", "feature_mean", "feature_sd")}
    tensors |= {name: np.array([getattr(score, name)]) for name in ("score_mean", "score_sd")}
    save_file(tensors | change, tmp_path / "r.safetensors")
    with pytest.raises(BundleError, match=rf"r\.safetensors: .*{why}"):
        RadScore.load(tmp_path / "r.safetensors")


def test_a_file_that_is_not_there_or_not_readable_is_named(tmp_path: Path) -> None:
    """Both are a bundle's fault."""
    with pytest.raises(BundleError, match="cannot be read"):
        RadScore.load(tmp_path / "none.safetensors")
    (tmp_path / "r.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BundleError, match="cannot be read"):
        RadScore.load(tmp_path / "r.safetensors")


def test_a_bundle_names_its_file(spoil: Callable[..., Path]) -> None:
    """A score from the file, of as many features as the network gives; none where the section is missing."""
    path = spoil("gtrnet", lambda celadon: celadon.update(radscore={"file": "models/radscore.safetensors"}))
    (path / "models").mkdir()
    drawn().save(path / "models" / "radscore.safetensors")
    found = read_radscore(Bundle.open(path), features, WIDTH)
    assert found is not None
    assert np.array_equal(found.coefficients, drawn().coefficients)
    with pytest.raises(BundleError, match="reads 40 features, the network gives 2048"):
        read_radscore(Bundle.open(path), features, 2048)


def test_a_bundle_without_one_has_none(spoil: Callable[..., Path]) -> None:
    """No section, no score."""
    path = spoil("gtrnet", lambda celadon: celadon.pop("radscore"))
    assert read_radscore(Bundle.open(path), features, WIDTH) is None


def test_a_trained_bundle_draws_no_score(spoil: Callable[..., Path]) -> None:
    """Random numbers beside real weights would look like a result."""
    bundle = Bundle.open(spoil("gtrnet", lambda _: None))
    assert read_radscore(bundle, features, WIDTH) is not None
    with pytest.raises(BundleError, match="draws a score at random, but the bundle's status is 'unvalidated'"):
        read_radscore(replace(bundle, status=TrainingStatus.UNVALIDATED), features, WIDTH)
