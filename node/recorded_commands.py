"""What ``celadon evaluate --from-node`` does: what this node has said, silent or not, beside what turned out true.

A case is a CT series, by its newest analysis. The files that are written number the cases; whose they are stands in the
file of matches alone, which has the identifiers of the outcomes as they were given.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.bundle_store import Library
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from node.errors import UsageError
from node.evaluation_commands import Asked, evaluate, library_needed, write_rows
from node.settings import Settings
from node.store.jobs import JobRecord
from node.stores import Stores
from node.triage.contract import ANNOTATION_MODALITIES, DOCUMENT_MODALITIES

if TYPE_CHECKING:
    from models.evaluation.answers import Answer, Question
    from models.evaluation.matching import Identity, Match, Outcome

PREDICTIONS: Final = "predictions.csv"
LABELS: Final = "labels.csv"
MATCHES: Final = "matches.csv"
_SHA256: Final = "sha256:"
_WITH_RESULT: Final = frozenset({JobState.DELIVERING, JobState.DONE})
_NO_CASES: Final = ANNOTATION_MODALITIES | DOCUMENT_MODALITIES
_DAYS_A_YEAR: Final = 365.25


@dataclass(frozen=True, slots=True)
class Recorded:
    """Which results are meant."""

    since: datetime | None
    until: datetime | None
    outcomes: Path | None
    predictor: str
    """Empty: the only one that has results."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A series by its newest analysis."""

    job: JobRecord
    answer: "Answer | None"
    digest: str
    identity: "Identity"
    described: Mapping[str, str]
    """Columns of labels that the node knows: sex, age, scanner, thickness, who sent it, what the images are like."""


def evaluate_recorded(settings: Settings, asked: Asked, recorded: Recorded, *, as_json: bool) -> int:
    """Write the report of recorded results into ``asked.out``; 0."""
    if recorded.outcomes is None:
        raise UsageError("--from-node needs --outcomes: a CSV with study_uid, accession or patient_id, and label")
    with library_needed():
        from models.evaluation.matching import match, read_outcomes  # noqa: PLC0415 — an extra that may be missing
    outcomes = read_outcomes(recorded.outcomes)
    stores = Stores.open(settings)
    jobs = _jobs(stores, recorded)
    cases = [_case(stores, job, number) for number, job in enumerate(jobs, start=1)]
    predictor = _predictor(cases, recorded.predictor)
    wanted = _digest(settings, cases, predictor, asked.bundle)
    ours = [one for one in cases if _is_meant(one, predictor, wanted)]
    question = next(one.answer.question for one in ours if one.answer is not None)
    matches = match(outcomes, [one.identity for one in ours])
    write_rows(asked.out / PREDICTIONS, _predictions(ours, question))
    write_rows(asked.out / LABELS, _labels(ours, matches, question))
    write_rows(asked.out / MATCHES, _told(matches))
    named = replace(
        asked,
        predictions=asked.out / PREDICTIONS,
        labels=asked.out / LABELS,
        bundle="" if asked.bundle.startswith(_SHA256) else asked.bundle,
        flow=tuple(_flow(jobs, cases, ours, matches)),
    )
    return evaluate(settings, named, as_json=as_json)


def _jobs(stores: Stores, recorded: Recorded) -> tuple[JobRecord, ...]:
    """The newest analysis of every CT series that was complete in the time meant, the oldest first."""
    newest: dict[str, JobRecord] = {}
    for job in stores.jobs.jobs():
        if job.modality not in _NO_CASES and (
            job.series_uid not in newest or job.version > newest[job.series_uid].version
        ):
            newest[job.series_uid] = job
    since, until = (_moment(one) for one in (recorded.since, recorded.until))
    moments = ((job.completed_at or job.created_at, job) for job in newest.values())
    meant = [(at, job) for at, job in moments if (since is None or at >= since) and (until is None or at < until)]
    if not meant:
        raise UsageError("this node has no series of that time")
    return tuple(job for _, job in sorted(meant, key=lambda one: (one[0], one[1].job_id)))


def _moment(typed: datetime | None) -> datetime | None:
    """A moment from local time as people type it."""
    return None if typed is None else typed.astimezone()


def _case(stores: Stores, job: JobRecord, number: int) -> _Case:
    from models.evaluation.answers import of_document  # noqa: PLC0415 — an extra that may be missing
    from models.evaluation.cohort_file import INPUT  # noqa: PLC0415 — as above
    from models.evaluation.matching import Identity  # noqa: PLC0415 — as above

    document = stores.findings.recorded(job.job_id) if job.state in _WITH_RESULT else None
    line = stores.worklist.line(job.job_id)
    series = stores.inbox.series(job.series_uid)
    described = {
        "sex": series.patient.sex if series.patient.sex in {"F", "M"} else "",
        "age_years": _age(series.patient.birth_date, series.attribute("StudyDate")),
        "scanner": " ".join(
            part for part in (series.attribute("Manufacturer"), series.attribute("ManufacturerModelName")) if part
        ),
        "thickness_mm": series.attribute("SliceThickness"),
        "centre": series.attribute("InstitutionName"),
        **{f"{INPUT}{name}": str(value) for name, value in _watched(document).items()},
    }
    accession = line.accession if line is not None else ""
    return _Case(
        job=job,
        answer=None if document is None else of_document(document),
        digest="" if document is None else str(document["algorithm"]["digest"]),
        identity=Identity(f"case-{number:05d}", job.study_uid, accession, job.patient_id, series.patient.issuer),
        described=described,
    )


def _watched(document: Mapping[str, Any] | None) -> Mapping[str, float]:
    """What the node has measured of the images of a result, such as the mean HU of the region."""
    found: Mapping[str, float] = (document or {}).get("observed", {}).get("inputs", {})
    return found


def _age(born: str, studied: str) -> str:
    try:
        days = datetime.strptime(studied, "%Y%m%d") - datetime.strptime(born, "%Y%m%d")  # noqa: DTZ007 — dates
    except ValueError:
        return ""
    return f"{days.days / _DAYS_A_YEAR:.1f}"


def _predictor(cases: Sequence[_Case], named: str) -> str:
    found = Counter(one.job.predictor for one in cases if one.answer is not None)
    if not found:
        raise UsageError("this node has no result of that time")
    if named and named not in found:
        raise UsageError(f"--predictor {named}: has no result of that time; there are {', '.join(sorted(found))}")
    if not named and len(found) > 1:
        raise UsageError(f"there are results of {', '.join(sorted(found))}: choose one with --predictor")
    return named or next(iter(found))


def _digest(settings: Settings, cases: Sequence[_Case], predictor: str, bundle: str) -> str:
    """Whose results are meant, by the bundle's digest."""
    found = Counter(one.digest for one in cases if one.answer is not None and one.job.predictor == predictor)
    if not bundle:
        if len(found) > 1:
            told = ", ".join(f"{_SHA256}{digest[:16]} ({count} results)" for digest, count in found.most_common())
            raise UsageError(f"the results are of several bundles, {told}: choose one with --bundle")
        return next(iter(found))
    wanted = (
        bundle.removeprefix(_SHA256)
        if bundle.startswith(_SHA256)
        else Library(settings.models_dir).entry(bundle).open().digest
    )
    fitting = [digest for digest in found if digest.startswith(wanted.lower())]
    if len(fitting) != 1:
        raise UsageError(f"--bundle {bundle}: {len(fitting)} bundles with results of that time are meant, not one")
    return fitting[0]


def _is_meant(case: _Case, predictor: str, digest: str) -> bool:
    """Results of the bundle meant, and series that have none, unless they are known to be another predictor's."""
    if case.answer is not None:
        return case.job.predictor == predictor and case.digest == digest
    return case.job.predictor in {"", predictor}


def _predictions(cases: Sequence[_Case], question: "Question") -> list[dict[str, str]]:
    from models.evaluation.cohort_file import PROBABILITY  # noqa: PLC0415 — an extra that may be missing

    rows = []
    for case in cases:
        row = {"case": case.identity.case, "called": "", "digest": case.digest, "excluded": _reason(case)}
        probabilities: Sequence[float] = ()
        if case.answer is not None:
            row["called"], probabilities = case.answer.called, case.answer.probabilities
        shown = [repr(one) for one in probabilities] or [""] * len(question.classes)
        rows.append(row | {f"{PROBABILITY}{name}": text for name, text in zip(question.classes, shown, strict=True)})
    return rows


def _reason(case: _Case) -> str:
    """Why a series has no result; empty when it has one."""
    if case.answer is not None:
        return ""
    reason = case.job.reason
    if reason in ReasonCode.__members__:
        return f"{reason}: {ReasonCode[reason].sentence}"
    return reason or f"it is {case.job.state}"


def _labels(cases: Sequence[_Case], matches: "Sequence[Match]", question: "Question") -> list[dict[str, str]]:
    """What is known of each case; what an outcome says of a column counts more than what the node knows."""
    from models.evaluation.cohort_file import strange  # noqa: PLC0415 — an extra that may be missing

    known = {one.case: one.outcome for one in matches if one.case}
    columns = list(dict.fromkeys(name for one in matches for name in one.outcome.known))
    # The names of columns that nobody understands are told; what stands in them may be anything and goes nowhere.
    unsaid = dict.fromkeys(strange(columns), "")
    patients: dict[tuple[str, str], str] = {}
    rows = []
    for case in cases:
        outcome = known.get(case.identity.case)
        said = dict.fromkeys(columns, "") if outcome is None else _said(outcome, question) | unsaid
        described = {name: said.get(name) or text for name, text in case.described.items()}
        whose = (case.identity.patient_id.strip(), case.identity.issuer.strip())
        patient = patients.setdefault(whose, f"patient-{len(patients) + 1:05d}")
        rows.append({**said, **described, "case": case.identity.case, "patient": patient})
    return rows


def _said(outcome: "Outcome", question: "Question") -> dict[str, str]:
    """An outcome's columns, each class by its own name; UsageError with its line where a word is none."""
    from models.evaluation.cohort_file import READER  # noqa: PLC0415 — an extra that may be missing

    said = dict(outcome.known)
    for column in (one for one in said if one == "label" or one.startswith(READER)):
        try:
            said[column] = question.class_of(said[column])
        except UsageError as error:
            raise UsageError(f"outcomes: line {outcome.line}: column {column}: {error}") from error
    return said


def _told(matches: "Sequence[Match]") -> list[dict[str, str]]:
    """Every line of the outcomes with what became of it: for whoever has to mend the file."""
    from models.evaluation.matching import ISSUER, KEYS  # noqa: PLC0415 — an extra that may be missing

    return [
        {
            "line": str(one.outcome.line),
            **{key: one.outcome.identifiers.get(key, "") for key in (*KEYS, ISSUER)},
            "became": one.fate.name.lower(),
            "why": one.fate.value,
            "case": one.case,
        }
        for one in matches
    ]


def _flow(
    jobs: Sequence[JobRecord], cases: Sequence[_Case], ours: Sequence[_Case], matches: "Sequence[Match]"
) -> Iterator[tuple[str, int]]:
    """How the cohort came about, before there were cases."""
    from models.evaluation.matching import Fate  # noqa: PLC0415 — an extra that may be missing

    yield "CT series of that time in this node", len(jobs)
    yield "of them with a result of any model", sum(one.answer is not None for one in cases)
    yield (
        "of them delivered to an archive",
        sum(one.answer is not None and one.job.delivered_at is not None for one in cases),
    )
    yield "of them with a result of this bundle", sum(one.answer is not None for one in ours)
    yield "outcomes in the file", len(matches)
    counts = Counter(one.fate for one in matches)
    yield from ((f"outcomes: {fate.value}", counts[fate]) for fate in Fate if counts[fate])
