"""The report of one analysis: a page, a paper and the same as data, each complete in itself."""

import json
import math
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib import metadata
from typing import Any, Final

from models.evaluation.analysis import TWO, Analysis
from models.evaluation.checklists import CLAIM, TRIPOD_AI, filled
from models.evaluation.document import Provenance, compose, warnings
from models.evaluation.estimate import Source, versions
from models.evaluation.page import html
from models.evaluation.paper import pdf

FORMAT: Final = 1
"""Of the JSON document; a change that breaks a reader counts it up."""
_DRAWN_BY: Final = ("matplotlib", "reportlab", "pandas")


@dataclass(frozen=True, slots=True)
class Report:
    """What is written."""

    html: str
    pdf: bytes
    data: dict[str, Any]

    def json(self) -> str:
        """The data as text."""
        return json.dumps(self.data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def software(analysis: Analysis) -> tuple[tuple[str, str], ...]:
    """Celadon, Python and every library that a figure comes from, each with its version."""
    found = {"celadon": metadata.version("celadon"), "python": platform.python_version()}
    found |= versions(_sources(analysis)) | {name: metadata.version(name) for name in _DRAWN_BY}
    return tuple(found.items())


def report(analysis: Analysis, provenance: Provenance) -> Report:
    """The report of ``analysis``."""
    known = facts(analysis, provenance)
    tripod, claim = filled(TRIPOD_AI, known), filled(CLAIM, known)
    blocks = tuple(compose(analysis, provenance, tripod, claim))
    data = {
        "format": FORMAT,
        "provenance": asdict(provenance),
        "warnings": list(warnings(analysis)),
        "analysis": plain(analysis),
        "checklists": {"TRIPOD+AI": plain(tripod), "CLAIM": plain(claim)},
    }
    return Report(html(provenance.title, blocks), pdf(provenance.title, blocks), data)


def facts(analysis: Analysis, provenance: Provenance) -> dict[str, str]:
    """What an evaluation knows for a checklist, by key; what it does not know has no key."""
    left_out = sum(cases for _, cases in analysis.exclusions)
    subgroups = sorted({one.descriptor for part in analysis.sets for v in part.variants for one in v.subgroups})
    wrong = [_wrong(part.variants[0].figures.confusion) for part in analysis.sets]
    shared = [f"{first} and {second}: {count}" for first, second, count in analysis.shared_patients]
    of_centre = [one for part in analysis.sets for one in part.variants[0].subgroups if one.descriptor == "centre"]
    centres = [f"{group.value} {group.cases}" for one in of_centre for group in one.groups]
    found = {
        "centres": f"Cases by centre: {', '.join(centres)}" if centres else "",
        "limits": " ".join(warnings(analysis)),
        "running": f"By Celadon {dict(provenance.software).get('celadon', '')}, with the bundle {provenance.digest}"
        if provenance.digest
        else "",
        "aim": "Evaluation of a model as it stands",
        "exclusions": "; ".join(f"{reason}: {cases}" for reason, cases in analysis.exclusions)
        or "No case was left out",
        "flow": f"{analysis.found} cases, {left_out} left out; see Cohort",
        "missing": "A case without prediction or label is left out and counted; none is imputed here",
        "outcome": f"The label in the input, one of {', '.join(analysis.classes)}; the authors know how it was got",
        "sets": "; ".join(f"{part.name}: {part.cases} cases" for part in analysis.sets),
        "disjoint": f"Patients in two sets: {'; '.join(shared)}" if shared else "",
        "classes": "; ".join(
            f"{part.name}: {', '.join(f'{name} {cases}' for name, cases in part.classes)}" for part in analysis.sets
        ),
        "measures": "AUC, accuracy, sensitivity, specificity, PPV, NPV, F1, kappa, calibration, net benefit",
        "uncertainty": (
            f"95 % intervals: DeLong, Wilson, Wald, Greenwood, and bootstrap over patients "
            f"({analysis.choices.draws} draws, seed {analysis.choices.seed})"
        ),
        "subgroups": f"By {', '.join(subgroups)}; see Subgroups" if subgroups else "",
        "output": f"Probabilities of {', '.join(analysis.classes)}; positive: {' or '.join(analysis.positive)}",
        "software": ", ".join(f"{name} {version}" for name, version in provenance.software),
        "inputs": "; ".join(f"{name} (SHA-256 {digest})" for name, digest in provenance.inputs),
        "model": "See the model card" if provenance.model_card else "",
        "failures": "; ".join(f"{part.name}: {text}" for part, text in zip(analysis.sets, wrong, strict=True)),
        "plans": "See the planned sizes of each set" if any(part.plans for part in analysis.sets) else "",
    }
    return {key: answer for key, answer in found.items() if answer}


def _wrong(confusion: tuple[tuple[int, ...], ...]) -> str:
    """How many calls were wrong, and how far."""
    far = sum(count for true, row in enumerate(confusion) for called, count in enumerate(row) if abs(true - called) > 1)
    wrong = sum(count for true, row in enumerate(confusion) for called, count in enumerate(row) if true != called)
    return f"{wrong} wrong calls" + (f", {far} of them by more than one class" if len(confusion) > TWO else "")


def _sources(value: object) -> Iterable[Source]:
    """Every library that an estimate inside ``value`` names."""
    if isinstance(value, Source):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _sources(getattr(value, field.name))
    elif isinstance(value, tuple):
        for one in value:
            yield from _sources(one)


def plain(value: object) -> Any:
    """As JSON has it: a number that is none becomes null."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
