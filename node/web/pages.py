"""The templates and how values are written in them; everything that comes from elsewhere is escaped."""

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
NOTHING: Final = "\u2013"

STATE_WORDS: Final = {
    JobState.COLLECTING: "collecting",
    JobState.WAITING: "waiting",
    JobState.RUNNING: "running",
    JobState.DELIVERING: "delivering",
    JobState.DONE: "done",
    JobState.NOT_ANALYSED: "not analysed",
    JobState.QUARANTINED: "needs a person",
    JobState.RETRACTED: "retracted",
    JobState.SUPERSEDED: "superseded",
}


class Pages:
    """The templates of the site."""

    def answer(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A template with ``values`` as an answer to ``request``."""
        text = _environment().get_template(template).render(request=request, **values)
        return HTMLResponse(text, status)


@cache
def _environment() -> Environment:
    """One for the process: a template is read when it is first needed, and compiled once."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        # Every one: what a header field says is text wherever it stands.
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": moment, "day": day, "person_name": person_name, "state_words": state_words, "ago": ago,
        "sentence": sentence, "dicom_date": dicom_date,
    }  # fmt: skip
    return environment


def moment(value: datetime | None, nothing: str = NOTHING) -> str:
    """Date and time in the site's zone."""
    return f"{value.astimezone():%Y-%m-%d %H:%M:%S}" if value else nothing


def day(value: str | None, nothing: str = "no date") -> str:
    """The day and minute of a moment in ISO form."""
    return f"{datetime.fromisoformat(value).astimezone():%Y-%m-%d %H:%M}" if value else nothing


def ago(value: datetime | None, now: datetime) -> str:
    """How long ago: ``3 min``."""
    if value is None:
        return NOTHING
    seconds = max(0, int((now - value).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def person_name(value: str) -> str:
    """A DICOM person name (PS3.5 section 6.2.1) as people read it: family name first, groups apart."""
    groups = []
    for group in value.split("="):
        family, *others = [part.strip() for part in group.split("^")] or [""]
        given = " ".join(part for part in others if part)
        groups.append(", ".join(part for part in (family, given) if part))
    return " · ".join(group for group in groups if group)


def dicom_date(value: str) -> str:
    """A DICOM date (PS3.5 section 6.2) with hyphens; anything else as it is."""
    plain = len(value) == len("YYYYMMDD") and value.isdecimal()
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if plain else value


def state_words(state: JobState) -> str:
    """A state as a person reads it."""
    return STATE_WORDS[state]


def sentence(reason: str) -> str:
    """What a reason's code says."""
    return ReasonCode[reason].sentence if reason in ReasonCode.__members__ else reason
