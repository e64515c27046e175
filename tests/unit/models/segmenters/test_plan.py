"""What a coarse-to-fine bundle says beside its weights."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.fields import Fields
from models.segmenters.plan import DEFAULT, Plan
from node.domain.parts import Part
from node.domain.reasons import BundleFault
from node.errors import BundleError


def written() -> dict[str, Any]:
    """As JSON gives it back."""
    values: dict[str, Any] = json.loads(json.dumps(DEFAULT.written()))
    return values


def test_a_plan_is_read_as_it_was_written() -> None:
    """Through the bundle's metadata."""
    assert Plan.read(Fields(Path("m"), written())) == DEFAULT


def test_a_class_has_its_number() -> None:
    """From 1; the background is 0 and counts among the classes."""
    assert DEFAULT.fine.number(Part.PANCREAS) == 1
    assert DEFAULT.fine.classes == len(DEFAULT.fine.parts) + 1
    assert DEFAULT.fine.meaning[DEFAULT.fine.number(Part.STOMACH_LESION)] is Part.STOMACH_LESION
    with pytest.raises(ValueError, match="tuple"):
        DEFAULT.fine.number(Part.LIVER)


@pytest.mark.parametrize(
    ("stage", "field", "value"),
    [
        ("coarse", "window_zyx", [48, 64, 65]),
        ("coarse", "window_zyx", [48, 64]),
        ("coarse", "window_zyx", [48, 64, 0]),
        ("coarse", "window_zyx", [16, 16, 16]),
        ("fine", "parts", []),
        ("fine", "parts", ["pancreas", "pancreas"]),
        ("fine", "parts", ["soul"]),
        ("fine", "spacing_mm", 0.0),
        ("fine", "spacing_mm", "2"),
        (None, "window_hu", [240.0, -160.0]),
        (None, "probability", None),
        (None, "limits", {}),
        (None, "limits", {"pancreas": DEFAULT.written()["limits"]["pancreas"]}),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(stage: str | None, field: str, value: object) -> None:
    """When the bundle is loaded, with the field's name, not in the middle of a patient."""
    values = written()
    (values[stage] if stage else values)[field] = value
    with pytest.raises(BundleError) as refused:
        Plan.read(Fields(Path("metadata.json"), values))
    assert refused.value.fault is BundleFault.BUNDLE_METADATA
    assert field in str(refused.value)
