"""Monitoring: how the node and its models fare, drawn as pictures with their numbers beside them."""

import threading
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from node.domain.access import Permission, Person
from node.domain.audit import AuditAction
from node.domain.rates import Calibration, Rate
from node.web.access import TheSite, allowed
from node.web.charts import Chart, columns, distribution, over_time, reliability
from node.web.overview import AlarmState, Overview, Watched, overview
from node.web.showing import show
from node.web.site import Site

router = APIRouter(include_in_schema=False)

KEPT_S: Final = 60.0
"""How old an overview may be: it is asked for by every scrape of the metrics."""

Watcher = Annotated[Person, Depends(allowed(Permission.SEE_MONITORING))]


@dataclass(slots=True)
class _Kept:
    """The last overview of each site."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    found: dict[int, tuple[float, Overview]] = field(default_factory=dict)


_KEPT: Final = _Kept()


def recent(site: Site) -> Overview:
    """An overview that is at most a minute old; whoever asks meanwhile waits for the one who computes it."""
    with _KEPT.lock:
        at, found = _KEPT.found.get(id(site.stores), (0.0, None))
        if found is None or time.monotonic() - at > KEPT_S:
            found = overview(site.settings, site.stores)
            _KEPT.found = {id(site.stores): (time.monotonic(), found)}
        return found


@router.get("/monitoring")
def monitoring(request: Request, site: TheSite, person: Watcher) -> Response:
    """The page."""
    site.tell(person, AuditAction.MONITORING_VIEWED)
    found = overview(site.settings, site.stores)
    values: dict[str, Any] = {
        "seen": found,
        "days": site.settings.monitoring.days,
        "least": site.settings.monitoring.least,
        "alarm": AlarmState.ALARM,
        "volume": _volume(found),
        "turnaround": _turnaround(found, site.settings.monitoring.max_turnaround_s),
        "agreement": _rates("Readers who agree with the result, by week", found.agreement.weeks, site, "agreement"),
        "watched_chart": _watched,
        "imputed_chart": lambda weeks: _rates("Imputed share of the values asked for, by week", weeks, site, "imputed"),
        "calibration_chart": _calibration,
    }
    return show(request, site, person, "monitoring.html", **values)


def _volume(found: Overview) -> Chart | None:
    if not found.volume:
        return None
    stacks = [(float(day.analysed), float(day.refused)) for day in found.volume]
    return columns("Analyses by day: with a result, and without", [day.day[5:] for day in found.volume], stacks)


def _turnaround(found: Overview, threshold: float) -> Chart | None:
    if not found.turnaround_days:
        return None
    highest = max(day[3] for day in found.turnaround_days)
    return over_time(
        "Seconds from complete series to result by day: median, and where 90 of 100 lie",
        [day[0][5:] for day in found.turnaround_days],
        [day[1:] for day in found.turnaround_days],
        threshold=threshold if threshold < 2 * highest else None,
    )


def _rates(label: str, weeks: tuple[tuple[str, Rate], ...], site: Site, which: str) -> Chart | None:
    if not weeks:
        return None
    limits = site.settings.monitoring
    threshold = limits.min_agreement if which == "agreement" else limits.max_imputed_share
    values = [(rate.share, *rate.interval) for _, rate in weeks]
    return over_time(label, [week for week, _ in weeks], values, highest=1.0, threshold=threshold)


def _watched(one: Watched) -> Chart | None:
    """The numbers of the period as columns; the reference, or else the period before, as a staircase."""
    drawn = next((drift for drift in one.drifts if drift.now is not None), None)
    if drawn is not None and drawn.now is not None:
        label = f"{one.name}: columns are this period, the line is {drawn.against}"
        return distribution(label, drawn.now.edges, drawn.now.shares, drawn.reference.shares)
    if one.now is None:
        return None
    return distribution(f"{one.name} in this period", one.now.edges, one.now.shares)


def _calibration(found: Calibration) -> Chart:
    points = [(one.said, one.came.share, *one.came.interval) for one in found.ranges]
    return reliability("What came true against what was said; on the dashed line both are the same", points)
