"""What the free text of a pathology report says beyond doubt: N stage, clinical T, differentiation, Lauren type, site.

Only phrases that mean one thing are read. Where a report says two things about one variable, or says one with doubt, a
person must look: then the excerpt is given as ambiguous. What is said in other words is not found, which costs a
question to a person and no patient a wrong stage. English.

TNM: UICC, 8th edition (prefixes c and p; y, r and a are other situations than the models'). Lauren: intestinal,
diffuse, mixed. Grades: WHO, G1 to G3 of adenocarcinoma; neuroendocrine tumours have grades of their own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical_variables import CATEGORIES

LONGEST_TEXT: Final = 200_000
LONGEST_EXCERPT: Final = 120

REPORT_LOINC: Final = frozenset(
    {"11526-1", "11529-5", "22635-7", "22637-3", "22638-1", "33746-9", "34574-4", "60567-5"}
)
"""Texts of pathologists: study, surgical study, microscopy, diagnosis, comment, findings, final diagnosis, panel.

The gross description and the clinical history are not among them: they quote others.
"""
SPOKEN_OF: Final = (V.CLINICAL_T, V.CLINICAL_N, V.DIFFERENTIATION, V.LAUREN_TYPE, V.LESION_SITE)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a report says of one variable: a spelling of a category, or an excerpt that leaves it open."""

    variable: V
    text: str
    is_ambiguous: bool = False


def read_report(text: str) -> tuple[Statement, ...]:
    """At most one statement a variable, in the order of ``SPOKEN_OF``; empty when the report says nothing of them."""
    said: dict[V, list[Statement]] = {}
    read = text[:LONGEST_TEXT]
    has_other_grades = _OTHER_GRADES.search(read) is not None
    for sentence in _sentences(read):
        for statement in _statements(sentence, has_other_grades):
            said.setdefault(statement.variable, []).append(statement)
    return tuple(_one(said[variable]) for variable in SPOKEN_OF if variable in said)


def _one(statements: list[Statement]) -> Statement:
    """The statement, if all agree; else an ambiguous one."""
    doubtful = next((one for one in statements if one.is_ambiguous), None)
    row = CATEGORIES[statements[0].variable]
    meant = {row.meant(one.text) for one in statements if not one.is_ambiguous}
    if doubtful is None and len(meant) == 1:
        return statements[0]
    excerpt = doubtful.text if doubtful else " … ".join(dict.fromkeys(one.text for one in statements))
    return Statement(statements[0].variable, excerpt[:LONGEST_EXCERPT], is_ambiguous=True)


# A full stop ends a sentence only where no number goes on: 3.2 cm, pT3.
_ENDS: Final = re.compile(r"[\r\n;]+|\.(?=\s|$)")

_TNM: Final = re.compile(
    r"(?<![A-Za-z0-9])(?P<prefix>[yra]*[pc])"
    r"(?:T(?P<t>[1-4])[a-d]?(?:\s*\([^)\n]{0,20}\))?[\s,]*"
    r"(?:(?P<again>[yra]*[pc])?N(?P<tn>[0-3])[a-c]?)?|N(?P<n>[0-3])[a-c]?)"
    r"(?![A-Za-z0-9])"
)
_DOUBT: Final = re.compile(
    r"\b(?:suspicious|suspected|suspicion|suggest\w*|possibl[ey]|probabl[ey]|likely|cannot|can not|may|might|could|"
    r"versus|vs|rule out|differential|at least|favou?rs?|previous(?:ly)?|prior|history|outside|family|mother|father|"
    r"pending|equivocal|uncertain|indeterminate|questionable|borderline|if|either|or)\b|\?",
    re.IGNORECASE,
)
_NEGATED: Final = re.compile(
    r"\b(?:no|not|without|negative|absence|absent|excluded?|free|neither|nor)\b", re.IGNORECASE
)

_DIFFERENTIATED: Final = re.compile(
    r"\b(?P<range>(?:well|moderately|poorly)[\s-]+(?:(?:to|and)[\s-]+)?)?"
    r"(?P<word>well|moderately|poorly)[\s-]+differentiated\b",
    re.IGNORECASE,
)
_LOOSE_GRADE: Final = re.compile(r"\bG(?P<low>[1-3])(?:\s*[-\u2013/]\s*G?(?P<high>[1-4]))?(?![A-Za-z0-9])")
_OF_CARCINOMA: Final = re.compile(r"carcinoma|grad(?:e|ing)|differentiat|[pc]T[1-4]|[pc]N[0-3]", re.IGNORECASE)
_OTHER_GRADES: Final = re.compile(r"neuro[\s-]?endocrine|\bNET\b|\bNEC\b|dysplasia|PanIN|IPMN|lymphoma", re.IGNORECASE)
_LAUREN: Final = re.compile(
    r"\bLaur[eé]n\b[^.;\n]{0,40}?\b(?P<named>intestinal|diffuse|mixed)\b"
    r"|\b(?P<before>intestinal|diffuse|mixed)\b[\s-]*(?:type)?[^.;\n]{0,30}?\bLaur[eé]n\b"
    r"|\b(?P<typed>intestinal|diffuse)[\s-]type\s+(?:gastric\s+)?(?:adeno)?carcinoma",
    re.IGNORECASE,
)
_PART: Final = r"(?P<{0}>head|uncinate process|body|tail)"
_SITE: Final = re.compile(
    r"(?:tumou?r\s+(?:site|location)|primary\s+site)\s*:?\s*(?:the\s+)?(?:pancrea(?:s|tic)\s*,?\s*)?"
    + _PART.format("site")
    + r"|(?:carcinoma|tumou?r)\s+(?:of|in)\s+the\s+(?:pancreatic\s+"
    + _PART.format("pancreatic")
    + r"|"
    + _PART.format("of")
    + r"\s+of\s+the\s+pancreas)",
    re.IGNORECASE,
)  # fmt: skip


def _sentences(text: str) -> Iterator[str]:
    for part in _ENDS.split(text):
        if sentence := " ".join(part.split()):
            yield sentence


def _statements(sentence: str, has_other_grades: bool) -> Iterator[Statement]:
    doubted = _DOUBT.search(sentence) is not None
    yield from _stages(sentence, doubted)
    for variable, text, is_open in (*_grades(sentence, has_other_grades), *_types(sentence), *_sites(sentence)):
        unsure = is_open or doubted or _NEGATED.search(sentence) is not None
        yield Statement(variable, _excerpt(sentence) if unsure else text, is_ambiguous=unsure)


def _stages(sentence: str, doubted: bool) -> Iterator[Statement]:
    """T and N; a negation beside them speaks of vessels or nodes, not of the stage."""
    for match in _TNM.finditer(sentence):
        node = match["n"] or match["tn"]
        prefix = match["again"] or match["prefix"]
        if node is not None:
            unsure = doubted or prefix not in ("p", "c")
            yield Statement(V.CLINICAL_N, _excerpt(sentence) if unsure else f"{prefix}N{node}", is_ambiguous=unsure)
        if match["t"] is not None and match["prefix"].endswith("c"):
            unsure = doubted or match["prefix"] != "c"
            yield Statement(V.CLINICAL_T, _excerpt(sentence) if unsure else f"cT{match['t']}", is_ambiguous=unsure)


def _grades(sentence: str, has_other_grades: bool) -> Iterator[tuple[V, str, bool]]:
    for match in _DIFFERENTIATED.finditer(sentence):
        yield V.DIFFERENTIATION, f"{match['word']} differentiated", has_other_grades or match["range"] is not None
    if _OF_CARCINOMA.search(sentence):
        for match in _LOOSE_GRADE.finditer(sentence):
            yield V.DIFFERENTIATION, f"G{match['low']}", has_other_grades or match["high"] is not None


def _types(sentence: str) -> Iterator[tuple[V, str, bool]]:
    for match in _LAUREN.finditer(sentence):
        yield V.LAUREN_TYPE, match["named"] or match["before"] or match["typed"], False


def _sites(sentence: str) -> Iterator[tuple[V, str, bool]]:
    for match in _SITE.finditer(sentence):
        yield V.LESION_SITE, match["site"] or match["pancreatic"] or match["of"], False


def _excerpt(sentence: str) -> str:
    return sentence[:LONGEST_EXCERPT]
