"""Copies on this machine of blobs that are kept elsewhere: files by digest, whole or not there.

They may be lost or emptied at any time. Those that nobody has asked for for longest make room for others.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.errors import of_disk

IN_USE_S: Final = 3600.0
"""What was asked for within so long is not given up: somebody may be about to read it. Longer than one case takes."""
_ROUND: Final = 16
"""How often, within as many bytes as are kept, it is looked whether they are too many."""
_LEAVES: Final = 0.9


class Copies:
    """A folder of copies, ``ab/abcdef…``; safe to use by several processes at once."""

    def __init__(self, root: Path, most_bytes: int) -> None:
        """``most_bytes``: of all of them; those in use may be more."""
        self._root, self._most_bytes = root, most_bytes
        self._room = 0
        """Bytes that may still be added before it is looked again."""

    def path_of(self, sha256: str) -> Path:
        """Where the copy with this digest lies, or would lie."""
        return self._root / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether a copy is here and whole; it stays for now. One that is not whole is not here any more."""
        path = self.path_of(sha256)
        try:
            os.utime(path)
            with path.open("rb") as file:
                is_whole = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return False
        if not is_whole:
            path.unlink(missing_ok=True)
        return is_whole

    def add(self, sha256: str, content: bytes) -> None:
        """Keep a copy of ``content``.

        Raises:
            NoRoom, StorageFailed: the disk does not take it.
        """
        path = self.path_of(sha256)
        part = path.with_name(f"{sha256}.{uuid.uuid4().hex}.part")
        try:
            self._make_room(len(content))
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                part.write_bytes(content)
                # Not synced: what a power failure leaves of it is not whole, and ``has`` looks.
                part.rename(path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as exc:
            raise of_disk(exc, "a copy of a blob cannot be kept") or exc from exc

    def free_bytes(self) -> int:
        """Free space on the file system that holds them."""
        self._root.mkdir(parents=True, exist_ok=True)
        status = os.statvfs(self._root)
        return status.f_bavail * status.f_frsize

    def _make_room(self, size: int) -> None:
        """Give up the copies that nobody has asked for longest, every now and then."""
        if (left := self._room - size) < 0:
            self._trim()
            left = self._most_bytes // _ROUND
        self._room = left

    def _trim(self) -> None:
        found = sorted(self._files())
        left = sum(size for _, size, _ in found)
        before = time.time() - IN_USE_S
        if left <= self._most_bytes:
            return
        for touched, size, path in found:
            if left <= self._most_bytes * _LEAVES or touched > before:
                return
            path.unlink(missing_ok=True)
            left -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """When each was asked for last, in seconds since 1970, its bytes, and where it is; also what was cut off."""
        for path in self._root.glob("[0-9a-f][0-9a-f]/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path
