"""A sample of delivery under faults, and delivery to a real Orthanc: C-STORE with commitment, STOW-RS."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from node.demo.pacs import DemoPacs, orthanc_program, start_pacs
from node.destinations.stow import StowDestination
from node.dicom.query import find_instances
from node.domain.identifiers import InstanceUID, JobId
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reporting import Delivery
from node.settings import StowSettings
from tests.engine import fresh_url
from tests.factories import SERIES, STUDY, ct_slices, write
from tests.faults import identity
from tests.faults.archives import Archive, Behaviour, Memory
from tests.faults.delivery import SCENARIOS, Scene, orthanc_shelf, play
from tests.faults.kills import wait_for
from tests.faults.processes import Role, Site
from tests.servers import require

ME = "TESTER"


@pytest.mark.parametrize(
    "name", ["0x0122, until mended", "commitment: partial", "commitment: stranger", "killed: outbox.sent"]
)
def test_nothing_is_lost_and_nothing_differs(name: str, tmp_path: Path) -> None:
    """Whatever the archive does, and wherever the deliverer dies: every object is there, whole, and committed."""
    row = play(SCENARIOS[name], tmp_path / "site", Memory())
    assert row.objects
    assert row.is_clean, row


def test_orthanc_says_itself_what_it_has_lost(tmp_path: Path) -> None:
    """What was deleted behind its back is sent again, and then committed to."""
    require("Orthanc", orthanc_program())
    with orthanc_shelf() as shelf:
        row = play(SCENARIOS["commitment: partial"], tmp_path / "site", shelf)
    assert row.is_clean, row
    assert row.sent > row.objects


def test_the_judge_of_delivery_notices_what_is_wrong(tmp_path: Path) -> None:
    """A judge who finds nothing must be one who would have found something."""
    archive = Archive(Memory(), Behaviour(), lambda: site.listener)
    site = Site(tmp_path / "site", fresh_url(tmp_path), archive.peer)
    scene = Scene(site, archive)
    scene.make_jobs(1)
    nothing = scene.judge("nothing arrived")
    assert (nothing.lost, nothing.differing) == (len(scene.made), 0)
    assert nothing.unfinished
    for uid, digest in scene.made.items():
        archive.received[uid] = Counter([digest])
        archive.shelf.put(uid, "", b"")
    assert (scene.judge("all arrived").lost, scene.judge("all arrived").differing) == (0, 0)
    archive.received[uid].update(["another"])
    assert scene.judge("one arrived twice, otherwise").differing == 1
    assert not nothing.is_clean


@pytest.fixture(scope="module")
def orthanc() -> Iterator[DemoPacs]:
    """One Orthanc for this module."""
    require("Orthanc", orthanc_program())
    with start_pacs() as pacs:
        yield pacs


def test_orthanc_commits_to_what_it_stored(orthanc: DemoPacs, tmp_path: Path) -> None:
    """It reports to the listener, on an association of its own: nothing stands between the two."""
    settings = {"commitment": True, "commitment_wait_s": 0.0}
    site = Site(tmp_path, fresh_url(tmp_path), orthanc.peer, archive_settings=settings)
    orthanc.route_to(site.listener)
    scene = Scene(site, _NoArchive())
    try:
        scene.node.start(Role.LISTENER)
        scene.make_jobs()
        scene.node.start(Role.DELIVERER)
        assert wait_for(scene.is_done, 60.0), scene.stores.outbox.counts()
    finally:
        scene.node.stop()
        orthanc.route_to(None)
    assert scene.stores.outbox.counts()[DeliveryState.COMMITTED] == len(scene.made)
    assert {job.state for job in scene.stores.jobs.jobs()} == {JobState.DONE}


class _NoArchive:
    """Orthanc is itself."""


def test_orthanc_takes_results_by_stow(orthanc: DemoPacs, tmp_path: Path) -> None:
    """With one request; sent again, they are stored as before; what is no DICOM is refused, and the rest is not."""
    images = ct_slices(3, series="2.25.555")
    paths = write(images, tmp_path)
    url = str(orthanc.web_url).replace("/app/explorer.html", "/dicom-web/studies")
    destination = StowDestination("web", StowSettings(stow_url=url))
    made = tuple(
        Delivery(number, JobId.of(SERIES, 1), InstanceUID(image.SOPInstanceUID), image.SOPClassUID, "web", path, 1,
                 DeliveryState.SENDING)
        for number, (image, path) in enumerate(zip(images, paths, strict=True))
    )  # fmt: skip
    for _ in range(2):
        assert [one.state for one in destination.deliver(made)] == [DeliveryState.STORED] * 3
    assert {one.instance_uid for one in find_instances(orthanc.peer, ME, STUDY, "2.25.555")} == {
        one.object_uid for one in made
    }
    paths[1].write_bytes(b"no DICOM at all")
    outcomes = destination.deliver(made)
    assert [outcomes[0].state, outcomes[2].state] == [DeliveryState.STORED] * 2
    assert outcomes[1].state is not DeliveryState.STORED


def test_every_object_is_of_whom_it_should_be(tmp_path: Path) -> None:
    """A sample over all character sets: the source's identity byte for byte, the archive's where it is believed."""
    found = identity.run(len(identity._SETS), 6, tmp_path)
    assert found.wrong == ()
    assert found.delivered


def test_the_judge_of_identity_notices_what_is_wrong(tmp_path: Path) -> None:
    """Another patient, other bytes of a name, another study, and objects where there should be none."""
    number = next(n for n in range(100) if identity.make_case(n, 6).kind == "plain")
    case = identity.make_case(number, 6)
    (path, *_) = write(list(identity.images(case))[:1], tmp_path)
    assert list(identity._judged(case, [dcmread(path)])) == []
    for keyword, value in (("PatientID", "ELSE"), ("PatientName", "Other^Name"), ("StudyInstanceUID", "2.25.9"),
                           ("FrameOfReferenceUID", "2.25.9"), ("AccessionNumber", "X")):  # fmt: skip
        wrong = dcmread(path)
        setattr(wrong, keyword, value)
        wrong.save_as(tmp_path / "wrong.dcm")
        assert list(identity._judged(case, [dcmread(tmp_path / "wrong.dcm")])), keyword
    assert list(identity._judged(case, []))
    assert list(identity._judged(replace(case, kind="two patients"), [dcmread(path)]))
