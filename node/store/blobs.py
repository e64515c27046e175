"""The blob store: files named by the SHA-256 of their content, written so that what exists is whole and durable."""

import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from node.domain.reasons import ReasonCode
from node.errors import RefusedAtDoor
from node.failpoints import Failpoint, hit

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Blob:
    """One stored file."""

    sha256: str
    size_bytes: int
    path: Path


class BlobStore:
    """A directory of content-addressed files: ``ab/abcdef…``."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        """``min_free_bytes``: below this free space nothing is taken any more."""
        self._root = root
        self._min_free_bytes = min_free_bytes
        self._durable_directories: set[Path] = set()
        root.mkdir(parents=True, exist_ok=True)
        _sync_directory(root.parent)

    def path_of(self, sha256: str) -> Path:
        """Where the blob with this digest lies, or would lie."""
        return self._root / sha256[:2] / sha256

    def put(self, content: bytes) -> Blob:
        """Store ``content`` durably: part file, fsync, rename, fsync of the directory. The same content is kept once.

        Raises:
            RefusedAtDoor: DISK_FULL, with nothing half-written left behind.
        """
        digest = hashlib.sha256(content).hexdigest()
        path = self.path_of(digest)
        try:
            if path.exists():
                # Whoever wrote it may have died before its name was durable.
                _sync_directory(path.parent)
            else:
                self._require_room(len(content))
                self._make_directory(path.parent)
                _write(path, content)
        except OSError as exc:
            if exc.errno in _NO_ROOM:
                raise RefusedAtDoor(ReasonCode.DISK_FULL, os.strerror(exc.errno)) from exc
            raise
        return Blob(digest, len(content), path)

    def sweep(self) -> int:
        """Take away the part files of processes that died while they wrote; gives how many there were."""
        return sum(_remove_if_abandoned(part) for part in self._root.glob("*/*.part"))

    def free_bytes(self) -> int:
        """Free space on the file system that holds the blobs."""
        return shutil.disk_usage(self._root).free

    def _require_room(self, size: int) -> None:
        if self.free_bytes() - size < self._min_free_bytes:
            raise RefusedAtDoor(ReasonCode.DISK_FULL, "free space is below the watermark")

    def _make_directory(self, directory: Path) -> None:
        if directory not in self._durable_directories:
            directory.mkdir(exist_ok=True)
            # A directory is only durable once its parent is, whoever made it.
            _sync_directory(self._root)
            self._durable_directories.add(directory)


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            # Says that somebody is at work on it, for as long as the process lives; see ``sweep``.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            hit(Failpoint.BLOB_OPENED)
            file.write(content)
            file.flush()
            hit(Failpoint.BLOB_WRITTEN)
            os.fsync(descriptor)
            hit(Failpoint.BLOB_SYNCED)
            part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    hit(Failpoint.BLOB_RENAMED)
    _sync_directory(path.parent)
    hit(Failpoint.BLOB_DIRECTORY_SYNCED)


def _remove_if_abandoned(part: Path) -> bool:
    with suppress(FileNotFoundError, BlockingIOError), part.open("rb") as file:
        # Refused while its writer lives: workers write results while the listener starts.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
        return True
    return False


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
