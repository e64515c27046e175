"""Whether one centre's cases are unlike the others'."""

import numpy as np
from scipy.stats import binom

from models.evaluation.cohort import Cohort, Variant
from models.evaluation.shift import LEVEL, shifts


def cohort(generator: np.random.Generator, moved: float, cases: int = 120) -> Cohort:
    """Three centres of which the third is predicted ``moved`` logits higher, with an age that says nothing."""
    centres = tuple("XYZ"[index % 3] for index in range(cases))
    logits = generator.normal(0, 1, cases) + moved * np.array([centre == "Z" for centre in centres])
    high = 1 / (1 + np.exp(-logits))
    variant = Variant("model", np.column_stack((1 - high, high)), (high > 0.5).astype(np.int64), "")
    names = tuple(f"c{index}" for index in range(cases))
    return Cohort(
        ("low", "high"), names, names, ("all",) * cases, np.zeros(cases, dtype=np.int64), (variant,),
        descriptors={"centre": centres}, covariates={"age_years": generator.normal(60, 10, cases)},
    )  # fmt: skip


def test_a_centre_that_is_unlike_the_others_is_found() -> None:
    """It and its quantity; where medians lie is told."""
    found = shifts(cohort(np.random.default_rng(1), 2.0))
    assert [(one.centre, one.quantity) for one in found if one.is_shifted] == [("Z", "probability of high, model")]
    (of_z,) = [one for one in found if one.is_shifted]
    assert of_z.median > of_z.median_of_others
    assert (of_z.cases, of_z.others) == (40, 80)
    assert [one.others for one in found if one.centre == "X" and "prob" in one.quantity] == [40]
    assert len(found) == 6


def test_where_nothing_has_shifted_nothing_is_found() -> None:
    """In 30 cohorts no oftener than the level allows: tests are corrected for their number."""
    alarms = sum(
        any(one.is_shifted for one in shifts(cohort(np.random.default_rng((2, run)), 0.0))) for run in range(30)
    )
    assert alarms <= binom.ppf(0.99, 30, LEVEL)


def test_a_centre_whose_images_are_unlike_the_others_is_found() -> None:
    """By what was measured of them, when its predictions say nothing."""
    base = cohort(np.random.default_rng(6), 0.0)
    brighter = np.array([70.0 if centre == "Y" else 0.0 for centre in base.descriptors["centre"]])
    inputs = {"hu_mean": np.random.default_rng(6).normal(60, 15, 120) + brighter}
    found = shifts(Cohort(**{**_fields(base), "inputs": inputs}))
    assert [(one.centre, one.quantity) for one in found if one.is_shifted] == [("Y", "input hu_mean")]


def test_few_cases_and_one_centre_say_nothing() -> None:
    """There is nothing to compare."""
    assert shifts(cohort(np.random.default_rng(3), 3.0, cases=15)) == ()
    one = cohort(np.random.default_rng(3), 3.0)
    assert shifts(one.take(np.array([centre == "X" for centre in one.descriptors["centre"]]))) == ()


def test_values_that_are_all_the_same_are_no_shift_and_another_value_is() -> None:
    """A constant has no tenths, and is compared all the same."""
    base = cohort(np.random.default_rng(4), 0.0)
    same = Cohort(**{**_fields(base), "covariates": {"x": np.ones(120)}})
    assert not any(one.is_shifted for one in shifts(same))
    centre = np.array([name == "Z" for name in base.descriptors["centre"]])
    other = Cohort(**{**_fields(base), "covariates": {"x": 1.0 + centre}})
    assert [(one.centre, one.quantity) for one in shifts(other) if one.is_shifted] == [("Z", "x")]


def test_a_quantity_of_few_values_is_shifted_when_their_shares_are() -> None:
    """Of yes and no, each fills a bin, however odd the number of cases."""
    base = cohort(np.random.default_rng(5), 0.0, cases=123)
    generator = np.random.default_rng(6)
    centre = np.array([name == "Z" for name in base.descriptors["centre"]])
    share = np.where(centre, 0.95, 0.3)
    moved = Cohort(**{**_fields(base), "covariates": {"smokes": (generator.random(123) < share).astype(float)}})
    assert [(one.centre, one.quantity) for one in shifts(moved) if one.is_shifted] == [("Z", "smokes")]
    even = Cohort(**{**_fields(base), "covariates": {"smokes": (generator.random(123) < 0.5).astype(float)}})
    assert not any(one.is_shifted for one in shifts(even))


def _fields(one: Cohort) -> dict[str, object]:
    return {name: getattr(one, name) for name in Cohort.__dataclass_fields__}
