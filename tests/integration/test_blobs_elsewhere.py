"""Blobs at the other end of a network: whoever reads them asks for them first, and waits while the store is away."""

from pathlib import Path

import pytest

from node import stores
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.reasons import ReasonCode
from node.domain.reporting import ObjectKind
from node.errors import StoreAway
from node.settings import FolderSettings, Settings
from node.store.session import Database
from node.stores import Stores
from node.web.pictures import WINDOWS, Pictures
from tests.factories import SERIES, ct_slices, received, structure_set
from tests.fakes import FakeDestination, FarBlobs, HereDecoder, nothing
from tests.page import analysed, open_page
from tests.unit.workers.test_analysis import NOTICES, Site
from workers.delivery import Deliverer


@pytest.fixture(autouse=True)
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every store that is opened here keeps its blobs elsewhere."""
    monkeypatch.setattr(stores, "open_blobs", lambda settings, **_: FarBlobs(settings.data_dir))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A workshop of fakes."""
    return Site(tmp_path)


def blobs_of(opened: Stores) -> FarBlobs:
    """The store, to send it away."""
    assert isinstance(opened.blobs, FarBlobs)
    return opened.blobs


def test_a_case_is_read_from_elsewhere(site: Site) -> None:
    """Images and contours are brought before they are decoded."""
    site.receive(*ct_slices(6), structure_set(SERIES))
    site.complete(SERIES)
    assert site.job(site.run().job_id).state is JobState.DELIVERING


def test_a_case_waits_for_its_images(site: Site) -> None:
    """However often it is tried: nothing counts against it, and nobody has to start it again."""
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    blobs_of(site.stores).is_away = True
    for _ in range(4):
        job = site.job(site.run().job_id)
        assert (job.state, job.reason) == (JobState.WAITING, ReasonCode.NOT_NOW.name)
        with site.stores.database.write() as connection:
            connection.exec_driver_sql("UPDATE jobs SET not_before = NULL")
    blobs_of(site.stores).is_away = False
    assert site.job(site.run().job_id).state is JobState.DELIVERING


def test_a_case_waits_for_somewhere_to_put_its_results(site: Site) -> None:
    """It is done again, and nothing of the first time is seen."""
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    blobs = blobs_of(site.stores)

    def leave() -> None:
        blobs.is_away = True

    site.predictor.hook = leave
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.WAITING, ReasonCode.NOT_NOW.name)
    assert not site.has_results()


def test_a_notice_waits_for_what_it_is_about(site: Site) -> None:
    """A job does not end without the notice that is due only because the store was away."""
    site.notices, site.segmenter.finds = NOTICES, False
    site.receive(*ct_slices(6), structure_set(SERIES))
    site.complete(SERIES)
    blobs = blobs_of(site.stores)
    site.segmenter.hook = lambda: _lose(blobs)
    job = site.job(site.run().job_id)
    assert (job.state, job.reason) == (JobState.WAITING, ReasonCode.NOT_NOW.name)
    blobs.is_away, site.segmenter.hook = False, nothing
    with site.stores.database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET not_before = NULL")
    job = site.job(site.run().job_id)
    assert job.state is JobState.NOT_ANALYSED
    assert ObjectKind.NOTICE in [one.kind for one in site.stores.results.of(job.job_id)]


def _lose(blobs: FarBlobs) -> None:
    """The store goes away, and the copies that were here with it."""
    blobs.is_away = True
    for path in blobs._near.rglob("*"):
        if path.is_file():
            path.unlink()


def test_a_delivery_is_put_off_and_made_later(site: Site, tmp_path: Path) -> None:
    """The destination is not asked before there is something to send."""
    site.receive(*ct_slices(6))
    site.complete(SERIES)
    job_id = site.run().job_id
    archive = FakeDestination("archive")
    settings = Settings(data_dir=tmp_path, pacs={"archive": FolderSettings(folder=tmp_path)})
    deliverer = Deliverer(settings, site.stores, {"archive": archive}, "d", "archive")
    blobs_of(site.stores).is_away = True
    assert deliverer.work()
    states = {(state, detail) for _, name, state, detail in site.stores.outbox.of(job_id) if name == "archive"}
    assert states == {(DeliveryState.PENDING, "the object store cannot be used: Away")}
    assert not archive.delivered
    blobs_of(site.stores).is_away = False
    with site.stores.database.write() as connection:
        connection.exec_driver_sql("UPDATE outbox SET next_attempt_at = '2020-01-01 00:00:00.000000'")
    assert deliverer.work()
    assert all(one.path.is_file() for one in archive.delivered)


def test_an_object_that_comes_again_in_other_clothes_is_compared(tmp_path: Path) -> None:
    """Two files of one UID, neither of which was here."""
    settings = Settings(data_dir=tmp_path)
    Database(settings.url).upgrade()
    opened = Stores.open(settings)
    opened.inbox.accept(received(ct_slices(1)[0]))
    verdict = opened.inbox.accept(received(ct_slices(1, PatientComments="another")[0]))
    assert verdict.name == "CONFLICT"
    blobs_of(opened).is_away = True
    with pytest.raises(StoreAway):
        opened.inbox.accept(received(ct_slices(1, PatientComments="a third")[0]))


def test_a_page_shows_what_lies_elsewhere(tmp_path: Path) -> None:
    """Slices, overlays and the bytes of objects; while the store is away it says that it cannot now."""
    page = open_page(tmp_path)
    job = analysed(page)
    made = Pictures(page.stores, HereDecoder())
    stack = made.stack(page.stores.worklist.line(job).series_uid, None)
    assert made.slice(stack.instances[0], WINDOWS["abdomen"]).startswith(b"\x89PNG")
    assert made.shown_on(job, ObjectKind.SEGMENTATION)
    first, second = (f"/api/v1/jobs/{job}/objects/{one.uid}" for one in page.stores.results.of(job)[:2])
    assert page.client().get(first).content[128:132] == b"DICM"
    blobs_of(page.stores).is_away = True
    _lose(blobs_of(page.stores))
    assert page.client().get(second).status_code == 503
