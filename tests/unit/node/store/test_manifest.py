"""The manifest: the same input has the same, whatever is added or corrected another."""

from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from node.store.identities import Identities
from node.store.manifest import _INPUT, manifest_of
from tests.factories import SERIES, event, received_contour
from tests.unit.node.store.conftest import Store


def test_a_rerun_of_the_same_input_repeats_manifest_and_date(store: Store) -> None:
    """So that its results have the same bytes."""
    first = store.claimed()
    store.change("UPDATE jobs SET fixed_at = '2024-05-06 07:08:09.000000'")
    store.forget_leases()
    second = store.claim()
    assert second.manifest == first.manifest
    assert second.fixed_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_another_input_has_another_manifest_and_date(store: Store) -> None:
    """A late slice makes another analysis of it."""
    first = store.claimed()
    store.change("UPDATE jobs SET fixed_at = '2024-05-06 07:08:09.000000'")
    store.receive_late()
    store.complete()
    second = store.claim()
    assert second.manifest != first.manifest
    assert second.fixed_at.year > 2024


def test_a_contour_is_part_of_the_input(store: Store) -> None:
    """The manifest covers every object that references the series."""
    first = store.claimed()
    store.jobs.release(first, timedelta(0), event())
    store.inbox.accept(received_contour(SERIES))
    assert store.claim().manifest != first.manifest


def test_a_corrected_identity_is_part_of_the_input(store: Store) -> None:
    """The newest of several: results of another patient have other UIDs."""
    store.receive()

    def manifest() -> str:
        with store.database.read() as connection:
            return manifest_of(connection, SERIES)

    found = [manifest()]
    for name in ("A^B", "C^D", "A^B"):
        Identities(store.database).correct(SERIES, MappingProxyType({"PatientName": name}), "pacs")
        found.append(manifest())
    assert len(set(found)) == 3
    assert found[1] == found[3]


def test_the_input_is_found_by_an_index(store: Store) -> None:
    """Of the images that the node has ever seen, those of the case alone are read."""
    plan = store.plan_of(_INPUT.params(uid=SERIES))
    assert "instances" in plan
    assert "SCAN instances" not in plan
    assert "Seq Scan" not in plan
