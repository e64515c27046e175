"""Whose a value is and whether it is of the time of a study: what must agree before it is used."""

import re
import unicodedata
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from node.domain.clinical import ValueReason
from node.domain.imaging import PatientIdentity

CLOCK_SKEW: Final = timedelta(minutes=10)
"""How far clocks of laboratory and node may differ before a value is of the future."""

_SEXES: Final = ("M", "F")
_DATE_DIGITS: Final = 8


def contradicts(one: PatientIdentity, other: PatientIdentity) -> bool:
    """Whether two identities under one patient ID cannot be the same person.

    What a side does not say contradicts nothing. Family and given name must both agree in one of the alphabets that
    both are written in; an initial agrees with a name. A new family name is a contradiction: a person decides.
    """
    sexes = (one.sex.strip().upper(), other.sex.strip().upper())
    if all(sex in _SEXES for sex in sexes) and sexes[0] != sexes[1]:
        return True
    births = (_digits(one.birth_date), _digits(other.birth_date))
    if all(births) and births[0] != births[1]:
        return True
    return _names_contradict(one.name, other.name)


def corrects(before: PatientIdentity, after: PatientIdentity) -> bool:
    """Whether ``after`` is ``before`` with at most one of name, birth date and sex set right.

    A message that changes more under one number has another patient written over the first: what was known of the
    first stays the first's.
    """
    parts = ("name", "birth_date", "sex")
    changed = [
        part
        for part in parts
        if contradicts(_only(before, part), _only(after, part)) or not getattr(after, part).strip()
    ]
    return len(changed) <= 1


def _only(identity: PatientIdentity, part: str) -> PatientIdentity:
    return replace(PatientIdentity(identity.patient_id), **{part: getattr(identity, part)})


def untimely(observed_at: datetime | None, study_day: date | None, stale_days: int) -> ValueReason | None:
    """Why a value observed then is not one for a study of that day; None when it is.

    The whole day of the study counts, in the site's zone: blood is often taken an hour after the scan. Without a day of
    the study nothing can be said, and the value is not used.
    """
    if observed_at is None or study_day is None:
        return ValueReason.NO_TIME
    day = observed_at.astimezone().date()
    if day > study_day:
        return ValueReason.AFTER_STUDY
    return ValueReason.STALE if (study_day - day).days > stale_days else None


def is_future(observed_at: datetime | None, now: datetime) -> bool:
    """Whether a moment has not come yet."""
    return observed_at is not None and observed_at > now + CLOCK_SKEW


def dicom_day(text: str) -> date | None:
    """A date of eight digits (VR DA, PS3.5 section 6.2), or None for anything else."""
    digits = _digits(text)
    if not digits:
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def _digits(text: str) -> str:
    """The eight digits of a date in DICOM's, HL7's or ISO's form; empty when it is none, or not a whole date."""
    bare = text.strip().replace("-", "")[:_DATE_DIGITS]
    return bare if re.fullmatch(r"[0-9]{8}", bare) else ""


def _names_contradict(one: str, other: str) -> bool:
    """Whether two names (VR PN: family^given, up to three alphabets between ``=``) agree in no shared alphabet."""
    pairs = [
        (ours, theirs)
        for ours in map(_parts, one.split("="))
        for theirs in map(_parts, other.split("="))
        if ours and theirs and _is_latin(ours) == _is_latin(theirs)
    ]
    return bool(pairs) and not any(_agree(ours, theirs) for ours, theirs in pairs)


def _parts(name: str) -> tuple[str, str] | None:
    """Family and first given name, without case, accents and punctuation; None when there is no family name."""
    components = [_plain(component) for component in name.split("^")]
    family, given = components[0], components[1] if len(components) > 1 else ""
    return (family.replace(" ", ""), given.split(" ")[0]) if family else None


def _agree(ours: tuple[str, str], theirs: tuple[str, str]) -> bool:
    if ours[0] != theirs[0]:
        return False
    shorter, longer = sorted((ours[1], theirs[1]), key=len)
    return not shorter or shorter == longer or (len(shorter) == 1 and longer.startswith(shorter))


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(char if char.isalnum() else " " for char in decomposed if not unicodedata.combining(char))
    return " ".join(kept.replace("ß", "ss").split())


def _is_latin(parts: tuple[str, str]) -> bool:
    return parts[0][0].isascii()
