"""The store put together: the rooms of ``node.store`` over one database and one blob store."""

from dataclasses import dataclass
from typing import Final, Self

from node.dicom.reading import same_content
from node.settings import Settings
from node.store.audit import AuditTrail
from node.store.blobs import BlobStore
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

    @classmethod
    def open(cls, settings: Settings, *, intake: bool = False) -> Self:
        """The stores of ``settings``.

        ``intake``: hold the disk's watermark, which results may go below, and sweep up what dead writers have left.

        Raises:
            Fatal: the database needs an upgrade.
        """
        database = Database(settings.url)
        database.require_current()
        floor = int(settings.dicom.min_free_gb * BYTES_PER_GB) if intake else 0
        blobs = BlobStore(settings.data_dir / "blobs", min_free_bytes=floor)
        if intake:
            blobs.sweep()
        return cls(
            SqlInbox(database, blobs, same_content),
            JobStore(database),
            ResultStore(database, blobs),
            Outbox(database, blobs),
            AuditTrail(database),
            blobs,
            Retention(database, blobs),
        )
