"""Judge the phase: whose word counts, and what is asked where a person drew the lesion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from node.domain.identifiers import InstanceUID
from node.domain.imaging import Volume
from node.domain.parts import Part
from node.domain.phase import Phase
from node.domain.reasons import ReasonCode
from node.errors import Refused
from node.triage.contract import check
from tests.factories import ct_slices, series_of
from tests.fakes import FakeSegmenter
from workers.steps.judge_phase import judge_phase

PORTAL = {Part.AORTA: 150.0, Part.PORTAL_VEIN: 150.0, Part.LIVER: 105.0}
ARTERIAL = {Part.AORTA: 290.0, Part.PORTAL_VEIN: 90.0, Part.LIVER: 66.0}
AT_70_S: dict[str, Any] = {"ContrastBolusStartTime": "070000", "AcquisitionTime": "070110"}
SERIES = series_of(ct_slices(4))
TIMED = series_of(ct_slices(4, **AT_70_S))
VOLUME = Volume(np.zeros((4, 16, 20), np.float32), check(SERIES).geometry, (InstanceUID("2.25.1"),) * 4)


@dataclass
class Surveying(FakeSegmenter):
    """Measures what it was told, and remembers that it was asked."""

    means: Mapping[Part, float] = field(default_factory=dict)
    asked: int = 0

    def measure(self, volume: Volume) -> Mapping[Part, float]:  # noqa: ARG002 — the port's signature
        """What it was told."""
        self.asked += 1
        return self.means


def test_both_kinds_of_evidence_are_kept() -> None:
    """They agree: the verdict has the words of each."""
    found = judge_phase(TIMED, VOLUME, PORTAL, [])
    assert found.phase is found.timing.phase is Phase.PORTAL_VENOUS
    assert found.attenuation is not None
    assert found.attenuation.evidence == "aorta 150 HU, portal-vein 150 HU, liver 105 HU"


def test_where_the_header_is_silent_attenuation_decides() -> None:
    """In either direction."""
    assert judge_phase(SERIES, VOLUME, PORTAL, []).phase is Phase.PORTAL_VENOUS
    with pytest.raises(Refused) as refused:
        judge_phase(SERIES, VOLUME, ARTERIAL, [])
    assert refused.value.reason.code is ReasonCode.PHASE_NOT_PORTAL_VENOUS


def test_a_disagreement_is_a_reason() -> None:
    """With what each of the two says."""
    with pytest.raises(Refused) as refused:
        judge_phase(TIMED, VOLUME, ARTERIAL, [])
    assert refused.value.reason.code is ReasonCode.PHASE_CONFLICT
    assert "timing portal-venous (70 s" in refused.value.reason.detail
    assert "attenuation arterial (aorta 290 HU" in refused.value.reason.detail


def test_the_organs_are_asked_for_where_a_person_drew_the_lesion() -> None:
    """The first segmenter that knows any; one that does not is passed over."""
    knows, later = Surveying(means=ARTERIAL), Surveying(means=PORTAL)
    with pytest.raises(Refused):
        judge_phase(SERIES, VOLUME, {}, [FakeSegmenter(), knows, later])
    assert (knows.asked, later.asked) == (1, 0)


def test_nobody_is_asked_again_for_what_is_measured() -> None:
    """It costs seconds."""
    knows = Surveying(means=ARTERIAL)
    assert judge_phase(SERIES, VOLUME, PORTAL, [knows]).phase is Phase.PORTAL_VENOUS
    assert knows.asked == 0


@pytest.mark.parametrize("segmenters", [[], [FakeSegmenter()], [Surveying()]], ids=["none", "no organs", "unlike"])
def test_without_organs_the_header_speaks_alone(segmenters: list[FakeSegmenter]) -> None:
    """And its silence is no reason."""
    assert judge_phase(TIMED, VOLUME, {}, segmenters).phase is Phase.PORTAL_VENOUS
    silent = judge_phase(SERIES, VOLUME, {}, segmenters)
    assert (silent.phase, silent.attenuation) == (Phase.UNKNOWN, None)


def test_parts_that_say_nothing_of_the_phase_are_no_evidence() -> None:
    """A stomach alone."""
    assert judge_phase(SERIES, VOLUME, {Part.STOMACH: 60.0}, []).attenuation is None


def test_what_attenuation_cannot_tell_is_left_to_the_header() -> None:
    """An aorta alone; but where both are silent, that is the reason."""
    assert judge_phase(TIMED, VOLUME, {Part.AORTA: 150.0}, []).phase is Phase.PORTAL_VENOUS
    with pytest.raises(Refused) as refused:
        judge_phase(SERIES, VOLUME, {Part.AORTA: 150.0}, [])
    assert refused.value.reason.code is ReasonCode.PHASE_UNKNOWN


def test_the_description_is_no_evidence() -> None:
    """Neither for nor against."""
    named = series_of(ct_slices(4, SeriesDescription="PORTAL VENOUS 3.0"))
    assert judge_phase(named, VOLUME, {}, []).phase is Phase.UNKNOWN
