"""Free text of pathology: what is said beyond doubt is read, doubt is held for a person, the rest is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.clinical.pathology import LONGEST_EXCERPT, SPOKEN_OF, Statement, read_report
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical_variables import CATEGORIES

REPORT = """Diagnosis: Ductal adenocarcinoma of the head of the pancreas, moderately differentiated (G2).
Stage: pT3 pN1 (2/15), L1, V0, Pn1. No distant metastasis."""


def said(text: str) -> dict[V, str]:
    """The category of each variable, or ``?`` where a person must look."""
    return {
        one.variable: "?" if one.is_ambiguous else str(CATEGORIES[one.variable].meant(one.text))
        for one in read_report(text)
    }


def test_a_report_is_read() -> None:
    """Stage, grade and site, each once."""
    assert said(REPORT) == {V.CLINICAL_N: "N1", V.DIFFERENTIATION: "moderate", V.LESION_SITE: "head"}


@pytest.mark.parametrize(
    ("text", "variable", "category"),
    [
        ("pT2 N0 M0", V.CLINICAL_N, "N0"),
        ("pT3pN2b", V.CLINICAL_N, "N2"),
        ("pT1a(m), N3b", V.CLINICAL_N, "N3"),
        ("pN0, no lymphovascular invasion", V.CLINICAL_N, "N0"),
        ("cT3 cN1 cM0", V.CLINICAL_T, "T3"),
        ("American Joint Committee on Cancer pN1 (qualifier value)", V.CLINICAL_N, "N1"),
        ("Well-differentiated adenocarcinoma", V.DIFFERENTIATION, "well"),
        ("Grading: G3", V.DIFFERENTIATION, "poor"),
        ("Lauren classification: diffuse type", V.LAUREN_TYPE, "diffuse"),
        ("Lauren: mixed", V.LAUREN_TYPE, "mixed"),
        ("Intestinal type according to Lauren", V.LAUREN_TYPE, "intestinal"),
        ("Diffuse-type gastric adenocarcinoma", V.LAUREN_TYPE, "diffuse"),
        ("Tumour site: pancreatic tail", V.LESION_SITE, "body-tail"),
        ("Tumor site: body. Primary site: tail.", V.LESION_SITE, "body-tail"),
    ],
)
def test_unambiguous_phrases(text: str, variable: V, category: str) -> None:
    """As pathologists write them; body and tail are one category."""
    assert said(text)[variable] == category


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("ypT1 ypN0", V.CLINICAL_N),
        ("rpN1", V.CLINICAL_N),
        ("pN1?", V.CLINICAL_N),
        ("pN0. Addendum: pN1", V.CLINICAL_N),
        ("at least pN1", V.CLINICAL_N),
        ("Poorly to moderately differentiated adenocarcinoma", V.DIFFERENTIATION),
        ("Adenocarcinoma, G2-G3", V.DIFFERENTIATION),
        ("Adenocarcinoma, G2/3", V.DIFFERENTIATION),
        ("Suspicious for poorly differentiated carcinoma", V.DIFFERENTIATION),
        ("Not a poorly differentiated carcinoma", V.DIFFERENTIATION),
        ("Well differentiated. Neuroendocrine tumour.", V.DIFFERENTIATION),
        ("History of well differentiated carcinoma", V.DIFFERENTIATION),
        ("Lauren: intestinal or mixed", V.LAUREN_TYPE),
        ("Tumour site: head. Tumour site: tail.", V.LESION_SITE),
    ],
)
def test_doubt_is_for_a_person(text: str, variable: V) -> None:
    """Two answers, other situations, doubt, negation, history: the excerpt, never a category."""
    assert said(text)[variable] == "?"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pNX",
        "pN",
        "intestinal metaplasia",
        "G1 gravida",
        "The head was free.",
        "pT3",
        "MCN1",
        "spN1",
        "grade 2 of 3",
    ],
)
def test_other_words_say_nothing(text: str) -> None:
    """What is no phrase that is known is not guessed at: also no pathological T for a clinical one."""
    assert read_report(text) == ()


@given(st.text(max_size=400) | st.lists(st.sampled_from(REPORT.split()), max_size=60).map(" ".join))
def test_any_text_is_statements_that_can_be_used(text: str) -> None:
    """At most one a variable; a sure one is a spelling of a category, an open one a short excerpt."""
    found = read_report(text)
    assert [one.variable for one in found] == [name for name in SPOKEN_OF if name in {one.variable for one in found}]
    for one in found:
        assert len(one.text) <= LONGEST_EXCERPT
        assert one.is_ambiguous or CATEGORIES[one.variable].meant(one.text) is not None


def test_a_report_without_end_takes_no_time_to_speak_of() -> None:
    """Work grows with the text, which is read to a limit."""
    assert read_report("pT3 (" * 200_000 + "tumour in the " * 50_000) == ()
    assert read_report("x" * 300_000 + " pN1") == ()
    assert read_report("y pN1") == (Statement(V.CLINICAL_N, "pN1"),)
