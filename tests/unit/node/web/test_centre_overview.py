"""Centres in the overview: what is compared, in which order, and what of it may be told."""

from datetime import UTC, datetime

import pytest

from node.settings import MonitoringSettings
from node.store.monitoring import Observation
from node.web.centre_overview import MOST_CENTRES, centre_rows

LIMITS = MonitoringSettings(least=10)


def observations(centre: str, hu: float, *, count: int = 20, is_blinded: bool = False) -> list[Observation]:
    """Results of one centre, their means spread over ten HU and their volumes over ten mL."""
    return [
        Observation(
            at=datetime(2026, 3, 1, tzinfo=UTC),
            predictor="porcelain",
            digest="a" * 64,
            scores={"NTR_HIGH": number / count},
            inputs={"hu_mean": hu + 10.0 * number / count, "volume_ml": 10.0 * number / count},
            scanner="",
            kernel="",
            centre=centre,
            used=0,
            imputed=0,
            is_blinded=is_blinded,
        )
        for number in range(count)
    ]


def test_every_quantity_of_every_centre_has_a_row_the_farthest_first() -> None:
    """By centre; what nobody has measured is left out."""
    rows = centre_rows(
        LIMITS, [one for name, hu in (("C", 90), ("B", 20), ("A", 20)) for one in observations(name, hu)]
    )
    assert [row.found.centre for row in rows] == [*"AAABBBCCC"]
    assert [row.quantity for row in rows if row.is_apart] == ["HU in the region, mean"]
    assert rows[6].is_apart
    assert all(row.is_shown for row in rows)


@pytest.mark.parametrize(
    "limits", [MonitoringSettings(least=10, max_psi=1e6), MonitoringSettings(least=10, min_ks_p=0.0)]
)
def test_both_thresholds_must_be_crossed(limits: MonitoringSettings) -> None:
    """Neither a large distance that may be chance nor a small one that is none says anything."""
    rows = centre_rows(
        limits, [one for name, hu in (("C", 90), ("B", 20), ("A", 20)) for one in observations(name, hu)]
    )
    assert len(rows) == 9
    assert not any(row.is_apart for row in rows)


def test_one_blinded_result_keeps_the_medians_of_scores_back() -> None:
    """Those of a few cases would tell what was found; inputs tell nothing of a result."""
    rows = centre_rows(LIMITS, [*observations("A", 20.0), *observations("B", 20.0, is_blinded=True)])
    assert {row.quantity for row in rows if not row.is_shown} == {"Score NTR_HIGH"}


def test_images_that_name_no_institution_are_of_no_centre() -> None:
    """One centre and the nameless are not two centres."""
    assert centre_rows(LIMITS, [*observations("A", 20.0), *observations("", 90.0)]) == ()
    assert centre_rows(LIMITS, [*observations("A", 20.0), *observations("B", 90.0, count=9)]) == ()


def test_of_very_many_centres_those_with_most_results_are_compared() -> None:
    """Whoever writes another name into every header keeps nobody waiting."""
    many = [one for number in range(MOST_CENTRES + 5) for one in observations(f"C{number:02}", 20.0, count=11 + number)]
    names = {row.found.centre for row in centre_rows(LIMITS, many)}
    assert names == {f"C{number:02}" for number in range(5, MOST_CENTRES + 5)}
