"""The port of a blob store: bytes named by the SHA-256 of their content, whole and durable once they are stored."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, Protocol

PART: Final = "part"
DOOMED: Final = "doomed"


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored content."""

    sha256: str
    size_bytes: int
    path: Path
    """Where it can be read on this machine, once ``BlobStore.bring`` was asked for it."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of the store as it was when somebody looked."""

    path: PurePath
    """Its place in the store: a file of a folder, or a key of a bucket."""
    sha256: str
    kind: str
    """Empty for a blob."""
    size_bytes: int
    touched_ns: int
    """When it was last stored: nanoseconds since 1970."""

    @property
    def is_part(self) -> bool:
        """Whether it is being written, or was when its writer died."""
        return self.kind == PART

    @property
    def is_doomed(self) -> bool:
        """Whether it is being removed, or was when its remover died."""
        return self.kind == DOOMED


class BlobStore(Protocol):
    """Keeps contents by their digest; safe to use from any thread and by several processes and hosts at once."""

    def path_of(self, sha256: str) -> Path:
        """Where the blob with this digest lies on this machine, or would lie once it is brought."""
        ...

    def put(self, content: bytes, sha256: str | None = None) -> Blob:
        """Store ``content``; durable when this returns. ``sha256``: its digest, when it is known already.

        Raises:
            RefusedAtDoor, OSError: a disk is full or fails; nothing half-written is left behind.
            StoreAway, NoRoom: an object store does not answer, or has no room; nothing half-written is ever seen.
        """
        ...

    def bring(self, paths: Iterable[Path]) -> None:
        """Have blobs on this machine, each under its path of ``path_of``; one that is gone is not there afterwards.

        Raises:
            StoreAway: the store does not give them now.
            NoRoom, StorageFailed: this machine cannot keep them now.
        """
        ...

    def sweep(self) -> int:
        """Take away what processes left half-written that died; gives how many there were."""
        ...

    def free_bytes(self) -> int:
        """Free space on the file system of this machine that holds the blobs, or copies of them."""
        ...

    def files(self) -> Iterator[FoundFile]:
        """Every file of the store, also those that are being written or removed."""
        ...

    def find(self, sha256: str) -> FoundFile | None:
        """A blob, or None when it is not here."""
        ...

    def remove(self, found: FoundFile) -> bool:
        """Remove a file unless it was touched since it was found; whether it was removed."""
        ...

    def restore(self, doomed: FoundFile) -> None:
        """Put back what somebody was about to remove, and is wanted after all."""
        ...

    def belongs_to(self, database: str) -> bool:
        """Whether this store is that of a database; one that belongs to none yet is that of the first that asks."""
        ...
