"""What a contoured region is: its organ, and whether it marks a lesion, from codes first and words second.

Codes are SNOMED CT (SCT) as PS3.16 uses them, the retired SNOMED-RT identifiers that older software still writes (SRT,
PS3.16 annex D), and the Foundational Model of Anatomy (FMA) that treatment planning writes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.domain.coding import Anatomy, Code

PANCREAS, STOMACH = Anatomy.PANCREAS, Anatomy.STOMACH

# Different names of one coding scheme (PS3.16 table 8-1).
_SCHEMES: Final = {"SNM3": "SRT", "99SDM": "SRT", "SNOMED": "SCT", "2.16.840.1.113883.6.96": "SCT"}

# (scheme, value) → organ. PS3.16 CID 4031, CID 7151, CID 9514, and the parts of both organs from SNOMED CT.
_ORGANS: Final[Mapping[tuple[str, str], Anatomy]] = {
    ("SCT", "15776009"): PANCREAS,
    ("SCT", "64163001"): PANCREAS,  # head
    ("SCT", "362201006"): PANCREAS,  # entire head
    ("SCT", "40133006"): PANCREAS,  # body
    ("SCT", "73239005"): PANCREAS,  # tail
    ("SCT", "69930009"): PANCREAS,  # pancreatic duct
    ("SRT", "T-65000"): PANCREAS,
    ("SRT", "T-65010"): PANCREAS,  # pancreatic duct
    ("SRT", "T-65100"): PANCREAS,  # head
    ("SRT", "T-65200"): PANCREAS,  # body
    ("SRT", "T-65300"): PANCREAS,  # tail
    ("FMA", "7198"): PANCREAS,
    ("SCT", "69695003"): STOMACH,
    ("SCT", "414003"): STOMACH,  # fundus
    ("SCT", "68560004"): STOMACH,  # body
    ("SCT", "66051006"): STOMACH,  # pyloric antrum
    ("SCT", "89382009"): STOMACH,  # greater curvature
    ("SRT", "T-57000"): STOMACH,
    ("FMA", "7148"): STOMACH,
    # Disorders that name their organ (PS3.16 CID 638).
    ("SCT", "700423003"): PANCREAS,  # adenocarcinoma of pancreas
    ("SCT", "363349007"): STOMACH,  # malignant tumour of stomach
}

# Codes too general to say where a region lies: the next entry, or the label, is asked.
_UNSPECIFIC: Final = frozenset(
    {
        ("SCT", "818981001"),  # abdomen
        ("SCT", "818983003"),  # abdomen and pelvis
        ("SCT", "113345001"),  # abdomen (retired)
        ("SCT", "416949008"),  # abdomen and pelvis
        ("SCT", "38266002"),  # entire body
        ("SCT", "85756007"),  # tissue
        ("SCT", "91723000"),  # anatomical structure
        ("SRT", "T-D4000"),  # abdomen
        ("SRT", "T-D0010"),  # entire body
        ("SRT", "T-D0050"),  # tissue
        ("SRT", "T-D000A"),  # anatomical structure
    }
)

# Segmented Property Type (PS3.16 CID 7159 and CID 7194) → whether it is a lesion.
_TYPES: Final[Mapping[tuple[str, str], bool]] = {
    ("SCT", "49755003"): True,  # morphologically abnormal structure
    ("SRT", "M-01000"): True,
    ("SCT", "52988006"): True,  # lesion
    ("SRT", "M-01100"): True,
    ("SCT", "4147007"): True,  # mass
    ("SRT", "M-03000"): True,
    ("SCT", "27925004"): True,  # nodule
    ("SRT", "M-03010"): True,
    ("SCT", "108369006"): True,  # neoplasm
    ("SRT", "M-8FFFF"): True,
    ("SCT", "86049000"): True,  # malignant neoplasm, primary
    ("SRT", "M-80003"): True,
    ("SCT", "372087000"): True,  # neoplasm, primary
    ("SCT", "14799000"): True,  # neoplasm, secondary
    ("SRT", "M-80006"): True,
    ("SCT", "1187332001"): True,  # adenocarcinoma
    ("SCT", "1187425009"): True,  # carcinoma
    ("SCT", "68453008"): True,  # carcinoma
    ("SRT", "M-80103"): True,
    ("SCT", "367643001"): True,  # cyst
    ("SCT", "700423003"): True,  # adenocarcinoma of pancreas
    ("SCT", "363349007"): True,  # malignant tumour of stomach
    ("NCIt", "C113842"): True,  # enhancing lesion
    ("NCIt", "C81175"): True,  # non-enhancing lesion
    ("SCT", "17621005"): False,  # normal
    ("DCM", "125040"): False,  # background
}

# Segmented Property Category (PS3.16 CID 7150) → whether what is in it is a lesion; others say nothing.
_CATEGORIES: Final[Mapping[tuple[str, str], bool]] = {
    ("SCT", "49755003"): True,  # morphologically abnormal structure
    ("SRT", "M-01000"): True,
    ("SCT", "91723000"): False,  # anatomical structure
    ("SCT", "123037004"): False,  # body structure
    ("SRT", "T-D000A"): False,  # anatomical structure
}

# RT ROI Interpreted Type (PS3.3 section C.8.8.8.1) → whether it is a lesion. ORGAN is not here: planning systems write
# it by default, so that the name decides.
_INTERPRETED_TYPES: Final[Mapping[str, bool]] = {
    "GTV": True,
    "CTV": False,
    "PTV": False,
    "EXTERNAL": False,
    "AVOIDANCE": False,
    "SUPPORT": False,
    "FIXATION": False,
    "BOLUS": False,
    "MARKER": False,
    "ISOCENTER": False,
    "REGISTRATION": False,
    "DOSE_REGION": False,
    "CONTRAST_AGENT": False,
    "CAVITY": False,
}

_ORGAN_WORDS: Final[Mapping[str, Anatomy]] = {
    "pancreas": PANCREAS,
    "pancreatic": PANCREAS,
    "pdac": PANCREAS,
    "stomach": STOMACH,
    "gastric": STOMACH,
}
# Beside an organ's name, these say that something else is meant.
_NEIGHBOUR_WORDS: Final = frozenset(
    "artery arteries vein veins vessel vessels node nodes lymph ln fat peri content contents air tube".split()  # noqa: SIM905
)
_LESION_WORDS: Final = frozenset(
    "tumour tumours tumor tumors lesion lesions gtv gtvp gtvt mass masses pdac cancer carcinoma adenocarcinoma "  # noqa: SIM905
    "neoplasm metastasis metastases".split()
)
# Beside a lesion word, these say that the region is a margin around the lesion, or what is left without it.
_NO_LESION_WORDS: Final = frozenset(
    "ctv ptv itv prv minus without excluding excl no not normal healthy background non ring".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class RegionEvidence:
    """What an object says about one region."""

    label: str
    places: Sequence[Code] = ()
    """Anatomic Region, then Segmented Property Type and RT ROI Identification codes, in the order of their weight."""
    types: Sequence[Code] = ()
    """Segmented Property Type and RT ROI Identification codes."""
    categories: Sequence[Code] = ()
    """Segmented Property Category codes."""
    interpreted_type: str = ""
    """RT ROI Interpreted Type (3006,00A4)."""


def anatomy_of(evidence: RegionEvidence) -> tuple[Anatomy | None, bool]:
    """The organ, and whether a code says so; (None, True) when a code names another place.

    A code that is unknown here speaks through its meaning, in words.
    """
    for code in evidence.places:
        key = _key(code)
        if key in _ORGANS:
            return _ORGANS[key], True
        if key in _UNSPECIFIC or key in _TYPES or key in _CATEGORIES:
            continue
        named = _organ_in_words(code.meaning)
        if named is not None:
            return named, False
        if key[0] in {"SCT", "SRT", "FMA"}:
            return None, True
    return _organ_in_words(evidence.label), False


def is_lesion(evidence: RegionEvidence) -> bool:
    """Whether the region marks a lesion: type, then category, then interpreted type, then the words of the label."""
    said = (
        *_said(_TYPES, evidence.types),
        *_said(_CATEGORIES, evidence.categories if not _is_generic(evidence) else ()),
        *([_INTERPRETED_TYPES[evidence.interpreted_type]] if evidence.interpreted_type in _INTERPRETED_TYPES else []),
    )
    return said[0] if said else _lesion_in_words(evidence.label)


def _said(table: Mapping[tuple[str, str], bool], codes: Iterable[Code]) -> list[bool]:
    return [table[_key(code)] for code in codes if _key(code) in table]


def _is_generic(evidence: RegionEvidence) -> bool:
    """Whether a category that says "anatomy" stands beside a type that says no more, as drawing tools default to."""
    known = [key for key in map(_key, evidence.categories) if key in _CATEGORIES and not _CATEGORIES[key]]
    return bool(known) and all(_key(code) in _UNSPECIFIC for code in evidence.types)


def _key(code: Code) -> tuple[str, str]:
    """What a table is asked for: the scheme by one name, the value without a scheme's prefix."""
    scheme = code.scheme.strip()
    value = code.value.strip().upper().removeprefix("FMAID").removeprefix("FMA").lstrip(":")
    return _SCHEMES.get(scheme, scheme), value


def _words(text: str) -> frozenset[str]:
    """The whole words of a label, in lower case: ``GTV_pancreasTumour-2`` is gtv, pancreas, tumour."""
    parts = re.findall(r"[A-Z]+[a-z]*|[a-z]+|[^\W\d_A-Za-z]+", text)
    return frozenset(part.lower() for part in parts)


def _organ_in_words(text: str) -> Anatomy | None:
    """The one organ that the words name; None when they name neither, both, or only a neighbour of one."""
    words = _words(text)
    named = {_ORGAN_WORDS[word] for word in words if word in _ORGAN_WORDS}
    return named.pop() if len(named) == 1 and not words & _NEIGHBOUR_WORDS else None


def _lesion_in_words(text: str) -> bool:
    words = _words(text)
    return bool(words & _LESION_WORDS) and not words & _NO_LESION_WORDS
