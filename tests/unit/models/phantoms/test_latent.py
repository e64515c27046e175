"""The latent behind NTR: its ceiling is what it is said to be, and it shows in one number that grows with it."""

import numpy as np
import pytest

from models.phantoms.clinical import draw as draw_record
from models.phantoms.latent import CEILING_ACCURACY, CEILING_AUC, NTR_CUT, NtrTruth, coarse_share, draw
from node.domain.clinical import ClinicalVariable


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """The area under the ROC curve by ranks."""
    ranks = values.argsort().argsort() + 1.0
    hits = int(positive.sum())
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * (len(values) - hits)))


def many(count: int) -> list[NtrTruth]:
    """Tumours of one seed."""
    rng = np.random.default_rng(5)
    return [draw(rng) for _ in range(count)]


def test_the_ceiling_by_monte_carlo_is_the_one_stated() -> None:
    """40,000 tumours: standard error of the AUC about 0.0007."""
    tumours = many(40_000)
    latent = np.array([one.latent for one in tumours])
    high = np.array([one.is_high for one in tumours])
    assert auc(latent, high) == pytest.approx(CEILING_AUC, abs=0.003)
    assert float(((latent > 0) == high).mean()) == pytest.approx(CEILING_ACCURACY, abs=0.004)
    assert float(high.mean()) == pytest.approx(0.5, abs=0.01)


def test_the_texture_share_grows_with_the_latent() -> None:
    """Strictly: it has all that the latent has."""
    shares = [coarse_share(z) for z in np.linspace(-6, 6, 400)]
    assert (np.diff(shares) > 0.0).all()
    assert 0.0 < shares[0] < 0.05
    assert 0.95 < shares[-1] < 1.0


def test_the_count_is_on_the_right_side_of_the_cut() -> None:
    """High above 0.57, low at most."""
    assert all((one.count > NTR_CUT) == one.is_high for one in many(500))


@pytest.mark.parametrize("status", [True, False])
def test_a_wanted_status_is_drawn_with_a_latent_of_its_own(status: bool) -> None:
    """Balanced cohorts are possible."""
    rng = np.random.default_rng(1)
    made = [draw(rng, is_high=status) for _ in range(300)]
    assert all(one.is_high is status for one in made)
    assert np.mean([one.latent for one in made]) * (1 if status else -1) > 1.1


def test_nodes_and_two_markers_lead_the_records() -> None:
    """As PORCELAIN reports: N stage, CA19-9 and CEA; the blood count says next to nothing."""
    rng = np.random.default_rng(2)
    tumours = many(4000)
    records = [draw_record(rng, ntr=one, gastric_t=None, size_mm=30.0, head=True) for one in tumours]
    high = np.array([one.is_high for one in tumours])

    def area(variable: ClinicalVariable) -> float:
        found = [(record.get(variable), status) for record, status in zip(records, high, strict=True)]
        known = [(value.value, status) for value, status in found if value is not None]
        numbers = np.array([float(str(value).lstrip("N")) for value, _ in known])
        jitter = np.random.default_rng(3).uniform(0, 1e-6, len(numbers))
        return auc(numbers + jitter, np.array([status for _, status in known]))

    leading = {
        name: area(name) for name in (ClinicalVariable.CLINICAL_N, ClinicalVariable.CA19_9, ClinicalVariable.CEA)
    }
    others = {
        name: abs(area(name) - 0.5)
        for name in (
            ClinicalVariable.NEUTROPHILS,
            ClinicalVariable.PLATELETS,
            ClinicalVariable.AGE,
            ClinicalVariable.ALT,
        )
    }
    assert min(leading.values()) > 0.7
    assert max(leading.values()) < CEILING_AUC - 0.05
    assert max(others.values()) < 0.08
