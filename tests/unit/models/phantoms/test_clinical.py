"""The records of phantoms: marginals of the papers, gaps, and nothing that is not known."""

from collections import Counter
from functools import cache

import numpy as np

from models.phantoms.clinical import draw
from node.domain.clinical import ClinicalRecord, ClinicalVariable

V = ClinicalVariable


@cache
def gastric(t_stage: int, count: int = 1500) -> list[ClinicalRecord]:
    """Patients with a gastric tumour."""
    rng = np.random.default_rng(t_stage)
    return [draw(rng, ntr=None, gastric_t=t_stage, size_mm=40.0, head=False) for _ in range(count)]


def share(records: list[ClinicalRecord], variable: ClinicalVariable, word: str) -> float:
    """Of the known values, how many are ``word``."""
    words = Counter(found.value for one in records if (found := one.get(variable)))
    return words[word] / words.total()


def test_poor_differentiation_and_diffuse_type_grow_with_t() -> None:
    """GTRNet, Table 3: both raise the odds of a higher T."""
    by_stage = [gastric(t) for t in (1, 2, 3, 4)]
    poor = [share(records, V.DIFFERENTIATION, "poor") for records in by_stage]
    diffuse = [share(records, V.LAUREN_TYPE, "diffuse") for records in by_stage]
    assert poor == sorted(poor)
    assert diffuse == sorted(diffuse)
    assert poor[3] - poor[0] > 0.3
    assert abs(np.mean(poor) - 0.52) < 0.03
    assert abs(np.mean(diffuse) - 0.335) < 0.03


def test_some_values_are_missing_and_some_never() -> None:
    """Laboratories leave gaps; age, sex and size are known."""
    records = gastric(2)
    gaps = sum(one.get(V.CA19_9) is None for one in records) / len(records)
    assert 0.03 < gaps < 0.1
    assert all(one.get(name) for one in records for name in (V.AGE, V.SEX, V.TUMOUR_SIZE))


def test_a_patient_without_a_tumour_has_no_stage_and_no_size() -> None:
    """Nothing is made up."""
    record = draw(np.random.default_rng(1), ntr=None, gastric_t=None, size_mm=0.0, head=False)
    assert not any(record.get(name) for name in (V.CLINICAL_T, V.CLINICAL_N, V.TUMOUR_SIZE, V.LAUREN_TYPE))
    assert record.get(V.AGE)
