"""The store put together: the rooms of ``node.store`` over one database and one blob store."""

from dataclasses import dataclass
from typing import Final, Self

from node.dicom.sandbox import Limits, Sandbox
from node.doorbell import Doorbell
from node.settings import Settings
from node.store.alarms import AlarmStore
from node.store.audit import AuditTrail
from node.store.blobs import BlobStore
from node.store.chain import read_key
from node.store.clinical import ClinicalStore
from node.store.commitments import Commitments
from node.store.counters import Counters
from node.store.findings import FindingStore
from node.store.identities import Identities
from node.store.inbox import SqlInbox
from node.store.jobs import JobStore
from node.store.monitoring import Monitoring
from node.store.outbox import Outbox
from node.store.outcomes import OutcomeStore
from node.store.results import ResultStore
from node.store.retention import Retention
from node.store.session import Database, silence
from node.store.statistics import Statistics
from node.store.users import UserStore
from node.store.verdicts import VerdictStore
from node.store.worklist import Worklist

BYTES_PER_GB: Final = 10**9


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is kept, opened."""

    inbox: SqlInbox
    jobs: JobStore
    results: ResultStore
    outbox: Outbox
    audit: AuditTrail
    blobs: BlobStore
    retention: Retention
    clinical: ClinicalStore
    findings: FindingStore
    verdicts: VerdictStore
    worklist: Worklist
    users: UserStore
    statistics: Statistics
    monitoring: Monitoring
    outcomes: OutcomeStore
    database: Database
    commitments: Commitments
    identities: Identities
    counters: Counters
    alarms: AlarmStore

    @classmethod
    def open(cls, settings: Settings, *, intake: bool = False) -> Self:
        """The stores of ``settings``.

        ``intake``: hold the disk's watermark, which results may go below.

        Raises:
            Fatal: the database needs an upgrade.
        """
        database = open_database(settings)
        database.require_current()
        floor = int(settings.dicom.min_free_gb * BYTES_PER_GB) if intake else 0
        blobs = BlobStore(settings.data_dir / "blobs", min_free_bytes=floor)
        return cls(
            SqlInbox(database, blobs, open_sandbox(settings).same_content),
            JobStore(database),
            ResultStore(database, blobs),
            Outbox(database, blobs),
            AuditTrail(database),
            blobs,
            Retention(database, blobs),
            ClinicalStore(database, settings.clinical.issuer),
            FindingStore(database),
            VerdictStore(database),
            Worklist(database),
            UserStore(database),
            Statistics(database),
            Monitoring(database),
            OutcomeStore(database),
            database,
            Commitments(database),
            Identities(database),
            Counters(database),
            AlarmStore(database),
        )


def open_database(settings: Settings) -> Database:
    """The database of ``settings``, whose audit trail is chained with the node's key."""
    broker = settings.broker_url.get_secret_value()
    return Database(settings.url, read_key(settings.audit_key_file), Doorbell(broker).ring if broker else silence)


def open_sandbox(settings: Settings, processes: int = 1) -> Sandbox:
    """A sandbox of up to ``processes`` decoders, none of which runs before it is needed."""
    limits = Limits(memory_bytes=int(settings.sandbox.memory_gb * BYTES_PER_GB), call_s=settings.sandbox.call_s)
    return Sandbox(processes, limits)
