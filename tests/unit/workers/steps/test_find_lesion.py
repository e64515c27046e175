"""Find the lesion, or say that the phase is wrong."""

import numpy as np
import pytest

from node.domain.coding import Anatomy
from node.domain.imaging import Volume
from node.domain.parts import Part
from node.domain.reasons import ReasonCode
from node.errors import Refused
from tests.factories import ct_slices, series_of
from tests.fakes import FakeSegmenter, raising
from workers.steps.find_lesion import find_lesion
from workers.steps.triage import triage

SERIES = series_of(ct_slices(6))
STACK = triage(SERIES)
VOLUME = Volume(np.zeros(STACK.geometry.shape_zyx, dtype=np.float32), STACK.geometry, ())
PANCREAS = (Anatomy.PANCREAS,)


class Surveying(FakeSegmenter):
    """Finds no lesion, but measures organs as they are in the arterial phase."""

    def measure(self, volume: Volume) -> dict[Part, float]:  # noqa: ARG002 — the port's signature
        """A bright aorta, a dark vein."""
        return {Part.AORTA: 330.0, Part.PORTAL_VEIN: 60.0, Part.LIVER: 60.0}


def test_a_lesion_is_found_as_ever() -> None:
    """By the first segmenter with an answer."""
    assert find_lesion(SERIES, VOLUME, (), ((FakeSegmenter(), PANCREAS),)).source == "fake-segmenter"


def test_where_nothing_is_found_in_another_phase_the_phase_is_the_reason() -> None:
    """What was not found there says nothing about the patient."""
    with pytest.raises(Refused) as refused:
        find_lesion(SERIES, VOLUME, (), ((Surveying(finds=False), PANCREAS),))
    assert refused.value.reason.code is ReasonCode.PHASE_NOT_PORTAL_VENOUS


def test_where_nobody_knows_the_phase_nothing_found_is_the_reason() -> None:
    """As it was."""
    with pytest.raises(Refused) as refused:
        find_lesion(SERIES, VOLUME, (), ((FakeSegmenter(finds=False), PANCREAS),))
    assert refused.value.reason.code is ReasonCode.ROI_NOT_FOUND


def test_a_contour_that_does_not_fit_is_no_question_of_phase() -> None:
    """Its own reason stands."""
    wrong = Surveying(hook=raising(Refused(ReasonCode.ROI_GEOMETRY)))
    with pytest.raises(Refused) as refused:
        find_lesion(SERIES, VOLUME, (), ((wrong, PANCREAS),))
    assert refused.value.reason.code is ReasonCode.ROI_GEOMETRY
