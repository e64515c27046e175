"""The store put together: the rooms of ``node.store`` over one database and one blob store."""

from dataclasses import dataclass
from typing import Final, Self

from node.dicom.sandbox import Limits, Sandbox
from node.settings import Settings
from node.store.audit import AuditTrail
from node.store.blobs import BlobStore
from node.store.clinical import ClinicalStore
from node.store.inbox import SqlInbox
from node.store.jobs import JobStore
from node.store.outbox import Outbox
from node.store.results import ResultStore
from node.store.retention import Retention
from node.store.session import Database

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

    @classmethod
    def open(cls, settings: Settings, *, intake: bool = False) -> Self:
        """The stores of ``settings``.

        ``intake``: hold the disk's watermark, which results may go below.

        Raises:
            Fatal: the database needs an upgrade.
        """
        database = Database(settings.url)
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
        )


def open_sandbox(settings: Settings, processes: int = 1) -> Sandbox:
    """A sandbox of up to ``processes`` decoders, none of which runs before it is needed."""
    limits = Limits(memory_bytes=int(settings.sandbox.memory_gb * BYTES_PER_GB), call_s=settings.sandbox.call_s)
    return Sandbox(processes, limits)
