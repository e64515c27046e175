"""Judge the phase: what the header's times and the brightness of vessels and organs say together."""

from collections.abc import Iterable, Mapping
from typing import Final

from node.domain.imaging import Series, Volume
from node.domain.parts import Part
from node.domain.phase import Phase, PhaseVerdict
from node.domain.ports import Segmenter, Surveyor
from node.errors import Refused
from node.triage.phase import Vessel, from_attenuation, from_timing, judge

_VESSELS: Final = {
    Part.AORTA: Vessel.AORTA,
    Part.PORTAL_VEIN: Vessel.PORTAL_VEIN,
    Part.LIVER: Vessel.LIVER,
    Part.KIDNEY: Vessel.KIDNEY,
    Part.SPLEEN: Vessel.SPLEEN,
}


def judge_phase(
    series: Series, volume: Volume, means_hu: Mapping[Part, float], segmenters: Iterable[Segmenter]
) -> PhaseVerdict:
    """The phase, by attenuation where organs can be measured, else by timing.

    ``means_hu``: what was measured while the lesion was found; empty: nothing.

    A person's contour comes without organs: then a segmenter that knows them is asked for those alone. Where there is
    none, or the images are unlike those that it was made for, the header alone can speak, as it did in triage, and its
    silence is no reason.

    Raises:
        Refused: PHASE_CONFLICT, PHASE_NOT_PORTAL_VENOUS or PHASE_UNKNOWN.
    """
    timing = from_timing(series)
    measured = means_hu or _surveyed(volume, segmenters)
    means = {_VESSELS[part]: mean for part, mean in measured.items() if part in _VESSELS}
    if not means:
        return PhaseVerdict(timing.phase, timing)
    attenuation = from_attenuation(means)
    if reason := judge(timing, attenuation):
        raise Refused(reason.code, reason.detail)
    phase = timing.phase if attenuation.phase is Phase.UNKNOWN else attenuation.phase
    return PhaseVerdict(phase, timing, attenuation)


def _surveyed(volume: Volume, segmenters: Iterable[Segmenter]) -> Mapping[Part, float]:
    """What the first that knows organs measures."""
    surveyor = next((one for one in segmenters if isinstance(one, Surveyor)), None)
    return surveyor.measure(volume) if surveyor else {}
