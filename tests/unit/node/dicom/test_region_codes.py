"""What a region is: codes before words, tables before guesses."""

import pytest

from node.dicom.region_codes import RegionEvidence, anatomy_of, is_lesion
from node.domain.coding import Anatomy, Code

P, S = Anatomy.PANCREAS, Anatomy.STOMACH
TISSUE = Code("85756007", "SCT", "Tissue")
STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
LIVER = Code("10200004", "SCT", "Liver")


@pytest.mark.parametrize(
    ("value", "scheme", "organ"),
    [
        ("15776009", "SCT", P),
        ("64163001", "SCT", P),
        ("40133006", "SCT", P),
        ("73239005", "SCT", P),
        ("T-65000", "SRT", P),
        ("T-65300", "SNM3", P),
        ("T-65000", "99SDM", P),
        ("7198", "FMA", P),
        ("FMA7198", "FMA", P),
        ("69695003", "SCT", S),
        ("66051006", "SCT", S),
        ("T-57000", "SRT", S),
        ("7148", "FMA", S),
    ],
)
def test_codes_name_the_organ(value: str, scheme: str, organ: Anatomy) -> None:
    """An organ, a part of it, and their retired codes name the organ."""
    assert anatomy_of(RegionEvidence("ROI 1", places=[Code(value, scheme, "")])) == (organ, True)


@pytest.mark.parametrize(
    ("label", "organ"),
    [
        ("Pancreas", P),
        ("GTV_pancreasTumour-2", P),
        ("pancreatic head mass", P),
        ("PDAC", P),
        ("STOMACH", S),
        ("gastric cancer", S),
        ("peripancreatic fat", None),
        ("Gastric artery", None),
        ("pancreatic lymph node", None),
        ("stomach invading pancreas", None),
        ("Liver", None),
        ("", None),
    ],
)
def test_whole_words_name_the_organ_without_a_code(label: str, organ: Anatomy | None) -> None:
    """Without a code, whole words of the label name the organ, unless they name two or a neighbour."""
    assert anatomy_of(RegionEvidence(label)) == (organ, False)


def test_a_code_for_another_place_beats_the_label() -> None:
    """A pancreatic metastasis in the liver lies in the liver."""
    assert anatomy_of(RegionEvidence("pancreatic metastasis", places=[LIVER])) == (None, True)


def test_an_unspecific_code_leaves_it_to_the_label() -> None:
    """Codes such as "tissue" or "neoplasm" do not say where a region lies."""
    places = [TISSUE, Code("108369006", "SCT", "Neoplasm"), Code("818983003", "SCT", "Abdomen")]
    assert anatomy_of(RegionEvidence("pancreas", places=places)) == (P, False)


def test_an_unknown_code_speaks_through_its_meaning() -> None:
    """A code that is not in the table is read by its meaning, and does not count as coded."""
    places = [Code("999", "SCT", "Uncinate process of pancreas")]
    assert anatomy_of(RegionEvidence("ROI", places=places)) == (P, False)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Tumor", True),
        ("tumour_2", True),
        ("GTV-1", True),
        ("GTVp", True),
        ("Pancreas mass", True),
        ("PDAC", True),
        ("Pancreas", False),
        ("PTV tumor", False),
        ("pancreas minus GTV", False),
        ("non-tumour tissue", False),
        ("massage", False),
    ],
)
def test_words_of_a_label_mark_a_lesion(label: str, expected: bool) -> None:
    """Without codes, whole words decide, and words for margins or remainders take it back."""
    assert is_lesion(RegionEvidence(label)) is expected


@pytest.mark.parametrize(
    ("interpreted_type", "label", "expected"),
    [
        ("GTV", "ROI 1", True),
        ("PTV", "tumour", False),
        ("CTV", "GTV + 5 mm", False),
        ("ORGAN", "Pancreas", False),
        ("ORGAN", "GTV", True),
        ("", "GTV", True),
    ],
)
def test_interpreted_type_comes_before_the_label(interpreted_type: str, label: str, expected: bool) -> None:
    """GTV is a lesion, a margin is not, and the default ORGAN leaves it to the name."""
    assert is_lesion(RegionEvidence(label, interpreted_type=interpreted_type)) is expected


@pytest.mark.parametrize(
    ("category", "type_", "label", "expected"),
    [
        (Code("49755003", "SCT", ""), Code("4147007", "SCT", "Mass"), "x", True),
        (Code("M-01000", "SRT", ""), Code("M-8FFFF", "SRT", "Neoplasm"), "x", True),
        (Code("49755003", "SCT", ""), Code("15776009", "SCT", "Pancreas"), "x", True),
        (Code("49755003", "SCT", ""), Code("17621005", "SCT", "Normal"), "tumour", False),
        (STRUCTURE, Code("15776009", "SCT", "Pancreas"), "tumour", False),
        (STRUCTURE, Code("108369006", "SCT", "Neoplasm"), "x", True),
        (STRUCTURE, TISSUE, "tumour", True),
        (TISSUE, TISSUE, "tumour", True),
        (TISSUE, TISSUE, "organ", False),
    ],
)
def test_type_then_category_then_label(category: Code, type_: Code, label: str, expected: bool) -> None:
    """The property type speaks first, then the category, and the defaults of drawing tools leave it to the label."""
    assert is_lesion(RegionEvidence(label, types=[type_], categories=[category])) is expected
