"""The phase: from bolus timing, from attenuation, and what the two come to."""

from itertools import product
from typing import Final

import pytest

from models.phantoms import Phase as TruePhase
from models.phantoms import Wanted, draw
from models.phantoms.enhancement import Tissue
from node.domain.phase import Finding, Phase
from node.domain.reasons import ReasonCode
from node.triage.phase import Vessel, from_attenuation, from_timing, judge
from tests.factories import ct_slice, series_of
from tests.real_series import FULL_SERIES

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # some times are malformed on purpose


def timed(start: str | None, taken: str | None, **more: object) -> Finding:
    """What one image with these times says."""
    times = {"ContrastBolusStartTime": start, "AcquisitionTime": taken}
    given = {name: value for name, value in times.items() if value is not None}
    return from_timing(series_of([ct_slice(0, **given, **more)]))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, Phase.UNKNOWN), (0, Phase.UNKNOWN), (9, Phase.UNKNOWN), (10, Phase.ARTERIAL), (35, Phase.ARTERIAL),
        (44, Phase.ARTERIAL), (45, Phase.PORTAL_VENOUS), (70, Phase.PORTAL_VENOUS), (96, Phase.PORTAL_VENOUS),
        (119, Phase.PORTAL_VENOUS), (121, Phase.DELAYED), (300, Phase.DELAYED), (1801, Phase.UNKNOWN),
    ],
)  # fmt: skip
def test_the_delay_says_the_phase(seconds: int, expected: Phase) -> None:
    """Seconds from the start of the injection to the acquisition; nonsense says nothing."""
    at = 12 * 3600 + seconds
    assert timed("120000", f"{at // 3600:02d}{at // 60 % 60:02d}{at % 60:02d}.5").phase is expected


@pytest.mark.parametrize(
    ("start", "taken"), [(None, "120000"), ("120000", None), ("", "120000"), ("noon", "120000"), ("120000", "250000")]
)
def test_a_missing_or_malformed_time_says_nothing(start: str | None, taken: str | None) -> None:
    """Unknown is an answer."""
    assert timed(start, taken).phase is Phase.UNKNOWN


def test_midnight_between_injection_and_scan_is_no_matter() -> None:
    """Times of day carry no date."""
    assert timed("235930", "000040").phase is Phase.PORTAL_VENOUS


@pytest.mark.parametrize("moment", ["20240506120110", "20240506120110.25", "20240506120110.25+0200"])
def test_acquisition_datetime_stands_in_for_the_time(moment: str) -> None:
    """Some scanners write only that."""
    assert timed("120000", None, AcquisitionDateTime=moment).phase is Phase.PORTAL_VENOUS


def test_the_first_acquisition_of_the_series_counts() -> None:
    """Not whichever image came first."""
    slices = [
        ct_slice(k, ContrastBolusStartTime="120000", AcquisitionTime=time)
        for k, time in enumerate(("120125", "120032", "120126"))
    ]
    assert from_timing(series_of(slices)).phase is Phase.ARTERIAL


@pytest.mark.skipif(FULL_SERIES is None, reason="the real series is not beside the project")
def test_the_real_series_is_portal_venous_by_both() -> None:
    """Bolus at 14:02:16, acquisition at 14:03:53, and the measured means of its organs."""
    timing = timed("140216.694022", "140353.284000")
    means = {Vessel.AORTA: 177.0, Vessel.PORTAL_VEIN: 131.0, Vessel.LIVER: 89.0}
    assert timing.phase is Phase.PORTAL_VENOUS
    for measured in (means, means | {Vessel.SPLEEN: 80.0}):
        assert from_attenuation(measured).phase is Phase.PORTAL_VENOUS
        assert judge(timing, from_attenuation(measured)) is None


VESSELS: Final = {
    Vessel.AORTA: Tissue.AORTA,
    Vessel.PORTAL_VEIN: Tissue.PORTAL_VEIN,
    Vessel.LIVER: Tissue.LIVER,
    Vessel.SPLEEN: Tissue.SPLEEN,
}


@pytest.mark.parametrize("has_spleen", [False, True], ids=["without a spleen", "with"])
@pytest.mark.parametrize("phase", TruePhase)
def test_attenuation_tells_the_phases_of_phantoms_apart(phase: TruePhase, *, has_spleen: bool) -> None:
    """At least 98 % of 400 patients with boluses, hearts and livers of their own."""
    vessels = {vessel: tissue for vessel, tissue in VESSELS.items() if has_spleen or vessel is not Vessel.SPLEEN}
    right = 0
    for seed in range(400):
        bolus = draw(seed, Wanted(phase=phase)).bolus
        found = from_attenuation({vessel: bolus.hu(tissue) for vessel, tissue in vessels.items()})
        right += found.phase == phase
    assert right >= 392


def test_a_fatty_liver_makes_no_scan_early() -> None:
    """Where the spleen was measured, which holds no fat: a delayed scan of a liver that is 18 HU darker for it."""
    delayed = {Vessel.AORTA: 112.0, Vessel.PORTAL_VEIN: 110.0, Vessel.LIVER: 76.0}
    assert from_attenuation(delayed).phase is Phase.PORTAL_VENOUS
    assert from_attenuation(delayed | {Vessel.SPLEEN: 106.0}).phase is Phase.DELAYED


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ({}, Phase.UNKNOWN),
        ({Vessel.LIVER: 100.0, Vessel.PORTAL_VEIN: 150.0}, Phase.UNKNOWN),
        ({Vessel.AORTA: 160.0}, Phase.UNKNOWN),
        ({Vessel.AORTA: 45.0}, Phase.NON_CONTRAST),
        ({Vessel.AORTA: 45.0, Vessel.PORTAL_VEIN: 150.0}, Phase.UNKNOWN),
        ({Vessel.AORTA: 160.0, Vessel.PORTAL_VEIN: 150.0}, Phase.UNKNOWN),
        ({Vessel.AORTA: 300.0, Vessel.PORTAL_VEIN: 90.0}, Phase.ARTERIAL),
        ({Vessel.AORTA: 300.0, Vessel.LIVER: 66.0}, Phase.ARTERIAL),
        ({Vessel.AORTA: 300.0, Vessel.LIVER: 130.0, Vessel.KIDNEY: 100.0}, Phase.ARTERIAL),
        ({Vessel.AORTA: 165.0, Vessel.LIVER: 105.0}, Phase.PORTAL_VENOUS),
        ({Vessel.AORTA: 108.0, Vessel.LIVER: 92.0}, Phase.DELAYED),
    ],
)
def test_what_was_not_measured_is_not_made_up(means: dict[Vessel, float], expected: Phase) -> None:
    """Fewer organs, fewer answers."""
    assert from_attenuation(means).phase is expected


def expected_reason(one: Phase, other: Phase) -> ReasonCode | None:
    """The rule in other words."""
    known = {one, other} - {Phase.UNKNOWN}
    if len(known) == 2:
        return ReasonCode.PHASE_CONFLICT
    if not known:
        return ReasonCode.PHASE_UNKNOWN
    return None if known == {Phase.PORTAL_VENOUS} else ReasonCode.PHASE_NOT_PORTAL_VENOUS


@pytest.mark.parametrize(("one", "other"), list(product(Phase, Phase)))
def test_disagreement_is_a_reason_and_agreement_on_another_phase_is_one(one: Phase, other: Phase) -> None:
    """All pairs of findings."""
    found = judge(Finding(one, "x"), Finding(other, "y"))
    assert (found.code if found else None) is expected_reason(one, other)
