"""The parts of the body that a segmenter can tell apart."""

from node.domain.coding import Anatomy
from node.domain.parts import Part, lesion_part, organ_part


def test_each_organ_has_itself_and_its_lesions() -> None:
    """Two different parts, and the lesion knows its organ."""
    for anatomy in Anatomy:
        assert lesion_part(anatomy).lesion_of is anatomy
        assert organ_part(anatomy).lesion_of is None


def test_only_lesions_are_lesions() -> None:
    """Of every other part there is no organ that it is a lesion of."""
    assert {part for part in Part if part.lesion_of} == {lesion_part(anatomy) for anatomy in Anatomy}
