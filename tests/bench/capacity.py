"""How many studies an hour so many hosts take, and what is full first: a discrete-event simulation of the fleet.

A study arrives, its images pass a listener, a worker without models reads its headers, one with models does the rest,
a deliverer sends the objects, and every one of them uses the one database. Times are those of ``Times``, with the
spread of an exponential distribution where work differs from case to case. Queues are endless, nobody fails.
"""

import heapq
import random
import statistics
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

HOSTS: Final = (1, 10, 100)
STUDIES: Final = 4000
FULL: Final = 0.8
"""Above this share of the time at work, waiting times run away when something goes wrong."""
SLOW_S: Final = 600.0
"""A fleet in which one case in twenty takes longer than this is too small."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one study. Defaults: as measured on a machine with two cores and no GPU; a site puts its own here."""

    images: int = 300
    """Of a thin portal-venous series."""
    image_s: float = 1 / 142
    """Of a listener: one image, durable in SQLite and acknowledged, over three associations."""
    headers_s: float = 0.05
    """Triage with claim and hand-over."""
    assemble_s: float = 0.023
    """One image read, checked and decoded (512 x 512, JPEG 2000): a step of 0.23 s for ten."""
    predict_s: float = 0.65
    """GTRNet on the CPU, on its compiled path."""
    compose_s: float = 1.02
    """All result objects of one case, and their commit."""
    segment_s: float = 0.0
    """Where no contour comes with the images: of the segmentation that a site uses."""
    objects_s: float = 1.0
    """Delivery of one case's objects over one association; an assumption."""
    database_s: float = 0.002
    """One transaction; an assumption, to be replaced by ``pgbench`` on the disk of the site."""
    transactions: int = 320
    """Of one study: one an image at worst (those that come together share one), and twenty for steps and deliveries."""

    @property
    def models_s(self) -> float:
        """A case from assembling to committed results."""
        return self.images * self.assemble_s + self.segment_s + self.predict_s + self.compose_s


@dataclass(slots=True)
class Station:
    """So many servers and a queue."""

    name: str
    servers: int
    busy: int = 0
    worked_s: float = 0.0
    queue: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Found:
    """What one simulation says."""

    per_hour: float
    used: dict[str, float]
    """Share of its time that each station works."""
    slow_s: float
    """Within which nineteen of twenty cases are through."""

    @property
    def fullest(self) -> str:
        """The station that works most."""
        return max(self.used, key=lambda name: self.used[name])

    @property
    def is_enough(self) -> bool:
        """Whether the fleet takes this."""
        return self.used[self.fullest] <= FULL and self.slow_s <= SLOW_S


class Simulation:
    """One fleet under one load."""

    def __init__(self, hosts: int, per_hour: float, times: Times, seed: int = 1) -> None:
        """``hosts``: each has one listener for every ten of them, one worker for headers, one for models."""
        self._times, self._per_hour = times, per_hour
        self._random = random.Random(seed)  # noqa: S311 — arrivals, not a secret
        self._now = 0.0
        self._number = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._through: list[float] = []
        listeners = max(1, hosts // 10)
        self.listener = Station("listener", listeners)
        self.headers = Station("workers, headers", hosts)
        self.models = Station("workers, models", hosts)
        self.deliverer = Station("deliverers", max(1, hosts // 10))
        self.database = Station("database", 1)

    def run(self, studies: int = STUDIES) -> Found:
        """Have so many studies arrive, and wait for the last."""
        at = 0.0
        for _ in range(studies):
            at += self._random.expovariate(self._per_hour / 3600)
            self._later(at, self._arrives)
        while self._events:
            self._now, _, happens = heapq.heappop(self._events)
            happens()
        stations = (self.listener, self.headers, self.models, self.deliverer, self.database)
        used = {one.name: one.worked_s / one.servers / self._now for one in stations}
        return Found(self._per_hour, used, statistics.quantiles(self._through, n=20)[-1])

    def _arrives(self) -> None:
        """A study goes its way; the database is used beside each station, in proportion."""
        begun, times = self._now, self._times
        spread = self._random.expovariate
        way: Iterator[tuple[Station, float]] = iter(
            [
                (self.listener, times.image_s * times.images),
                (self.database, times.database_s * times.transactions),
                (self.headers, times.headers_s),
                (self.models, spread(1 / times.models_s)),
                (self.deliverer, spread(1 / times.objects_s)),
            ]
        )

        def onward() -> None:
            step = next(way, None)
            if step is None:
                self._through.append(self._now - begun)
            else:
                self._enter(*step, onward)

        onward()

    def _enter(self, station: Station, seconds: float, then: Callable[[], None]) -> None:
        station.queue.append((seconds, then))
        self._serve(station)

    def _serve(self, station: Station) -> None:
        if station.busy < station.servers and station.queue:
            seconds, then = station.queue.popleft()
            station.busy += 1
            station.worked_s += seconds
            self._later(self._now + seconds, lambda: self._done(station, then))

    def _done(self, station: Station, then: Callable[[], None]) -> None:
        station.busy -= 1
        self._serve(station)
        then()

    def _later(self, at: float, happens: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, happens))


def most(hosts: int, times: Times, studies: int = STUDIES) -> tuple[Found, Found]:
    """The largest load that so many hosts take, to a fiftieth, and the first that is too much."""
    low = high = 1.0
    best = beyond = Simulation(hosts, low, times).run(studies)
    while beyond.is_enough:
        low, best, high = high, beyond, high * 2
        beyond = Simulation(hosts, high, times).run(studies)
    while high / low > 1.02:
        middle = (low * high) ** 0.5
        found = Simulation(hosts, middle, times).run(studies)
        if found.is_enough:
            low, best = middle, found
        else:
            high, beyond = middle, found
    return best, beyond


def capacity(times: Times = Times()) -> None:
    """Print the plan."""
    sys.stdout.write(f"{'hosts':>6}{'studies/h':>11}{'95 % within, s':>16}  full first\n")
    for hosts in HOSTS:
        best, beyond = most(hosts, times)
        sys.stdout.write(f"{hosts:>6}{best.per_hour:>11.0f}{best.slow_s:>16.0f}  {beyond.fullest}")
        sys.stdout.write(f" ({', '.join(f'{name} {share:.0%}' for name, share in best.used.items())})\n")
        sys.stdout.flush()
