"""The overview: what monitoring shows, put together from the store, the bundles' references and the thresholds."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from models.bundle_store import Library
from models.reference import Reference, references
from node.domain.drift import Distance, Histogram, even_edges, ks, ks_at_edges, new_words, psi, psi_of_words, quantile
from node.domain.outcome import came_true
from node.domain.rates import Calibration, Rate, calibration
from node.domain.verdict import VerdictKind
from node.reports.observed import INPUTS
from node.settings import MonitoringSettings, Settings
from node.store.monitoring import Judged, Observation, Turnaround, Volume, Word
from node.stores import Stores
from node.web.centre_overview import CentreRow, centre_rows
from node.web.pages import sentence

SCORE_EDGES: Final = tuple(number / 10 for number in range(11))
_INPUT_BINS: Final = 10
_MOST_WORDS: Final = 10
PERCENTILES: Final = (0.5, 0.9, 0.95)


class AlarmState(StrEnum):
    """How something stands against its threshold."""

    FINE = "fine"
    ALARM = "alarm"
    TOO_FEW = "too few"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is watched."""

    key: str
    name: str
    state: AlarmState
    value: str
    threshold: str


@dataclass(frozen=True, slots=True)
class Drift:
    """Numbers of the period against those of a reference."""

    against: str
    """What the reference is, as a person reads it."""
    reference: Histogram
    now: Histogram | None
    """None where only how far it lies may be told: blinded results."""
    psi: float
    ks: Distance


@dataclass(frozen=True, slots=True)
class Watched:
    """A score or an input of one model."""

    key: str
    name: str
    count: int
    now: Histogram | None
    """None: too few, or blinded."""
    quartiles: tuple[float, float, float] | None
    drifts: tuple[Drift, ...]
    why_none: str
    """Why there is no drift against the bundle's reference; empty when there is one."""


@dataclass(frozen=True, slots=True)
class Words:
    """Scanners or kernels of the period against those of the one before."""

    name: str
    counts: tuple[tuple[str, int, int], ...]
    """Word, before, now; the most frequent first."""
    psi: float | None
    fresh: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """What is watched of one bundle."""

    predictor: str
    digest: str
    count: int
    blinded: int
    scores: tuple[Watched, ...]
    inputs: tuple[Watched, ...]
    words: tuple[Words, ...]
    centres: tuple[CentreRow, ...]
    """Each centre against the others."""
    imputed: tuple[tuple[str, Rate], ...]
    """By week."""
    calibrations: tuple[tuple[str, Calibration], ...]
    """By quantity."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How readers and results agree."""

    weeks: tuple[tuple[str, Rate], ...]
    overall: Rate | None
    """Of those who agreed or disagreed."""
    kinds: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything of a period."""

    since: datetime
    until: datetime
    alarms: tuple[Alarm, ...]
    volume: tuple[Volume, ...]
    turnaround: tuple[tuple[str, int, tuple[float, ...], tuple[float, ...] | None], ...]
    """Predictor, count, percentiles to the result, percentiles to the delivery, in seconds."""
    turnaround_days: tuple[tuple[str, float, float, float], ...]
    """Day, median, fifth and ninety-fifth percentile to the result."""
    refusals: tuple[tuple[str, int], ...]
    """Reason as a sentence, count."""
    models: tuple[Model, ...]
    agreement: Agreement


def overview(settings: Settings, stores: Stores, now: datetime | None = None) -> Overview:
    """The overview of the last ``monitoring.days`` days."""
    until = now or datetime.now(UTC)
    length = timedelta(days=settings.monitoring.days)
    since = until - length
    watched = stores.monitoring
    volume, refusals = watched.volume(since), watched.refusals(since)
    turnaround, words = watched.turnaround(since), watched.words(since)
    models = _models(
        settings.monitoring,
        references(Library(settings.models_dir)),
        watched.observations(since, until),
        watched.observations(since - length, since),
        watched.judged(),
    )
    agreement = _agreement(words)
    alarms = (
        _waiting(settings.monitoring, stores.jobs.oldest_waiting(), until),
        *_process_alarms(settings.monitoring, volume, turnaround),
        *_model_alarms(settings.monitoring, models),
        _agreement_alarm(settings.monitoring, agreement),
    )
    return Overview(
        since=since,
        until=until,
        alarms=alarms,
        volume=volume,
        turnaround=_percentiles(turnaround),
        turnaround_days=_by_day(turnaround),
        refusals=tuple(
            (sentence(code) or "no reason", count) for code, count in sorted(refusals.items(), key=lambda one: -one[1])
        ),
        models=models,
        agreement=agreement,
    )


def _models(
    limits: MonitoringSettings,
    known: Mapping[str, Reference],
    now: Sequence[Observation],
    before: Sequence[Observation],
    judged: Sequence[Judged],
) -> tuple[Model, ...]:
    groups, earlier = _grouped(now), _grouped(before)
    held: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for one in judged:
        held[(one.predictor, one.digest)].append(one)
    return tuple(
        _model(limits, known.get(key[1]), key, groups.get(key, []), earlier.get(key, []), held.get(key, []))
        for key in sorted(groups.keys() | held.keys())
    )


def _model(
    limits: MonitoringSettings,
    known: Reference | None,
    key: tuple[str, str],
    now: Sequence[Observation],
    before: Sequence[Observation],
    judged: Sequence[Judged],
) -> Model:
    quantities = sorted({name for one in now for name in one.scores})
    has_inputs = [name for name in INPUTS if any(name in one.inputs for one in now)]
    # Numbers of a few results, or a picture that grows by one, would tell what was found in whom.
    is_blinded = any(one.is_blinded for one in now)
    # Neither would a reference that is drawn: it has only what anybody may see.
    compared = before if is_blinded else [one for one in before if not one.is_blinded]
    return Model(
        predictor=key[0],
        digest=key[1],
        count=len(now),
        blinded=sum(one.is_blinded for one in now),
        scores=tuple(
            _watched(
                limits,
                (name, f"Score {name}"),
                [one.scores[name] for one in now if name in one.scores],
                [one.scores[name] for one in compared if name in one.scores],
                (known, known.scores.get(name) if known else None),
                SCORE_EDGES,
                is_blinded=is_blinded,
            )
            for name in quantities
        ),
        inputs=tuple(
            _watched(
                limits,
                (name, INPUTS[name]),
                [one.inputs[name] for one in now if name in one.inputs],
                [one.inputs[name] for one in before if name in one.inputs],
                (known, known.inputs.get(name) if known else None),
                None,
            )
            for name in has_inputs
        ),
        words=(
            _words(limits, "Scanner", [one.scanner for one in before], [one.scanner for one in now]),
            _words(limits, "Convolution kernel", [one.kernel for one in before], [one.kernel for one in now]),
        ),
        centres=centre_rows(limits, now),
        imputed=_imputed(now),
        calibrations=_calibrations(judged),
    )


def _watched(
    limits: MonitoringSettings,
    names: tuple[str, str],
    now: Sequence[float],
    before: Sequence[float],
    held: tuple[Reference | None, Histogram | None],
    edges: Sequence[float] | None,
    *,
    is_blinded: bool = False,
) -> Watched:
    known, expected = held
    enough = len(now) >= limits.least
    drifts = []
    if enough and known is not None and expected is not None:
        drifts.append(_against_bundle(known, expected, now, is_blinded=is_blinded))
    if enough and len(before) >= limits.least:
        drifts.append(_against_before(before, now, edges or even_edges(before, _INPUT_BINS), is_blinded=is_blinded))
    shown = not is_blinded and bool(now)
    return Watched(
        key=names[0],
        name=names[1],
        count=len(now),
        now=Histogram.of(now, edges or even_edges(now, _INPUT_BINS)) if shown else None,
        quartiles=(quantile(now, 0.25), quantile(now, 0.5), quantile(now, 0.75)) if shown else None,
        drifts=tuple(drifts),
        why_none=_why_none(limits, known, expected, len(now)),
    )


def _why_none(limits: MonitoringSettings, known: Reference | None, expected: Histogram | None, count: int) -> str:
    if known is None or expected is None:
        return "No reference: the bundle carries none for it, so nothing can be said against it."
    return f"Too few results: {limits.least} are needed." if count < limits.least else ""


def _against_bundle(known: Reference, expected: Histogram, now: Sequence[float], *, is_blinded: bool) -> Drift:
    here = Histogram.of(now, expected.edges)
    distance = ks_at_edges(expected, now)
    return Drift(
        f"the bundle's reference ({known.source}, {expected.total} cases)",
        expected,
        None if is_blinded else here,
        psi(expected.counts, here.counts),
        distance,
    )


def _against_before(
    before: Sequence[float], now: Sequence[float], edges: Sequence[float], *, is_blinded: bool
) -> Drift:
    then, here = Histogram.of(before, edges), Histogram.of(now, edges)
    return Drift(
        f"the period before ({then.total} results)",
        then,
        None if is_blinded else here,
        psi(then.counts, here.counts),
        ks(before, now),
    )


def _words(limits: MonitoringSettings, name: str, before: Sequence[str], now: Sequence[str]) -> Words:
    then, here = (Counter(word or "(not said)" for word in words) for words in (before, now))
    enough = min(len(before), len(now)) >= limits.least
    order = sorted(then.keys() | here.keys(), key=lambda word: (-here[word], -then[word], word))
    return Words(
        name,
        tuple((word, then[word], here[word]) for word in order[:_MOST_WORDS]),
        psi_of_words(list(then.elements()), list(here.elements())) if enough else None,
        new_words(then, here) if before else (),
    )


def _imputed(now: Sequence[Observation]) -> tuple[tuple[str, Rate], ...]:
    weeks: dict[str, list[Observation]] = defaultdict(list)
    for one in now:
        if one.used + one.imputed:
            weeks[_week(one.at)].append(one)
    return tuple(
        (week, Rate(sum(one.imputed for one in found), sum(one.used + one.imputed for one in found)))
        for week, found in sorted(weeks.items())
    )


def _calibrations(judged: Sequence[Judged]) -> tuple[tuple[str, Calibration], ...]:
    said: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for one in judged:
        for quantity, probability in one.scores.items():
            if (true := came_true(quantity, one.answer)) is not None:
                said[quantity].append((probability, true))
    made = ((name, calibration(*map(list, zip(*pairs, strict=True)))) for name, pairs in sorted(said.items()))  # type: ignore[arg-type]  # zip forgets that the columns differ
    return tuple((name, found) for name, found in made if found is not None)


def _agreement(words: Sequence[Word]) -> Agreement:
    weeks: dict[str, list[bool]] = defaultdict(list)
    judging = {VerdictKind.AGREE.value: True, VerdictKind.DISAGREE.value: False}
    for word in words:
        if word.kind in judging:
            weeks[_week(word.at)].append(judging[word.kind])
    said = [one for found in weeks.values() for one in found]
    kinds = Counter(word.kind for word in words)
    return Agreement(
        tuple((week, Rate(sum(found), len(found))) for week, found in sorted(weeks.items())),
        Rate(sum(said), len(said)) if said else None,
        tuple((kind.value, kinds[kind.value]) for kind in VerdictKind),
    )


def _percentiles(
    turnaround: Sequence[Turnaround],
) -> tuple[tuple[str, int, tuple[float, ...], tuple[float, ...] | None], ...]:
    groups: dict[str, list[Turnaround]] = defaultdict(list)
    for one in turnaround:
        groups[one.predictor].append(one)
    rows = []
    for predictor, found in sorted(groups.items()):
        delivered = [one.delivered_s for one in found if one.delivered_s is not None]
        result = tuple(quantile([one.result_s for one in found], share) for share in PERCENTILES)
        sent = tuple(quantile(delivered, share) for share in PERCENTILES) if delivered else None
        rows.append((predictor, len(found), result, sent))
    return tuple(rows)


def _by_day(turnaround: Sequence[Turnaround]) -> tuple[tuple[str, float, float, float], ...]:
    days: dict[str, list[float]] = defaultdict(list)
    for one in turnaround:
        days[f"{one.at:%Y-%m-%d}"].append(one.result_s)
    return tuple(
        (day, quantile(found, 0.5), quantile(found, 0.05), quantile(found, 0.95)) for day, found in sorted(days.items())
    )


def _waiting(limits: MonitoringSettings, oldest: datetime | None, now: datetime) -> Alarm:
    minutes = (now - oldest).total_seconds() / 60 if oldest else 0.0
    state = AlarmState.ALARM if minutes > limits.max_waiting_minutes else AlarmState.FINE
    value = f"{minutes:.0f} min" if oldest else "nothing waits"
    return Alarm("waiting", "Oldest waiting analysis", state, value, f"at most {limits.max_waiting_minutes:g} min")


def _process_alarms(
    limits: MonitoringSettings, volume: Sequence[Volume], turnaround: Sequence[Turnaround]
) -> tuple[Alarm, ...]:
    refused = sum(day.refused for day in volume)
    ended = refused + sum(day.analysed for day in volume)
    seconds = [one.result_s for one in turnaround]
    late = quantile(seconds, 0.95) if seconds else 0.0
    return (
        _rate_alarm(
            "refused",
            "Analyses without a result",
            Rate(refused, ended) if ended else None,
            limits,
            f"at most {100 * limits.max_refused_share:g} %",
            lambda rate: rate.interval[0] > limits.max_refused_share,
        ),
        Alarm(
            "turnaround",
            "Turnaround, 95th percentile",
            _state(len(seconds) >= limits.least, late > limits.max_turnaround_s),
            f"{late:.0f} s of {len(seconds)}" if seconds else "no result",
            f"at most {limits.max_turnaround_s:g} s",
        ),
    )


def _model_alarms(limits: MonitoringSettings, models: Sequence[Model]) -> list[Alarm]:
    alarms = []
    for model in models:
        name = f"{model.predictor} {model.digest[:8]}"
        alarms += [_drift_alarm(limits, name, one) for one in (*model.scores, *model.inputs) if one.drifts]
        alarms += [_words_alarm(limits, name, one) for one in model.words if one.psi is not None]
        if model.centres:
            alarms.append(_centre_alarm(limits, name, model.centres))
        part = sum(rate.part for _, rate in model.imputed)
        whole = sum(rate.whole for _, rate in model.imputed)
        if whole:
            share = f"at most {100 * limits.max_imputed_share:g} %"
            key = f"imputed:{name}"
            above = limits.max_imputed_share
            alarms.append(
                _rate_alarm(
                    key,
                    f"{name}: imputed values",
                    Rate(part, whole),
                    limits,
                    share,
                    lambda rate, above=above: rate.interval[0] > above,  # type: ignore[misc]
                )
            )
        alarms += [_calibration_alarm(limits, name, *one) for one in model.calibrations]
    return alarms


def _drift_alarm(limits: MonitoringSettings, name: str, watched: Watched) -> Alarm:
    worst = max(watched.drifts, key=lambda one: one.psi)
    least = min(watched.drifts, key=lambda one: one.ks.p_value)
    moved = worst.psi > limits.max_psi or least.ks.p_value < limits.min_ks_p
    value = f"PSI {worst.psi:.3f}, KS p {least.ks.p_value:.2g}"
    threshold = f"PSI at most {limits.max_psi:g}, p at least {limits.min_ks_p:g}"
    return Alarm(
        f"drift:{name}:{watched.key}", f"{name}: {watched.name}", _state(enough=True, moved=moved), value, threshold
    )


def _words_alarm(limits: MonitoringSettings, name: str, words: Words) -> Alarm:
    index = words.psi or 0.0
    return Alarm(
        f"drift:{name}:{words.name.lower()}",
        f"{name}: {words.name.lower()}",
        _state(enough=True, moved=index > limits.max_psi),
        f"PSI {index:.3f}" + (f", new: {', '.join(words.fresh[:3])}" if words.fresh else ""),
        f"PSI at most {limits.max_psi:g}",
    )


def _centre_alarm(limits: MonitoringSettings, name: str, rows: Sequence[CentreRow]) -> Alarm:
    """One for all centres, so that a name, which anybody may have written into a header, is no label of a metric."""
    far = [row for row in rows if row.is_apart]
    where = {row.found.centre: row for row in reversed(far)}
    told = "; ".join(f"{centre}: {row.quantity}, PSI {row.found.psi:.3f}" for centre, row in sorted(where.items()))
    return Alarm(
        f"drift:{name}:centre",
        f"{name}: one centre unlike the others",
        _state(enough=True, moved=bool(far)),
        told or f"none of {len({row.found.centre for row in rows})}",
        f"PSI at most {limits.max_psi:g}, or p at least {limits.min_ks_p:g}",
    )


def _calibration_alarm(limits: MonitoringSettings, name: str, quantity: str, found: Calibration) -> Alarm:
    count = sum(one.came.whole for one in found.ranges)
    rate, said = Rate(found.observed, count), found.expected / count
    low, high = rate.interval
    moved = not low <= said <= high and abs(rate.share - said) > limits.max_calibration_gap
    return Alarm(
        f"calibration:{name}:{quantity}",
        f"{name}: calibration of {quantity}",
        _state(count >= limits.least, moved),
        f"said {100 * said:.1f} %, came {100 * rate.share:.1f} % of {count}",
        f"no more than {100 * limits.max_calibration_gap:g} % apart",
    )


def _agreement_alarm(limits: MonitoringSettings, agreement: Agreement) -> Alarm:
    return _rate_alarm(
        "agreement",
        "Readers agree",
        agreement.overall,
        limits,
        f"at least {100 * limits.min_agreement:g} %",
        lambda rate: rate.interval[1] < limits.min_agreement,
    )


def _rate_alarm(
    key: str, name: str, rate: Rate | None, limits: MonitoringSettings, threshold: str, moved: Callable[[Rate], bool]
) -> Alarm:
    if rate is None:
        return Alarm(key, name, AlarmState.TOO_FEW, "none yet", threshold)
    low, high = rate.interval
    value = f"{100 * rate.share:.1f} % ({100 * low:.1f} to {100 * high:.1f} %) of {rate.whole}"
    return Alarm(key, name, _state(rate.whole >= limits.least, moved(rate)), value, threshold)


def _state(enough: bool, moved: bool) -> AlarmState:
    if not enough:
        return AlarmState.TOO_FEW
    return AlarmState.ALARM if moved else AlarmState.FINE


def _grouped(found: Sequence[Observation]) -> dict[tuple[str, str], list[Observation]]:
    groups: dict[tuple[str, str], list[Observation]] = defaultdict(list)
    for one in found:
        groups[(one.predictor, one.digest)].append(one)
    return groups


def _week(at: datetime) -> str:
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02}"
