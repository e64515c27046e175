"""Delivery under faults: archives that are away, busy, hanging, forgetful, and deliverers that are killed.

One row is one site with a few jobs whose objects wait to be delivered, the node's own deliverer and listener, and an
archive that fails in one way. In the end every object must be there, with the bytes that were committed, and the
archive's commitment be known; what an archive refuses for good must be in the operator's queue, and go on from there.
"""

import json
import random
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.demo.pacs import DemoPacs, orthanc_program, start_pacs
from node.dicom.peer import Peer
from node.domain.identifiers import InstanceUID, SeriesUID
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reporting import ObjectKind, ReportObject
from node.failpoints import Failpoint
from node.settings import Settings
from node.store.jobs import EndedStep
from node.stores import Stores
from tests.engine import fresh_url
from tests.factories import as_file, ct_slice, ct_slices, event, received, step_record
from tests.faults.archives import VARIANTS, Archive, Behaviour, Memory, OrthancShelf, Shelf, data_set_digest
from tests.faults.kills import Node, wait_for
from tests.faults.processes import Role, Site, died_within

JOBS: Final = 2
OBJECTS: Final = 3
REST_WITHIN_S: Final = 90.0
HIT_WITHIN_S: Final = 30.0
TIMEOUT_S: Final = 1.0
REPORT_WITHIN_MIN: Final = 0.03


@dataclass(frozen=True)
class Scenario:
    """One row."""

    name: str
    behaviour: Callable[[], Behaviour] = Behaviour
    trouble: Callable[["Scene"], None] = lambda _: None
    """What happens while objects are delivered."""
    begins_away: bool = False
    """Whether the archive is not there at first."""


@dataclass(frozen=True)
class Row:
    """What came of it; lost, differing and unfinished should be nought."""

    name: str
    objects: int
    lost: int
    """Objects that the archive has not got in the end."""
    differing: int
    """Objects that it was given with other bytes than were committed."""
    unfinished: int
    """Objects that are not committed, and jobs that are not done."""
    sent: int
    """C-STOREs that succeeded: at least once on the wire."""
    reports: dict[str, int]
    """Answers to the archive's reports."""

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.differing or self.unfinished)


@dataclass
class Scene:
    """A site, its node and its archive."""

    site: Site
    archive: Archive
    node: Node = field(init=False)
    stores: Stores = field(init=False)
    made: dict[str, str] = field(default_factory=dict)
    """Object to the digest of its data set."""

    def __post_init__(self) -> None:
        """Open what is kept."""
        self.node = Node(self.site)
        self.stores = Stores.open(Settings(data_dir=self.site.folder, database_url=self.site.url))

    def make_jobs(self, count: int = JOBS) -> None:
        """Jobs with their results, on their way to the archive."""
        begun = len(self.made) // OBJECTS
        for number in range(begun, begun + count):
            uid = SeriesUID.derived("delivered", str(self.site.folder), str(number))
            for one in ct_slices(2, series=uid, rows=8, columns=8):
                self.stores.inbox.accept(received(one))
            assert self.stores.jobs.complete(uid, "test", 2)
            claim = self.stores.jobs.claim("worker")
            assert claim
            objects = [self._object(uid, index) for index in range(OBJECTS)]
            kept = self.stores.results.commit(
                claim, objects, predictor="p", destinations=("archive",), steps=[EndedStep(step_record(), (event(),))]
            )
            assert kept

    def _object(self, series: str, index: int) -> ReportObject:
        uid = InstanceUID.derived("made", series, str(index))
        image = ct_slice(index, series=SeriesUID.derived("made", series), SOPInstanceUID=uid)
        content = as_file(image)
        self.made[uid] = data_set_digest(content)
        return ReportObject(
            ObjectKind.KEY_IMAGES, uid, image.SOPClassUID, SeriesUID(image.SeriesInstanceUID), "AI", content
        )

    def is_done(self) -> bool:
        """Whether every job is."""
        return all(job.state is JobState.DONE for job in self.stores.jobs.jobs())

    def kill(self, role: Role, point: str) -> None:
        """Have a process die at a failpoint, and start it again."""
        died = died_within(self.node.start(role, f"{point}:kill:1"), HIT_WITHIN_S)
        assert died, f"{point} was never passed"
        self.node.start(role)

    def judge(self, name: str) -> Row:
        """What is left."""
        states = [state for job in self.stores.jobs.jobs() for _, _, state, _ in self.stores.outbox.of(job.job_id)]
        received_by = self.archive.received
        gone = self.archive.shelf.missing("2.25.1", [("1.2.840.10008.5.1.4.1.1.2", uid) for uid in self.made])
        return Row(
            name=name,
            objects=len(self.made),
            lost=len(set(gone) | {uid for uid in self.made if uid not in received_by}),
            differing=sum(set(contents) != {self.made.get(uid, "")} for uid, contents in received_by.items()),
            unfinished=sum(state is not DeliveryState.COMMITTED for state in states) + (not self.is_done()),
            sent=sum(sum(contents.values()) for contents in received_by.values()),
            reports=dict(self.archive.reports),
        )


# ---- what happens


def _away(scene: Scene) -> None:
    time.sleep(3.0)
    assert not scene.archive.received
    scene.archive.start()


def _flapping(scene: Scene) -> None:
    """There for less than a job takes, again and again, while jobs come."""
    for _ in range(8):
        scene.archive.start()
        scene.make_jobs(1)
        time.sleep(random.uniform(0.02, 0.4))  # noqa: S311 — when, not a secret
        scene.archive.stop()
        time.sleep(random.uniform(0.1, 0.5))  # noqa: S311 — the same
    scene.archive.start()


def _refused_then_mended(scene: Scene) -> None:
    """What is refused for good waits for a person, and goes on when one says so."""
    queue = scene.stores.outbox.attention
    assert wait_for(lambda: sum(one.count for one in queue()) == 1, REST_WITHIN_S), queue()
    assert not scene.is_done()
    scene.archive.behaviour.always = None
    assert scene.stores.outbox.retry() == 1


def _listener_away(scene: Scene) -> None:
    """The archive cannot report, for a while."""
    scene.node.processes[Role.LISTENER].kill()
    time.sleep(2.0)
    scene.node.start(Role.LISTENER)


def _kills(role: Role, point: Failpoint) -> Callable[[Scene], None]:
    return lambda scene: scene.kill(role, point.value)


def _one_object(uid: str) -> bool:
    return uid == InstanceUID.derived("made", _first_series[0], "1")


_first_series: list[str] = [""]

FAULTS: Final[tuple[Scenario, ...]] = (
    Scenario("no fault"),
    Scenario("archive away", trouble=_away, begins_away=True),
    Scenario("archive flapping", trouble=_flapping, begins_away=True),
    Scenario("archive hangs mid-association", lambda: Behaviour(hangs=2)),
    Scenario("0xA700, three times", lambda: Behaviour(statuses=dict.fromkeys(range(3), 0xA700))),
    Scenario("0x0122, until mended", lambda: Behaviour(always=0x0122, only=_one_object), _refused_then_mended),
    Scenario("0xB000", lambda: Behaviour(always=0xB000)),
    Scenario("listener away", trouble=_listener_away),
)
COMMITMENTS: Final = tuple(
    Scenario(f"commitment: {variant}", lambda variant=variant: Behaviour(commitment=variant)) for variant in VARIANTS
)
KILLS: Final = tuple(
    Scenario(f"killed: {point}", trouble=_kills(role, point))
    for role, point in (
        (Role.DELIVERER, Failpoint.OUTBOX_LEASED),
        (Role.DELIVERER, Failpoint.OUTBOX_SENT),
        (Role.DELIVERER, Failpoint.OUTBOX_RECORDED),
        (Role.DELIVERER, Failpoint.COMMITMENT_WRITTEN),
        (Role.DELIVERER, Failpoint.COMMITMENT_ASKED),
        (Role.LISTENER, Failpoint.REPORT_BEFORE_COMMIT),
        (Role.LISTENER, Failpoint.REPORT_COMMITTED),
    )
)
SCENARIOS: Final = {one.name: one for one in (*FAULTS, *COMMITMENTS, *KILLS)}
_MEETS_ALL: Final = frozenset(one.name for one in KILLS)


def play(scenario: Scenario, folder: Path, shelf: Shelf) -> Row:
    """One row."""
    known: list[Peer] = []
    archive = Archive(shelf, scenario.behaviour(), lambda: known[0])
    asked = {
        "commitment": True,
        "commitment_within_minutes": REPORT_WITHIN_MIN,
        "commitment_wait_s": 0.5,
        "timeout_s": TIMEOUT_S,
    }
    site = Site(folder, fresh_url(folder), archive.peer, archive_settings=asked)
    known.append(site.listener)
    scene = Scene(site, archive)
    try:
        if not scenario.begins_away:
            archive.start()
        scene.make_jobs()
        _first_series[0] = scene.stores.jobs.jobs()[0].series_uid
        others = [role for role in (Role.LISTENER, Role.DELIVERER) if not _is_killed(scenario, role)]
        for role in others:
            scene.node.start(role)
        scenario.trouble(scene)
        wait_for(scene.is_done, REST_WITHIN_S)
        return scene.judge(scenario.name)
    finally:
        scene.node.stop()
        archive.close()


def _is_killed(scenario: Scenario, role: Role) -> bool:
    """Whether the trouble itself starts this role, with its failpoint."""
    return scenario.name in _MEETS_ALL and (role is Role.LISTENER) == ("report." in scenario.name)


@contextmanager
def orthanc_shelf() -> Iterator[OrthancShelf]:
    """A real Orthanc to put things on."""
    with start_pacs() as orthanc:
        shelf = OrthancShelf(orthanc, lambda uid: _delete(orthanc, uid))
        try:
            yield shelf
        finally:
            shelf.close()


def _delete(orthanc: DemoPacs, uid: str) -> None:
    base = str(orthanc.web_url).removesuffix("/app/explorer.html")
    with urllib.request.urlopen(urllib.request.Request(f"{base}/tools/lookup", uid.encode(), method="POST")) as answer:  # noqa: S310 — our own
        (found,) = json.load(answer)
    urllib.request.urlopen(urllib.request.Request(f"{base}{found['Path']}", method="DELETE")).close()  # noqa: S310 — the same


def run(names: Sequence[str], show: Callable[[Row], None], *, with_orthanc: bool) -> list[Row]:
    """A row for each of ``names``."""
    folder = Path(tempfile.mkdtemp(prefix="celadon-delivery-"))
    rows = []
    try:
        for number, name in enumerate(names):
            with ExitStack() as stack:
                shelf = stack.enter_context(orthanc_shelf()) if with_orthanc else Memory()
                rows.append(play(SCENARIOS[name], folder / f"site{number}", shelf))
            show(rows[-1])
    finally:
        shutil.rmtree(folder)
    return rows


def matrix(names: Sequence[str], say: Callable[[str], None]) -> bool:
    """Run and print: every scenario, and those of commitment once more with Orthanc; whether every promise was kept."""
    say(f"{'scenario':34}{'objects':>8}{'sent':>6}{'lost':>6}{'differing':>10}{'unfinished':>11}  reports answered")

    def show(row: Row) -> None:
        numbers = f"{row.objects:>8}{row.sent:>6}{row.lost:>6}{row.differing:>10}{row.unfinished:>11}"
        say(f"{row.name:34}{numbers}  {json.dumps(row.reports)}")

    begun = time.monotonic()
    rows = run(names, show, with_orthanc=False)
    wanted = [one.name for one in COMMITMENTS if one.name in names]
    if orthanc_program() and wanted:
        say("the same with Orthanc's own word on what it has:")
        rows += run(wanted, show, with_orthanc=True)
    elif wanted:
        say("Orthanc is not installed: nothing was asked of it")
    clean = sum(row.is_clean for row in rows)
    say(f"{clean} of {len(rows)} rows clean in {time.monotonic() - begun:.0f} s")
    return clean == len(rows)
