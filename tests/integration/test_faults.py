"""A sample of the faults: a node that is killed, starved of disk or cut off from its database keeps its promises."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from node.domain.identifiers import SeriesUID
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import DeliveryOutcome
from node.settings import read_settings
from node.store.session import Database
from tests.engine import ENGINE, fresh_url
from tests.factories import ct_slices, received
from tests.faults import clock, durability
from tests.faults.disk import failing_results, failing_writes, locked_database
from tests.faults.judge import SLICES, Archive, Judge, Sender, data_set_digest
from tests.faults.kills import databases, torment
from tests.faults.processes import Site, workshop
from tests.servers import require
from workers.analysis import Analysis


@pytest.mark.parametrize(
    ("engine", "point", "hits"),
    [(ENGINE, "blob.renamed", 2), (ENGINE, "results.committed", 2), ("postgresql", "inbox.before_commit", 2)],
)
def test_a_node_that_is_killed_loses_nothing_and_does_nothing_twice(
    engine: str, point: str, hits: int, tmp_path: Path
) -> None:
    """What was acknowledged is stored whole, analysed once, and delivered with the same bytes however often."""
    with databases(engine, tmp_path) as url_of:
        row = torment(tmp_path / "site", url_of("site"), point, hits)
    assert row.hits == hits
    assert row.verdict.acknowledged
    assert row.verdict.remarks == ()
    assert row.verdict.is_clean


def test_the_judge_notices_every_broken_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge who finds nothing must be one who would have found something."""
    with Archive() as archive:
        site = Site(tmp_path / "site", fresh_url(tmp_path / "site"), archive.peer)
        sender, database = Sender(site, "judged"), Database(site.url)
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        shop = workshop(read_settings())
        sender.next_series()
        uid = sender.series[0]
        for one in ct_slices(SLICES, series=uid):
            came = received(one)
            shop.stores.inbox.accept(came)
            sender.acknowledged[one.SOPInstanceUID] = data_set_digest(came.content)
        blobs = [one.path for one in shop.stores.inbox.series(SeriesUID(uid)).instances]
        assert shop.stores.jobs.complete(uid, "test", SLICES)
        claim = shop.stores.jobs.claim("worker")
        assert claim
        Analysis(shop, "worker").run(claim)
        made = shop.stores.results.of(claim.job_id)
        for result in made:
            archive.received[result.uid] = Counter([data_set_digest(result.path.read_bytes())])
        deliveries = shop.stores.outbox.lease("deliverer")
        outcomes = [DeliveryOutcome(one.object_uid, DeliveryState.STORED, "") for one in deliveries]
        assert shop.stores.outbox.record("deliverer", deliveries, outcomes)
        assert Judge(site, archive, database).judge(sender).is_clean

        sender.acknowledged["2.25.1"] = "never stored"
        blobs[0].unlink()
        blobs[1].write_bytes(blobs[1].read_bytes()[:-1])
        archive.received["2.25.2"] = Counter(["nobody knows of this"])
        archive.received[made[0].uid].update(["other bytes"])
        del archive.received[made[1].uid]
        verdict = Judge(site, archive, database).judge(sender)
        assert (verdict.lost, verdict.corrupt, verdict.extra) == (3, 2, 1)
        assert (verdict.differing, verdict.unfinished) == (1, 1)
        database.close()


def test_a_success_leaves_after_everything_it_promises_is_synced(tmp_path: Path) -> None:
    """Part file, name, directory, database: in this order, before each 0x0000."""
    require("strace", shutil.which("strace"))
    seen, stored = durability.trace(tmp_path)
    assert [event.kind for event in seen].count("success") == durability.IMAGES == len(stored)
    assert durability.violations(seen, stored) == []
    for kind in ("sync", "rename"):
        assert durability.violations([event for event in seen if event.kind != kind], stored), "it would not be noticed"


def test_a_write_that_fails_is_never_a_success_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The one instance is answered 0xA700, the others are stored; sent again, so is it."""
    row = failing_writes(tmp_path / "site", ("blob.written:enospc", "blob.renamed:eio", "inbox.before_commit:enospc"))
    assert row.refusals == {0xA700: 3}
    assert row.is_clean, row


def test_results_that_cannot_be_written_now_are_written_later(tmp_path: Path) -> None:
    """The job is given back and done again, with the same UIDs and bytes."""
    row = failing_results(tmp_path / "site", ("blob.written:enospc", "results.blobs_written:enospc"))
    assert row.is_clean, row


def test_a_database_that_is_locked_for_too_long_is_a_failure_that_passes(tmp_path: Path) -> None:
    """The sender is asked to try again, and the second time it is stored."""
    row = locked_database(tmp_path / "site", 0.3)
    assert row.refusals == {0x0110: 1}
    assert row.is_clean, row


@pytest.mark.parametrize("scenario", [clock.dead_worker, clock.refused_delivery], ids=lambda one: one.__name__)
def test_a_clock_that_is_set_back_an_hour_holds_up_nothing(
    scenario: Callable[[Path, int], clock.Row], tmp_path: Path
) -> None:
    """What was leased or put off is taken up when it would have been, not when the old time comes again."""
    require("libfaketime", clock.libfaketime())
    row = scenario(tmp_path / "site", -clock.HOUR_S)
    assert row.verdict.remarks == ()
    assert row.is_clean, row


def test_a_clock_that_is_set_forward_an_hour_takes_nobody_for_dead(tmp_path: Path) -> None:
    """The worker that has the job keeps it, although another one waits for work."""
    require("libfaketime", clock.libfaketime())
    row = clock.working(tmp_path / "site", clock.HOUR_S)
    assert row.claims == 1
    assert row.is_clean, row
