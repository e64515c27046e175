"""Delivery: what is due is sent, asked for and written down; one destination's trouble is its own."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from node.domain.lifecycle import DeliveryState, JobState
from node.domain.ports import Destination
from node.domain.reasons import Reason, ReasonCode
from node.domain.reporting import Delivery, DeliveryOutcome, ObjectKind
from node.settings import FolderSettings, IdentityCheck, PacsSettings, Settings
from node.store import outbox
from node.store.jobs import EndedStep
from node.store.session import Database
from node.stores import Stores
from tests.factories import SERIES, ct_slices, event, received, report_object, step_record
from tests.fakes import FakeDestination
from workers.delivery import Deliverer, Work, held, run_all, wanting_commitment, works

NOBODY: dict[str, Any] = {"ae_title": "NOBODY", "host": "127.0.0.1", "port": 1, "timeout_s": 1}


def opened(folder: Path, **pacs: Any) -> tuple[Settings, Stores]:
    """Stores with one job whose object goes to every destination."""
    settings = Settings(data_dir=folder, pacs=pacs)
    Database(settings.url).upgrade()
    stores = Stores.open(settings)
    for one in ct_slices(2):
        stores.inbox.accept(received(one))
    assert stores.jobs.complete(SERIES, "test", 2)
    claim = stores.jobs.claim("worker")
    assert claim
    assert stores.results.commit(
        claim, [report_object()], predictor="p", destinations=tuple(pacs), steps=[EndedStep(step_record(), (event(),))]
    )
    return settings, stores


def states(stores: Stores) -> dict[str, tuple[DeliveryState, str]]:
    """Destination to the state and words of its object."""
    (job,) = stores.jobs.jobs()
    return {name: (state, detail) for _, name, state, detail in stores.outbox.of(job.job_id)}


def test_what_is_due_is_delivered_once(tmp_path: Path) -> None:
    """Then there is nothing to do, and the job is done."""
    settings, stores = opened(tmp_path, archive=FolderSettings(folder=tmp_path))
    archive = FakeDestination()
    deliverer = Deliverer(settings, stores, {"archive": archive}, "d", "archive")
    assert [deliverer.work(), deliverer.work()] == [True, False]
    assert (len(archive.delivered), stores.jobs.jobs()[0].state) == (1, JobState.DONE)


def test_each_destination_has_its_own_work(tmp_path: Path) -> None:
    """What is for one is not touched by the other's."""
    settings, stores = opened(tmp_path, a=FolderSettings(folder=tmp_path), b=FolderSettings(folder=tmp_path))
    known: dict[str, Destination] = {"a": FakeDestination("a"), "b": FakeDestination("b")}
    work = works(settings, stores, known, "d")
    assert set(work) == {"a", "b", ""}
    work["a"]()
    assert {name: state for name, (state, _) in states(stores).items()} == {
        "a": DeliveryState.STORED, "b": DeliveryState.PENDING,
    }  # fmt: skip


def test_what_is_for_nobody_waits_for_a_person(tmp_path: Path) -> None:
    """A destination that the settings do not name any more."""
    _, stores = opened(tmp_path, gone=FolderSettings(folder=tmp_path))
    work = works(Settings(data_dir=tmp_path), stores, {}, "d")
    assert [work[""](), work[""]()] == [True, False]
    assert states(stores)["gone"][0] is DeliveryState.FAILED


def test_a_stored_object_is_asked_for(tmp_path: Path) -> None:
    """And asked again when the archive does not take the request; the job goes on waiting."""
    settings, stores = opened(tmp_path, archive=PacsSettings(**NOBODY, commitment=True))
    assert wanting_commitment(settings.archives) == ["archive"]
    deliverer = Deliverer(settings, stores, {"archive": FakeDestination()}, "d", "archive")
    assert [deliverer.work(), deliverer.work()] == [True, True]
    state, detail = states(stores)["archive"]
    assert (state, "NOBODY@127.0.0.1:1" in detail) == (DeliveryState.STORED, True)
    assert stores.jobs.jobs()[0].state is JobState.DELIVERING


def test_an_identity_that_cannot_be_checked_is_not_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive does not answer: nothing is sent, and it is asked again."""
    settings, stores = opened(tmp_path, archive=PacsSettings(**NOBODY, identity=IdentityCheck.HOLD))
    archive = FakeDestination()
    monkeypatch.setattr("workers.steps.check_identity.read_identity", lambda _: ("2.25.1", None))
    assert Deliverer(settings, stores, {"archive": archive}, "d", "archive").work()
    assert archive.delivered == []
    state, detail = states(stores)["archive"]
    assert (state, "identity" in detail) == (DeliveryState.PENDING, True)


def test_a_lease_is_renewed_while_it_is_worked_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow archive is not a dead deliverer: again and again, until the block ends."""
    _, stores = opened(tmp_path, archive=FolderSettings(folder=tmp_path))
    monkeypatch.setattr(outbox, "LEASE", outbox.LEASE / 1000)
    leased = stores.outbox.lease("d")
    renewed = threading.Semaphore(0)
    hold = stores.outbox.hold

    def watched(deliverer: str, deliveries: Sequence[Delivery]) -> bool:
        is_ours = hold(deliverer, deliveries)
        renewed.release()
        return is_ours

    monkeypatch.setattr(stores.outbox, "hold", watched)
    with held(stores.outbox, "d", leased):
        assert all(renewed.acquire(timeout=30) for _ in range(3))


def test_a_lease_that_is_lost_is_not_renewed(tmp_path: Path) -> None:
    """Another deliverer has taken over: whoever comes back late holds nothing."""
    _, stores = opened(tmp_path, archive=FolderSettings(folder=tmp_path))
    leased = stores.outbox.lease("d")
    assert stores.outbox.hold("d", leased)
    assert not stores.outbox.hold("somebody else", leased)


def test_one_that_fails_ends_them_all() -> None:
    """The process is started again by whoever started it; the error is raised and not lost."""
    ended = threading.Event()

    def fails() -> bool:
        raise ValueError("unforeseen")

    def waits() -> bool:
        return ended.wait(30)

    def run(work: Work) -> None:
        work()

    with pytest.raises(ValueError, match="unforeseen"):
        run_all({"a": waits, "b": fails}, run, ended.set)
    assert ended.is_set()


def test_a_withdrawal_goes_where_the_results_went_whoever_the_study_is_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is not asked: a wrong result must not stay visible because its patient was corrected since."""
    settings, stores = opened(tmp_path, archive=PacsSettings(**NOBODY, identity=IdentityCheck.HOLD))
    (sent,) = stores.outbox.lease("d", "archive")
    stores.outbox.record("d", [sent], [DeliveryOutcome(sent.object_uid, DeliveryState.STORED, "")])
    withdrawal = stores.results.withdrawal(sent.job_id)
    notice = report_object("withdrawn", ObjectKind.NOTICE)
    stores.results.retract(withdrawal, [notice], Reason(ReasonCode.RETRACTED, "why"), event())
    monkeypatch.setattr("workers.steps.check_identity.read_identity", lambda _: ("2.25.1", None))
    archive = FakeDestination()
    assert Deliverer(settings, stores, {"archive": archive}, "d", "archive").work()
    assert [one.object_uid for one in archive.delivered] == [notice.uid]
