"""The phase of enhancement: from the bolus timing in the header, and from the attenuation of vessels and organs.

Neither is believed alone where both are there: what they disagree about is not analysed. The series description is no
evidence: it says what somebody meant to scan.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from node.domain.imaging import Series
from node.domain.phase import Finding, Phase
from node.domain.reasons import Reason, ReasonCode


class Vessel(StrEnum):
    """What the phase is read from, where it was segmented."""

    AORTA = "aorta"
    PORTAL_VEIN = "portal-vein"
    LIVER = "liver"
    KIDNEY = "kidney"
    SPLEEN = "spleen"


EARLIEST_PORTAL_S: Final = 45.0
"""GTRNet's first centre scanned its venous phase 45 to 60 s after the injection began (Table 4)."""
LATEST_PORTAL_S: Final = 120.0
"""Usual are 60 to 90 s; a real portal-venous series has 96 s. Later than two minutes the vessels are equal."""
EARLIEST_ARTERIAL_S: Final = 10.0
"""Sooner, nothing can have reached the abdomen: the time is of something else, a test bolus or a keystroke."""
LATEST_PLAUSIBLE_S: Final = 1800.0
_TIME: Final = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(\.\d{1,6})?)?)?")
_DATE: Final = re.compile(r"\d{8}")


def from_timing(series: Series) -> Finding:
    """The phase by the seconds from Contrast/Bolus Start Time (0018,1042) to the first acquisition.

    UNKNOWN where a time is missing, malformed or implausible. The earliest acquisition of the series counts: a
    series may hold several.
    """
    delays = [delay for one in series.instances if (delay := _delay_s(one.attributes)) is not None]
    if not delays:
        return Finding(Phase.UNKNOWN, "no bolus timing")
    delay = min(delays)
    evidence = f"{delay:.0f} s after the injection began"
    if not EARLIEST_ARTERIAL_S <= delay <= LATEST_PLAUSIBLE_S:
        return Finding(Phase.UNKNOWN, f"implausible: {evidence}")
    if delay < EARLIEST_PORTAL_S:
        return Finding(Phase.ARTERIAL, evidence)
    return Finding(Phase.PORTAL_VENOUS if delay <= LATEST_PORTAL_S else Phase.DELAYED, evidence)


def _delay_s(attributes: Mapping[str, str]) -> float | None:
    start = _clock(attributes.get("ContrastBolusStartTime", ""))
    taken = _acquired(attributes)
    if start is None or taken is None:
        return None
    delay = (taken - start).total_seconds()
    # Times have no date: an injection just before midnight is scanned just after it.
    return delay + timedelta(days=1).total_seconds() if delay < -timedelta(hours=12).total_seconds() else delay


def _acquired(attributes: Mapping[str, str]) -> datetime | None:
    """Acquisition Time, else the time of day in Acquisition DateTime."""
    if found := _clock(attributes.get("AcquisitionTime", "")):
        return found
    whole = attributes.get("AcquisitionDateTime", "")
    return _clock(re.split(r"[+-]", whole[8:])[0]) if _DATE.match(whole) else None


def _clock(text: str) -> datetime | None:
    """A TM value (PS3.5 section 6.2) on an arbitrary day; None where it is none."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    try:
        whole = datetime(2000, 1, 1, int(hours), int(minutes or 0), min(int(seconds or 0), 59))  # noqa: DTZ001 — a clock
    except ValueError:
        return None
    return whole + timedelta(seconds=float(fraction or 0.0))


ENHANCED_AORTA_HU: Final = 85.0
"""Blood without contrast has 35 to 55 HU; of an anaemic or hyperdense patient still below 75."""
ARTERIAL_RATIO: Final = 1.75
"""Aorta over portal vein: 3 in the arterial phase, 1.0 to 1.5 in the portal venous one (1.35 in a real series)."""
EQUAL_HU: Final = 30.0
"""Portal vein above liver: 40 to 60 in the portal venous phase (42 in a real series at 96 s), 15 to 25 when delayed."""
EQUAL_TO_ORGANS_HU: Final = 25.0
"""Portal vein above liver and spleen together: 31 to 54 in the portal venous phase (45 in that series), 7 to 23 when
delayed, of nine in ten phantoms as they are measured."""
_SPLEEN_SHARE: Final = 1.0 / 3.0
"""Of the spleen in that: it takes up no fat, which darkens a liver and makes it look early; it pales sooner."""
ARTERIAL_OVER_LIVER: Final = 2.7
DELAYED_OVER_LIVER: Final = 1.38
_ARTERIAL_KIDNEY_RATIO: Final = 1.9


def from_attenuation(means_hu: Mapping[Vessel, float]) -> Finding:
    """The phase by mean attenuation in HU; a pure function of what was measured.

    The aorta says whether there is contrast; aorta and portal vein whether it is early; portal vein and liver whether
    it is late, with the spleen beside it where it was measured. Without a portal vein, aorta over liver takes its
    place, less sharply. UNKNOWN without an aorta, or with it alone.
    """
    aorta, portal = means_hu.get(Vessel.AORTA), means_hu.get(Vessel.PORTAL_VEIN)
    liver, kidney, spleen = (means_hu.get(organ) for organ in (Vessel.LIVER, Vessel.KIDNEY, Vessel.SPLEEN))
    evidence = ", ".join(f"{vessel} {means_hu[vessel]:.0f} HU" for vessel in Vessel if vessel in means_hu)
    if aorta is None:
        return Finding(Phase.UNKNOWN, evidence or "nothing was measured")
    if aorta < ENHANCED_AORTA_HU:
        return Finding(_unenhanced(portal, kidney), evidence)
    if portal is not None:
        return Finding(_by_portal_vein(aorta, portal, liver, spleen), evidence)
    if liver is not None:
        return Finding(_by_liver(aorta, liver, kidney), evidence)
    return Finding(Phase.UNKNOWN, evidence)


def _unenhanced(portal: float | None, kidney: float | None) -> Phase:
    """A dark aorta; bright veins or kidneys beside it mean that something was mismeasured."""
    others = [value for value in (portal, kidney) if value is not None]
    return Phase.UNKNOWN if any(value >= ENHANCED_AORTA_HU for value in others) else Phase.NON_CONTRAST


def _by_portal_vein(aorta: float, portal: float, liver: float | None, spleen: float | None) -> Phase:
    if aorta > ARTERIAL_RATIO * portal:
        return Phase.ARTERIAL
    if liver is None:
        return Phase.UNKNOWN
    if spleen is None:
        return Phase.PORTAL_VENOUS if portal - liver >= EQUAL_HU else Phase.DELAYED
    organs = (1.0 - _SPLEEN_SHARE) * liver + _SPLEEN_SHARE * spleen
    return Phase.PORTAL_VENOUS if portal - organs >= EQUAL_TO_ORGANS_HU else Phase.DELAYED


def _by_liver(aorta: float, liver: float, kidney: float | None) -> Phase:
    if aorta > ARTERIAL_OVER_LIVER * liver or (kidney is not None and aorta > _ARTERIAL_KIDNEY_RATIO * kidney):
        return Phase.ARTERIAL
    return Phase.DELAYED if aorta < DELAYED_OVER_LIVER * liver else Phase.PORTAL_VENOUS


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What two findings come to."""

    holds: Callable[[Phase, Phase], bool]
    reason: ReasonCode | None


# Timing, attenuation: the first line that holds decides.
_VERDICTS: Final = (
    _Verdict(lambda one, other: Phase.UNKNOWN not in (one, other) and one is not other, ReasonCode.PHASE_CONFLICT),
    _Verdict(lambda one, other: Phase.PORTAL_VENOUS in (one, other), None),
    _Verdict(lambda one, other: one is other is Phase.UNKNOWN, ReasonCode.PHASE_UNKNOWN),
    _Verdict(lambda _one, _other: True, ReasonCode.PHASE_NOT_PORTAL_VENOUS),
)


def judge(timing: Finding, attenuation: Finding) -> Reason | None:
    """Why a series is not to be analysed by models for the portal venous phase; None where it may be."""
    verdict = next(one for one in _VERDICTS if one.holds(timing.phase, attenuation.phase))
    if verdict.reason is None:
        return None
    found = f"timing {timing.phase} ({timing.evidence}); attenuation {attenuation.phase} ({attenuation.evidence})"
    return Reason(verdict.reason, found)
