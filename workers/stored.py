"""What is stored, as the steps read it: series as they are filed, files that are there and are what was received."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from node.domain.identifiers import JobId, SeriesUID
from node.domain.imaging import Instance, Series
from node.domain.reasons import ReasonCode
from node.domain.reporting import CITED_KINDS
from node.errors import Quarantined, of_disk
from node.store.blobs import BlobStore
from node.store.jobs import FIRST_TOKEN, Claim
from node.stores import Stores
from workers.steps.correct import corrected


def stored_file(instance: Instance) -> Path:
    """Where the bytes of ``instance`` are.

    Raises:
        Quarantined: STORED_FILE_DAMAGED, when they are gone; the detail says which instance.
    """
    if instance.path is None or not instance.path.is_file():
        raise Quarantined(ReasonCode.STORED_FILE_DAMAGED, f"the file of instance {instance.uid} is gone")
    return instance.path


def bring_intact(blobs: BlobStore, instances: Sequence[Instance]) -> None:
    """Have the bytes of ``instances`` on this machine, and check them.

    Raises:
        StoreAway, NoRoom: they cannot be had now.
        Quarantined, StorageFailed: as ``require_intact``.
    """
    blobs.bring(instance.path for instance in instances if instance.path is not None)
    require_intact(instances)


def require_intact(instances: Iterable[Instance]) -> None:
    """Check that the bytes of ``instances`` are those that were received: a stored file is named by their SHA-256.

    Raises:
        Quarantined: STORED_FILE_DAMAGED, with the first instance whose file is gone or has changed.
        StorageFailed: the disk does not give one now.
    """
    for instance in instances:
        path = stored_file(instance)
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise of_disk(exc, f"the file of instance {instance.uid} cannot be read now") or exc from exc
        if digest != path.name:
            raise Quarantined(
                ReasonCode.STORED_FILE_DAMAGED, f"the file of instance {instance.uid} is not what was received"
            )


def series_as_filed(stores: Stores, uid: SeriesUID) -> Series:
    """A series of the patient whom the archive has it filed under."""
    series = stores.inbox.series(uid)
    return corrected(series, stores.identities.of(series.study_uid))


def predecessors(stores: Stores, claim: Claim, replaces: Sequence[JobId] = ()) -> tuple[Path, ...]:
    """The documents that those of ``claim`` take the place of, brought to this machine.

    Of the version before it, of the series that it ``replaces``, and its own earlier notice.
    """
    # A job that is claimed for the first time has said nothing yet.
    own = (claim.job_id,) if claim.token > FIRST_TOKEN else ()
    replaced = [job for job in (claim.supersedes, *replaces, *own) if job is not None]
    made = [record for job in replaced for record in stores.results.of(job)]
    cited = tuple(record.path for record in made if record.kind in CITED_KINDS)
    stores.blobs.bring(cited)
    return cited
