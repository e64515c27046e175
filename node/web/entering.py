"""Clinical values as people enter them: what can be chosen, what was filled in, and what becomes of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Form

from node.clinical.entered import entered
from node.domain.access import Person
from node.domain.clinical_intake import Intake
from node.domain.clinical_variables import CATEGORIES, NUMBERS, UNIT_WORDS
from node.domain.imaging import PatientIdentity
from node.errors import UsageError
from node.web.site import Site

_LONGEST: Final = 64

Field = Annotated[str, Form(max_length=_LONGEST)]


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody has filled in."""

    variable: str
    value: str
    unit: str
    observed: str
    """A moment in ISO form, of the site's zone where it says none; empty: not known."""


def given(variable: Field = "", value: Field = "", unit: Field = "", observed: Field = "") -> Given:
    """A dependency: its parameters are the form's."""
    return Given(*(one.replace("\x00", "") for one in (variable, value, unit, observed)))


def keep(site: Site, person: Person, patient: PatientIdentity, filled: Given) -> tuple[str, ...]:
    """Keep a value of a patient; gives the analyses that it may change, which begin again.

    Raises:
        UsageError: it cannot be used; the message says why.
    """
    now = datetime.now(UTC)
    made = entered(patient, filled.variable, filled.value, filled.unit, person.name, now, _moment(filled.observed))
    return site.stores.clinical.accept(Intake((made,))).reopened


def variables() -> list[dict[str, Any]]:
    """What can be entered: numbers with the units that are accepted, words with what they may be."""
    numbers: list[dict[str, Any]] = [
        {"key": row.variable.value, "units": list(row.accepted), "unit": row.unit, "words": []}
        for row in NUMBERS.values()
    ]
    words: list[dict[str, Any]] = [
        {"key": row.variable.value, "units": [], "unit": "", "words": list(row.categories)}
        for row in CATEGORIES.values()
    ]
    for one in (*numbers, *words):
        one["shown_unit"] = UNIT_WORDS.get(one["unit"], one["unit"])
    return sorted((*numbers, *words), key=lambda one: one["key"])


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone() if text else None
    except (ValueError, OverflowError) as exc:
        raise UsageError("that is no date") from exc
