"""Health and metrics: whether this process lives, whether the node can work, and numbers without patients.

Metrics are read from the database when they are asked for: a restart loses none, and several processes do not differ.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from node.errors import CeladonError
from node.store.alarms import AlarmKind
from node.store.counters import Counted
from node.store.statistics import STEP_BUCKETS_S, TURNAROUND_BUCKETS_S
from node.stores import BYTES_PER_GB
from node.web.access import NotSignedIn, TheSite, find_person
from node.web.monitoring import recent
from node.web.overview import AlarmState
from node.web.site import Site

router = APIRouter(tags=["operation"])

_COUNTERS: Final = {
    Counted.ASSOCIATION: ("celadon_associations", "Associations that were asked for.", "outcome"),
    Counted.REFUSED_AT_DOOR: ("celadon_instances_refused", "Instances that were refused at the door.", "reason"),
    Counted.LEASE_LOST: ("celadon_leases_lost", "Claims that were lost to somebody else.", ""),
    Counted.WORKER_ENDED: ("celadon_workers_ended", "Processes that died at a case, or were ended.", ""),
}
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/health/live")
def live() -> dict[str, str]:
    """Whether this process answers."""
    return {"status": "ok"}


@router.get("/health/ready", responses={503: {"description": "It cannot; `checks` says why."}})
def ready(site: TheSite) -> Response:
    """Whether the node can take and keep what comes: database and disk; 503 otherwise."""
    checks = {"database": _database(site), "disk": _disk(site)}
    well = all(check == "ok" for check in checks.values())
    return JSONResponse({"status": "ok" if well else "fail", "checks": checks}, 200 if well else 503)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={401: {"description": "Nobody is signed in.", "content": {"application/json": {}}}},
)
def metrics(request: Request, site: TheSite) -> Response:
    """Prometheus' text format. Where others than this machine can ask, a token is needed."""
    if not site.settings.web.is_local and find_person(request, site) is None:
        raise NotSignedIn
    registry = CollectorRegistry()
    registry.register(_Collector(site))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE)


def _database(site: Site) -> str:
    try:
        site.stores.database.require_current()
    except CeladonError as exc:
        return str(exc)
    return "ok"


def _disk(site: Site) -> str:
    # A bucket refuses by itself what it has no room for; here are only copies.
    least = 0 if site.settings.blobs.s3 else site.settings.dicom.min_free_gb * BYTES_PER_GB
    free = site.stores.blobs.free_bytes()
    return "ok" if free >= least else f"{free / BYTES_PER_GB:.1f} GB free, {least / BYTES_PER_GB:g} GB are needed"


class _Collector(Collector):
    """Reads everything at each scrape; labels are states, reasons and names of models, never of people."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def describe(self) -> list[Any]:
        """Nothing is asked of the database to be registered."""
        return []

    def collect(self) -> Iterator[Any]:
        """Every metric."""
        stores, now = self._site.stores, datetime.now(UTC)
        info = InfoMetricFamily("celadon", "This node.")
        info.add_metric([], {"version": self._site.version, "mode": self._site.settings.mode.value})
        yield info
        jobs = GaugeMetricFamily("celadon_jobs", "Analyses by state.", labels=["state"])
        for state, count in stores.jobs.counts().items():
            jobs.add_metric([state.value], count)
        yield jobs
        deliveries = GaugeMetricFamily(
            "celadon_deliveries", "Objects by the state of their delivery.", labels=["state"]
        )
        for one, count in stores.outbox.counts().items():
            deliveries.add_metric([one.value], count)
        yield deliveries
        yield _age(
            "celadon_oldest_waiting_seconds", "Age of the oldest waiting analysis.", stores.jobs.oldest_waiting(), now
        )
        yield _age("celadon_last_received_seconds", "Time since the last instance.", stores.jobs.last_received(), now)
        yield GaugeMetricFamily("celadon_disk_free_bytes", "Free space for images.", stores.blobs.free_bytes())
        yield from self._of_the_fleet()
        yield from self._of_results()
        yield self._alarms()

    def _alarms(self) -> GaugeMetricFamily:
        """Those that people are told of, and the thresholds of monitoring: one family, as the format wants it."""
        words = "1 while an alarm is raised, or a threshold of monitoring is crossed."
        family = GaugeMetricFamily("celadon_alarm", words, labels=["alarm"])
        raised = {one.kind for one in self._site.stores.alarms.raised()}
        for kind in AlarmKind:
            family.add_metric([kind.value], int(kind in raised))
        for alarm in recent(self._site).alarms:
            family.add_metric([alarm.key], int(alarm.state is AlarmState.ALARM))
        return family

    def _of_the_fleet(self) -> Iterator[Any]:
        stores = self._site.stores
        depth = GaugeMetricFamily("celadon_queue_depth", "Cases that wait for a worker.", labels=["queue"])
        for queue, count in stores.jobs.depth().items():
            depth.add_metric([queue.value], count)
        yield depth
        counted = stores.counters.read()
        for what, (name, words, label) in _COUNTERS.items():
            family = CounterMetricFamily(name, words, labels=[label] if label else [])
            if not label:
                family.add_metric([], counted.get((what.value, ""), 0))
            for (counter, value), count in counted.items():
                if label and counter == what.value:
                    family.add_metric([value], count)
            yield family

    def _of_results(self) -> Iterator[Any]:
        statistics = self._site.stores.statistics
        refused = CounterMetricFamily("celadon_refusals", "Analyses that ended without result.", labels=["reason"])
        for reason, count in statistics.refusals().items():
            refused.add_metric([reason], count)
        yield refused
        received = CounterMetricFamily("celadon_instances_received", "Instances stored.", value=statistics.instances())
        yield received
        verdicts = CounterMetricFamily("celadon_verdicts", "Verdicts of readers.", labels=["predictor", "kind"])
        for (predictor, kind), count in statistics.verdicts().items():
            verdicts.add_metric([predictor, kind], count)
        yield verdicts
        size = CounterMetricFamily("celadon_received_bytes", "Bytes of them.", value=statistics.bytes_received())
        yield size
        used = GaugeMetricFamily(
            "celadon_bundle_last_used_timestamp_seconds",
            "When a model bundle predicted last, in seconds since 1970.",
            labels=["predictor", "digest"],
        )
        for (predictor, digest), moment in statistics.digests().items():
            used.add_metric([predictor, digest], moment.timestamp())
        yield used
        steps = HistogramMetricFamily("celadon_step_seconds", "One step of one analysis.", labels=["step"])
        for step, (counts, total) in statistics.steps().items():
            edges = [*(str(float(edge)) for edge in STEP_BUCKETS_S), "+Inf"]
            steps.add_metric([step], list(zip(edges, counts, strict=True)), total)
        yield steps
        turnaround = HistogramMetricFamily(
            "celadon_turnaround_seconds", "Last image to committed result.", labels=["predictor"]
        )
        for predictor, (counts, total) in statistics.turnaround().items():
            edges = [*(str(float(edge)) for edge in TURNAROUND_BUCKETS_S), "+Inf"]
            turnaround.add_metric([predictor], list(zip(edges, counts, strict=True)), total)
        yield turnaround


def _age(name: str, words: str, since: datetime | None, now: datetime) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words)
    if since is not None:
        family.add_metric([], max(0.0, (now - since).total_seconds()))
    return family
