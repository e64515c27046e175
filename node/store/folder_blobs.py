"""Blobs in a folder: files named by the SHA-256 of their content, written so that what exists is whole and durable.

The folder lies on a disk of one machine, or on storage that several share where rename and fsync keep their word.

What is stored again is touched, and what is removed is taken away under another name first, then looked at once more:
whoever stores the same content meanwhile has either touched it, and it is put back, or does not find it, and writes it.
"""

import errno
import fcntl
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.domain.reasons import ReasonCode
from node.errors import RefusedAtDoor
from node.failpoints import Failpoint, hit
from node.store.blobs import DOOMED, PART, Blob, FoundFile

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


_NAME: Final = re.compile(rf"(?P<sha256>[0-9a-f]{{64}})(\.[0-9a-f]{{32}}\.(?P<kind>{PART}|{DOOMED}))?")
_OWNER: Final = ".database"


class FolderBlobs:
    """A folder of content-addressed files, ``ab/abcdef…``; implements ``BlobStore``."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        """``min_free_bytes``: below this free space nothing is taken any more."""
        self._root = root
        self._min_free_bytes = min_free_bytes
        self._has_directories = False
        root.mkdir(parents=True, exist_ok=True)
        _sync_directory(root.parent)

    def path_of(self, sha256: str) -> Path:
        """Where the blob with this digest lies, or would lie."""
        return self._root / sha256[:2] / sha256

    def put(self, content: bytes, sha256: str | None = None) -> Blob:
        """Store ``content`` durably: part file, fsync, rename, fsync of the directory. The same content is kept once.

        ``sha256``: its digest, when it is known already.

        Raises:
            RefusedAtDoor: DISK_FULL, with nothing half-written left behind.
        """
        digest = sha256 or hashlib.sha256(content).hexdigest()
        path = self.path_of(digest)
        try:
            if _touch(path):
                # Whoever wrote it may have died before its name was durable.
                _sync_directory(path.parent)
            else:
                self._require_room(len(content))
                self._make_directories()
                _write(path, content)
        except OSError as exc:
            if exc.errno in _NO_ROOM:
                raise RefusedAtDoor(ReasonCode.DISK_FULL, os.strerror(exc.errno)) from exc
            raise
        return Blob(digest, len(content), path)

    def bring(self, paths: Iterable[Path]) -> None:
        """Nothing: they are read where they lie."""

    def sweep(self) -> int:
        """Take away the part files of processes that died while they wrote; gives how many there were."""
        return sum(_remove_if_abandoned(part) for part in self._root.glob("*/*.part"))

    def free_bytes(self) -> int:
        """Free space on the file system that holds the blobs."""
        status = os.statvfs(self._root)
        return status.f_bavail * status.f_frsize

    def files(self) -> Iterator[FoundFile]:
        """Every file of the store, also those that are being written or removed."""
        for directory in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            for path in directory.iterdir():
                if (found := _look(path)) is not None:
                    yield found

    def find(self, sha256: str) -> FoundFile | None:
        """A blob, or None when it is not here."""
        return _look(self.path_of(sha256))

    def remove(self, found: FoundFile) -> bool:
        """Remove a file unless it was touched since it was found; whether it was removed."""
        place = Path(found.path)
        doomed = place.with_name(f"{found.sha256}.{uuid.uuid4().hex}.{DOOMED}")
        try:
            place.rename(doomed)
        except FileNotFoundError:
            return False
        if doomed.stat().st_mtime_ns != found.touched_ns:
            doomed.rename(self.path_of(found.sha256))
            return False
        return _unlink(doomed)

    def restore(self, doomed: FoundFile) -> None:
        """Put back what somebody was about to remove, and is wanted after all."""
        with suppress(FileNotFoundError):
            Path(doomed.path).rename(self.path_of(doomed.sha256))

    def belongs_to(self, database: str) -> bool:
        """Whether this store is that of a database; one that belongs to none yet is that of the first that asks."""
        owner = self._root / _OWNER
        if not owner.is_file() or not owner.read_text(encoding="ascii"):
            owner.write_text(database, encoding="ascii")
        return owner.read_text(encoding="ascii") == database

    def _require_room(self, size: int) -> None:
        if self.free_bytes() - size < self._min_free_bytes:
            raise RefusedAtDoor(ReasonCode.DISK_FULL, "free space is below the watermark")

    def _make_directories(self) -> None:
        """All of them with the first blob: one sync of their parent instead of one for each, and none later."""
        if not self._has_directories:
            for number in range(256):
                (self._root / f"{number:02x}").mkdir(exist_ok=True)
            # A directory is only durable once its parent is, whoever made it.
            _sync_directory(self._root)
            self._has_directories = True


def _write(path: Path, content: bytes) -> None:
    part = f"{path}.{uuid.uuid4().hex}.{PART}"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        try:
            # Says that somebody is at work on it, for as long as the process lives; see ``sweep``.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            hit(Failpoint.BLOB_OPENED)
            _write_all(descriptor, content)
            hit(Failpoint.BLOB_WRITTEN)
            os.fsync(descriptor)
            hit(Failpoint.BLOB_SYNCED)
            os.rename(part, path)  # noqa: PTH104 — every image's: the path objects would cost more than the call
        finally:
            os.close(descriptor)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(part)  # noqa: PTH108 — the same
        raise
    hit(Failpoint.BLOB_RENAMED)
    _sync_directory(path.parent)
    hit(Failpoint.BLOB_DIRECTORY_SYNCED)


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


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


def _touch(path: Path) -> bool:
    """Say that a file is wanted now; whether there is one."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _look(path: Path) -> FoundFile | None:
    """A file of the store; None when it is gone, or not one of ours."""
    named = _NAME.fullmatch(path.name)
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if named is None:
        return None
    return FoundFile(path, named["sha256"], named["kind"] or "", status.st_size, status.st_mtime_ns)


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
