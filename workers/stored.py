"""The stored files of instances, as the steps read them: there, and what was received."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from node.domain.imaging import Instance
from node.domain.reasons import ReasonCode
from node.errors import Quarantined, of_disk
from node.store.blobs import BlobStore


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
