"""Measurements of structured reports as clinical values: body size, and whatever else carries a code that is known."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from node.clinical.reading import read
from node.domain.clinical_intake import Intake, MeasurementDocument, MessageIdentity, RawValue, ReceivedValue
from node.domain.clinical_variables import MEASURED

NAME: Final = "sr"

_MOMENT: Final = re.compile(
    r"(?P<day>[0-9]{8})(?P<hour>[0-9]{2})?(?P<minute>[0-9]{2})?(?P<second>[0-9]{2})?(?:\.[0-9]{1,6})?"
    r"(?P<zone>[+-][0-9]{4})?"
)


def intake(document: MeasurementDocument, now: datetime) -> Intake:
    """What is to be stored of a document, once however often it comes; no values when none of it is asked for."""
    values = []
    for one in document.measurements:
        variable = MEASURED.get((one.name.scheme, one.name.value))
        if variable is not None:
            raw = RawValue(variable, one.text, one.unit, read_moment(one.observed_at), is_final=document.is_final)
            values.append(ReceivedValue(document.patient, read(raw, now), NAME, document.instance_uid))
    return Intake(tuple(values), message=MessageIdentity(NAME, document.instance_uid, _NO_DIGEST, "SR"))


_NO_DIGEST: Final = "0" * 64
"""A SOP Instance UID is one content already."""


def read_moment(text: str) -> datetime | None:
    """A moment (VR DT, at least a day); without a zone it is the site's. None when it is none."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    clock = [int(match[part] or 0) for part in ("hour", "minute", "second")]
    try:
        day = datetime.strptime(match["day"], "%Y%m%d")  # noqa: DTZ007 — the zone follows
        moment = day.replace(hour=clock[0], minute=clock[1], second=clock[2])
        if match["zone"] is None:
            return moment.astimezone()
        offset = timedelta(hours=int(match["zone"][1:3]), minutes=int(match["zone"][3:]))
        return moment.replace(tzinfo=timezone(-offset if match["zone"][0] == "-" else offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
