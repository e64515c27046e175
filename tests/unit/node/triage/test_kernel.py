"""Kernels by name: what is for soft tissue and what for bone and lung."""

import pytest

from node.triage.kernel import Sharpness, sharpness_of


@pytest.mark.parametrize(
    ("kernel", "manufacturer", "expected"),
    [
        ("B30f", "SIEMENS", Sharpness.SOFT),
        ("Br38f\\3", "SIEMENS", Sharpness.SOFT),
        ("I30f\\2", "SIEMENS", Sharpness.SOFT),
        ("B70f", "SIEMENS", Sharpness.SHARP),
        ("Bl57", "Siemens Healthineers", Sharpness.SHARP),
        ("STANDARD", "GE MEDICAL SYSTEMS", Sharpness.SOFT),
        ("BONEPLUS", "GE MEDICAL SYSTEMS", Sharpness.SHARP),
        ("FC08", "TOSHIBA", Sharpness.SOFT),
        ("FC52", "TOSHIBA", Sharpness.SHARP),
        ("B", "Philips", Sharpness.SOFT),
        ("YA", "Philips", Sharpness.SHARP),
        ("B", "SIEMENS", Sharpness.UNKNOWN),
        ("", "SIEMENS", Sharpness.UNKNOWN),
        ("a kernel of tomorrow", "", Sharpness.UNKNOWN),
    ],
)
def test_a_makers_name_says_what_a_kernel_is_for(kernel: str, manufacturer: str, expected: Sharpness) -> None:
    """What is not known is unknown, never guessed."""
    assert sharpness_of(kernel, manufacturer) is expected
