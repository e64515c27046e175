"""Delivery: for each destination a thread that sends what is due, and asks it to commit to what it stored.

One destination that hangs keeps no other waiting. What is sent, asked and answered is in the database before and after;
this process may die anywhere between.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from node import failpoints, log
from node.dicom.commitment import Desk, reporters, request_commitment
from node.dicom.peer import Peer
from node.dicom.query import study_identity
from node.domain.identifiers import StudyUID
from node.domain.identity import StudyIdentity
from node.domain.lifecycle import DeliveryState, JobState
from node.domain.ports import Destination
from node.domain.reporting import MESSAGE_KINDS, Commitment, Delivery, DeliveryOutcome
from node.errors import NoRoom, Retryable, StoreAway
from node.failpoints import Failpoint
from node.settings import IdentityCheck, PacsSettings, Settings
from node.store import outbox
from node.stores import Stores
from workers.claims import renewed
from workers.steps.check_identity import Finding, check_identity
from workers.steps.deliver import deliver

_EVENTS: Final = {
    DeliveryState.STORED: log.OBJECT_DELIVERED,
    DeliveryState.PENDING: log.DELIVERY_POSTPONED,
    DeliveryState.FAILED: log.DELIVERY_FAILED,
    DeliveryState.HELD: log.DELIVERY_HELD,
    DeliveryState.WITHDRAWN: log.DELIVERY_SPARED,
}
_HOLDS_A_LEASE: Final = 4
"""How often a lease is renewed within its length."""

Work = Callable[[], bool]
"""Does what is due; whether there was anything."""


def works(settings: Settings, stores: Stores, known: Mapping[str, Destination], deliverer: str) -> dict[str, Work]:
    """What is to be done, by name: each destination, and what is on its way to none that is configured any more."""
    made: dict[str, Work] = {name: Deliverer(settings, stores, known, deliverer, name).work for name in known}
    return made | {"": Strays(stores, known, deliverer).work}


class Strays:
    """Deliveries to destinations that the settings do not name any more: a person must look."""

    def __init__(self, stores: Stores, known: Mapping[str, Destination], deliverer: str) -> None:
        """``known``: those that they name."""
        self._stores, self._known, self._deliverer = stores, known, deliverer

    def work(self) -> bool:
        """Fail what is due; whether there was anything."""
        deliveries = self._stores.outbox.lease(self._deliverer, besides=self._known.keys())
        if deliveries:
            outcomes = deliver(deliveries, self._known)
            self._stores.outbox.record(self._deliverer, deliveries, outcomes)
            _tell(deliveries, outcomes)
        return bool(deliveries)


class Deliverer:
    """Delivers to one destination."""

    def __init__(
        self, settings: Settings, stores: Stores, known: Mapping[str, Destination], deliverer: str, name: str
    ) -> None:
        """``deliverer``: who the audit trail says did it; ``name``: the destination."""
        self._stores, self._known, self._deliverer, self._name = stores, known, deliverer, name
        self._calling_ae = settings.dicom.ae_title
        self._archive = settings.archives.get(name)
        self._asks = self._archive is not None and self._archive.commitment
        one = settings.feed[name] if name in settings.feed else settings.pacs[name]
        self._check = one.identity
        self._asked = settings.archives.get(one.identity_peer or name)
        self._desk = Desk(stores.commitments, reporters(settings.archives))

    def work(self) -> bool:
        """Deliver what is due, or ask for commitment to what is stored; whether there was anything."""
        return self._deliver() or self._request()

    def _deliver(self) -> bool:
        deliveries = self._stores.outbox.lease(self._deliverer, self._name)
        if not deliveries:
            return False
        with held(self._stores.outbox, self._deliverer, deliveries):
            finding, outcomes = self._outcomes(deliveries)
        failpoints.hit(Failpoint.OUTBOX_SENT)
        self._stores.outbox.record(self._deliverer, deliveries, outcomes, awaits_commitment=self._asks)
        if finding and finding.change is not None:
            self._correct(deliveries, finding)
        _tell(deliveries, outcomes)
        return True

    def _outcomes(self, deliveries: Sequence[Delivery]) -> tuple[Finding | None, Sequence[DeliveryOutcome]]:
        """What was found of the archive's identity, and how each delivery went; later, when there are no bytes now."""
        try:
            self._stores.blobs.bring(one.path for one in deliveries)
            finding = self._finding(deliveries)
        except (StoreAway, NoRoom) as exc:
            again = [DeliveryOutcome(one.object_uid, DeliveryState.PENDING, str(exc)) for one in deliveries]
            return None, again
        return finding, finding.outcomes(deliveries) if finding else deliver(deliveries, self._known)

    def _finding(self, deliveries: Sequence[Delivery]) -> Finding | None:
        if self._check is IdentityCheck.OFF or self._asked is None or self._withdraws(deliveries):
            return None
        # A message goes out as the objects that were made with it would.
        made = [one.path for one in deliveries if one.sop_class_uid] or [
            one.path for one in self._stores.results.of(deliveries[0].job_id) if one.kind not in MESSAGE_KINDS
        ]
        self._stores.blobs.bring(made[:1])
        return check_identity(made[0], self._check, partial(self._ask, self._asked)) if made else None

    def _withdraws(self, deliveries: Sequence[Delivery]) -> bool:
        """Whether these take back what was delivered: that goes where the results went, as they did, and at once."""
        job = self._stores.jobs.job(deliveries[0].job_id)
        return job is not None and job.state is JobState.RETRACTED

    def _ask(self, archive: PacsSettings, study: StudyUID) -> StudyIdentity | None:
        return study_identity(Peer.of(archive), self._calling_ae, study, archive.timeout_s)

    def _correct(self, deliveries: Sequence[Delivery], finding: Finding) -> None:
        """Have the results made anew; those that are held are withdrawn once there are others."""
        job = self._stores.jobs.job(deliveries[0].job_id)
        if job is None or finding.change is None:
            return
        if self._stores.identities.correct(job.series_uid, finding.change, self._name):
            log.get().warning(log.IDENTITY_CORRECTED, job_id=job.job_id, destination=self._name)

    def _request(self) -> bool:
        archive = self._archive
        if archive is None or not archive.commitment:
            return False
        within = timedelta(minutes=archive.commitment_within_minutes)
        commitment = self._stores.commitments.begin(self._deliverer, self._name, within)
        if commitment is None:
            return False
        refusal = self._ask_to_commit(archive, commitment)
        failpoints.hit(Failpoint.COMMITMENT_ASKED)
        said = {"job_id": commitment.job_id, "destination": self._name, "count": len(commitment.references)}
        if refusal:
            self._stores.commitments.not_taken(commitment, refusal)
            log.get().warning(log.COMMITMENT_POSTPONED, detail=refusal, **said)
        else:
            log.get().info(log.COMMITMENT_REQUESTED, **said)
        return True

    def _ask_to_commit(self, archive: PacsSettings, commitment: Commitment) -> str:
        """Why the archive did not take the request; empty when it did."""
        try:
            request_commitment(
                Peer.of(archive),
                self._calling_ae,
                commitment,
                partial(self._desk.take_from, self._name),
                wait_s=archive.commitment_wait_s,
                timeout_s=archive.timeout_s,
            )
        except Retryable as exc:
            return str(exc)
        return ""


@contextmanager
def held(store: outbox.Outbox, deliverer: str, deliveries: Sequence[Delivery]) -> Iterator[None]:
    """Renew the lease of ``deliveries`` for as long as the block takes: a slow archive is not a dead deliverer."""
    renew = partial(store.hold, deliverer, deliveries)
    with renewed(renew, outbox.LEASE.total_seconds() / _HOLDS_A_LEASE, "lease", deliveries[0].job_id):
        yield


def run_all(work: Mapping[str, Work], run: Callable[[Work], None], give_up: Callable[[], None]) -> None:
    """Run ``run`` with each of ``work`` in a thread of its own, until all have ended.

    One that fails in a way that nobody foresaw ends them all, by ``give_up``, and is raised here: whoever started this
    process starts it again.
    """
    failed: list[BaseException] = []

    def guarded(one: Work) -> None:
        try:
            run(one)
        except BaseException as exc:  # noqa: BLE001 — raised again below
            failed.append(exc)
            give_up()

    threads = [threading.Thread(target=guarded, args=(one,), name=f"delivery {name}") for name, one in work.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def wanting_commitment(archives: Mapping[str, PacsSettings]) -> Collection[str]:
    """The destinations that are asked to commit."""
    return [name for name, one in archives.items() if one.commitment]


def _tell(deliveries: Sequence[Delivery], outcomes: Sequence[DeliveryOutcome]) -> None:
    for delivery, outcome in zip(deliveries, outcomes, strict=True):
        log.get().info(
            _EVENTS[outcome.state],
            job_id=delivery.job_id,
            instance_uid=delivery.object_uid,
            destination=delivery.destination,
            detail=outcome.detail,
            attempts=delivery.attempts,
        )
