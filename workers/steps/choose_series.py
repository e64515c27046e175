"""Choose the series: of several in a study that show the same part of the body, the best is analysed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node.domain.imaging import Series
from node.domain.lifecycle import JobState
from node.domain.reasons import Reason, ReasonCode
from node.errors import Refused
from node.store.jobs import Sibling
from node.triage import contract
from node.triage.selection import ABOUT_THE_PATIENT, Candidate, better, candidate, replaced, why

_AT_WORK = frozenset({JobState.WAITING, JobState.RUNNING, JobState.DELIVERING, JobState.DONE})
_WITH_RESULTS = frozenset({JobState.DELIVERING, JobState.DONE})
_STANDING = frozenset(code.name for code in ABOUT_THE_PATIENT)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another series of the study as far as it is here."""

    job: Sibling
    series: Series
    has_contour: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """What the other series of a study mean for one of them."""

    instead: Sibling | None = None
    """The series that is analysed instead; None: this one is."""
    reason: Reason | None = None
    """Why that one."""
    awaited: tuple[Sibling, ...] = ()
    """Series that still come in and may turn out to be better."""
    replaces: tuple[Sibling, ...] = ()
    """Series whose results the results of this one take the place of."""


def choose_series(mine: Candidate, neighbours: Sequence[Neighbour], *, is_patient: bool = True) -> Choice:
    """Whether ``mine`` is the one to analyse, from headers and from what has become of the others.

    One that ended with a reason of its own (another phase, a slice missing) is out of the race; one in which no lesion
    was found is not: the best images have spoken about the patient. ``is_patient``: whether there is time to wait.
    """
    if is_patient and not mine.has_contour and (awaited := tuple(_awaited(neighbours))):
        return Choice(awaited=awaited)
    others = [found for one in neighbours if (found := _candidate(one)) is not None]
    job_of = {one.series.uid: one.job for one in neighbours}
    if (best := better(mine, others)) is not None:
        detail = f"series {best.series_uid}: {why(best, mine)}"
        return Choice(job_of[best.series_uid], Reason(ReasonCode.BETTER_SERIES, detail))
    taken = (job_of[one.series_uid] for one in replaced(mine, others))
    return Choice(replaces=tuple(job for job in taken if job.state in _WITH_RESULTS))


def _awaited(neighbours: Iterable[Neighbour]) -> Iterable[Sibling]:
    for one in neighbours:
        if one.job.state is JobState.COLLECTING and contract.may_meet(one.series):
            yield one.job


def _candidate(one: Neighbour) -> Candidate | None:
    """The neighbour as a candidate; None where it is out of the race."""
    in_the_race = one.job.state in _AT_WORK or (one.job.state is JobState.NOT_ANALYSED and one.job.reason in _STANDING)
    if not in_the_race:
        return None
    try:
        return candidate(one.series, contract.check(one.series), has_contour=one.has_contour)
    except Refused:
        return None
