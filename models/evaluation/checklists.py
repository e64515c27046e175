"""The items of TRIPOD+AI and of CLAIM, filled where an evaluation knows the answer, and left open where a person must.

TRIPOD+AI: Collins et al., BMJ 2024;385:e078378. CLAIM 2024: Tejani et al., Radiol Artif Intell 2024;6:e240300. The
words are ours and short; the numbers are theirs, compared item by item with the published tables (TRIPOD+AI of 11
January 2024, 52 items; CLAIM 2024, 44 items). A journal's own form is what counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

OPEN: Final = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One point of a checklist."""

    number: str
    topic: str
    fact: str = ""
    """The key of the fact that answers it; empty when only a person can."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An item with what is known."""

    number: str
    topic: str
    answer: str
    """``OPEN`` where a person must write it."""


TRIPOD_AI: Final = (
    Item("1", "Title: a model is developed or evaluated, in whom, for what"),
    Item("2", "Abstract by the list for abstracts"),
    Item("3a", "Health problem, and why the model"),
    Item("3b", "Whom the model is for, and where in care it is used"),
    Item("3c", "Known inequalities between groups"),
    Item("4", "Aim: development, evaluation, or both", "aim"),
    Item("5a", "Where the data come from, and why they represent the patients", "centres"),
    Item("5b", "Dates: first and last patient, end of follow-up"),
    Item("6a", "Setting and centres", "centres"),
    Item("6b", "Who was eligible", "exclusions"),
    Item("6c", "Treatments, and how they were dealt with"),
    Item("7", "How data were prepared and checked, alike across groups", "preparation"),
    Item("8a", "Outcome: what, when, how assessed", "outcome"),
    Item("8b", "Who assessed an outcome that needs judgement"),
    Item("8c", "Blinding of that assessment"),
    Item("9a", "How predictors were chosen before modelling", "model"),
    Item("9b", "Predictors: what, when, how measured", "model"),
    Item("9c", "Who assessed predictors that need judgement"),
    Item("10", "How the sample size came about", "size"),
    Item("11", "Missing data", "missing"),
    Item("12a", "How data were split and used", "sets"),
    Item("12b", "How predictors entered the model", "model"),
    Item("12c", "Type of model, how it was built and tuned", "model"),
    Item("12d", "Differences between clusters such as hospitals", "subgroups"),
    Item("12e", "Measures of performance, and plots", "measures"),
    Item("12f", "Updating after evaluation, such as recalibration"),
    Item("12g", "How predictions were made in the evaluation", "running"),
    Item("13", "Class imbalance, and what was done about it", "classes"),
    Item("14", "What was done for fairness", "subgroups"),
    Item("15", "The model's output, and how a cut was chosen", "output"),
    Item("16", "Differences between training and evaluation data", "sets"),
    Item("17", "Ethics approval and consent"),
    Item("18a", "Funding"),
    Item("18b", "Conflicts of interest"),
    Item("18c", "Protocol"),
    Item("18d", "Registration"),
    Item("18e", "Where the data are to be had", "inputs"),
    Item("18f", "Where the code is to be had", "software"),
    Item("19", "How patients and the public took part"),
    Item("20a", "Flow of participants, with outcomes and follow-up", "flow"),
    Item("20b", "Characteristics, by set and by centre", "classes"),
    Item("20c", "Comparison with the development data", "sets"),
    Item("21", "Participants and events in each analysis", "classes"),
    Item("22", "The whole model, so that others can predict with it", "model"),
    Item("23a", "Performance with intervals, and in key groups", "measures"),
    Item("23b", "Differences in performance between clusters", "subgroups"),
    Item("24", "Results of updating"),
    Item("25", "Interpretation, with fairness in view"),
    Item("26", "Limitations", "limits"),
    Item("27a", "Poor or missing input when it is used"),
    Item("27b", "What users must do and know"),
    Item("27c", "What research comes next", "plans"),
)

CLAIM: Final = (
    Item("1", "Title or abstract says that it is AI, and which"),
    Item("2", "Structured summary"),
    Item("3", "Background, intended use and clinical role"),
    Item("4", "Aims and hypotheses"),
    Item("5", "Prospective or retrospective"),
    Item("6", "Goal of the study", "aim"),
    Item("7", "Data sources", "centres"),
    Item("8", "Inclusion and exclusion", "exclusions"),
    Item("9", "Preprocessing", "preparation"),
    Item("10", "Parts of images or cohorts that were selected"),
    Item("11", "De-identification"),
    Item("12", "Missing data", "missing"),
    Item("13", "Image acquisition"),
    Item("14", "How the reference standard was obtained", "outcome"),
    Item("15", "Why that reference standard"),
    Item("16", "Who made the reference, with what experience"),
    Item("17", "Annotation of the test set"),
    Item("18", "Variability between and within raters"),
    Item("19", "How cases were assigned to sets", "sets"),
    Item("20", "At what level the sets are disjoint", "disjoint"),
    Item("21", "Intended sample size", "size"),
    Item("22", "The model in detail", "model"),
    Item("23", "Software, versions, settings", "software"),
    Item("24", "How weights were started", "model"),
    Item("25", "Training", "model"),
    Item("26", "How the final model was chosen", "model"),
    Item("27", "Ensembles"),
    Item("28", "Measures of performance", "measures"),
    Item("29", "Uncertainty and significance", "uncertainty"),
    Item("30", "Robustness", "subgroups"),
    Item("31", "Explanation of predictions"),
    Item("32", "Evaluation on internal data", "sets"),
    Item("33", "Testing on external data", "sets"),
    Item("34", "Trial registration"),
    Item("35", "Numbers included and left out", "flow"),
    Item("36", "Characteristics in each set", "classes"),
    Item("37", "Performance, and its uncertainty", "measures"),
    Item("38", "Diagnostic performance, and its precision", "measures"),
    Item("39", "Failures", "failures"),
    Item("40", "Limitations", "limits"),
    Item("41", "What follows for practice"),
    Item("42", "Where the protocol is"),
    Item("43", "Where software, model and data are to be had", "software"),
    Item("44", "Funding"),
)


def filled(items: tuple[Item, ...], facts: Mapping[str, str]) -> tuple[Answer, ...]:
    """The items with the facts that are known; what has no fact stays open."""
    return tuple(Answer(item.number, item.topic, facts.get(item.fact, OPEN) if item.fact else OPEN) for item in items)
