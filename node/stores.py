"""The store put together: the rooms of ``node.store`` over one database and one blob store."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from node.dicom.sandbox import Limits, Sandbox
from node.doorbell import Doorbell
from node.errors import Fatal
from node.settings import S3Settings, Settings
from node.store.alarms import AlarmStore
from node.store.audit import AuditTrail
from node.store.blobs import BlobStore
from node.store.chain import read_key
from node.store.clinical import ClinicalStore
from node.store.commitments import Commitments
from node.store.copies import Copies
from node.store.counters import Counters
from node.store.findings import FindingStore
from node.store.folder_blobs import FolderBlobs
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

if TYPE_CHECKING:
    from node.store.s3_blobs import S3Blobs

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
            Fatal: the database needs an upgrade, or what ``blobs.s3`` needs is not installed.
            UsageError: ``blobs.s3.credentials`` cannot be read.
        """
        database = open_database(settings)
        database.require_current()
        blobs = open_blobs(settings, intake=intake)
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


def open_blobs(settings: Settings, *, intake: bool = False) -> BlobStore:
    """The blobs of ``settings``: in a folder or in a bucket. Raises as ``Stores.open``."""
    if settings.blobs.s3 is None:
        floor = int(settings.dicom.min_free_gb * BYTES_PER_GB) if intake else 0
        return FolderBlobs(settings.blobs_dir, min_free_bytes=floor)
    return open_bucket(settings, settings.blobs.s3)


def open_bucket(settings: Settings, s3: S3Settings) -> "S3Blobs":
    """The blobs in the bucket of ``s3``, with this machine's copies. Raises as ``Stores.open``."""
    try:
        from node.store.s3 import Bucket  # noqa: PLC0415  only a node with a bucket needs s3fs
        from node.store.s3_blobs import S3Blobs  # noqa: PLC0415  the same
    except ImportError as exc:
        raise Fatal("blobs.s3 needs pip install 'celadon[s3]'") from exc
    copies = Copies(settings.copies_dir, int(s3.copies_gb * BYTES_PER_GB))
    return S3Blobs(Bucket(s3), s3.prefix, copies)


def open_sandbox(settings: Settings, processes: int = 1) -> Sandbox:
    """A sandbox of up to ``processes`` decoders, none of which runs before it is needed."""
    limits = Limits(memory_bytes=int(settings.sandbox.memory_gb * BYTES_PER_GB), call_s=settings.sandbox.call_s)
    return Sandbox(processes, limits)
