"""Blobs in a bucket of an S3-compatible store, for hosts that share no file system; copies on each as they are read.

An object is ``ab/<sha256>/<number>``, the number drawn anew each time: a key is written once and never changes. What is
stored again and was stored lately is left as it is; otherwise it gets one more object beside the old one. So whoever
sweeps may remove an old object that no row promises, however long that takes him: nobody relies on it any more, since a
row is committed within ``retention.GRACE``, and that is twice what counts as lately.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Final

from node import log
from node.store.blobs import Blob, FoundFile
from node.store.copies import Copies
from node.store.s3 import AT_ONCE, Bucket, StoredObject

LATELY: Final = timedelta(hours=3)
_OWNER: Final = "database"
_NS_PER_S: Final = 10**9
_HEX: Final = frozenset("0123456789abcdef")
_DIGEST_LENGTH: Final = 64


class S3Blobs:
    """The objects of a bucket below a prefix; implements ``BlobStore``."""

    def __init__(self, bucket: Bucket, prefix: str, copies: Copies) -> None:
        """``prefix``: what all keys begin with, so that a bucket may be shared with others; empty: nothing."""
        self._bucket, self._copies = bucket, copies
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def path_of(self, sha256: str) -> Path:
        """Where its copy on this machine lies, or would lie."""
        return self._copies.path_of(sha256)

    def put(self, content: bytes, sha256: str | None = None) -> Blob:
        """Store ``content``, unless that was done lately: when the store has answered, it is durable and whole.

        Raises:
            StoreAway: the store does not take it now; nothing of it is seen.
            NoRoom: it is full.
        """
        digest = sha256 or hashlib.sha256(content).hexdigest()
        if not any(map(_is_recent, self._generations(digest))):
            self._bucket.put(f"{self._below(digest)}{uuid.uuid4().hex}", content, digest)
        return Blob(digest, len(content), self.path_of(digest))

    def bring(self, paths: Iterable[Path]) -> None:
        """Copy what is not here, each checked against its digest; see ``BlobStore``."""
        missing = [digest for digest in dict.fromkeys(path.name for path in paths) if not self._copies.has(digest)]
        if len(missing) == 1:
            self._fetch(missing[0])
        elif missing:
            with ThreadPoolExecutor(AT_ONCE, "blobs") as pool:
                list(pool.map(self._fetch, missing))

    def sweep(self) -> int:
        """Nothing: an object is whole or not there."""
        return 0

    def free_bytes(self) -> int:
        """Free space for copies: a bucket does not say how much it takes."""
        return self._copies.free_bytes()

    def files(self) -> Iterator[FoundFile]:
        """Every object."""
        return (found for one in self._bucket.objects(self._prefix) if (found := self._found(one)) is not None)

    def find(self, sha256: str) -> FoundFile | None:
        """The object of a content that was stored last."""
        found = [self._found(one) for one in self._generations(sha256)]
        return max((one for one in found if one is not None), key=lambda one: one.touched_ns, default=None)

    def remove(self, found: FoundFile) -> bool:
        """Remove an object: what was stored since it was found is another one."""
        self._bucket.delete(str(found.path))
        return True

    def restore(self, doomed: FoundFile) -> None:
        """Nothing: an object is removed at one go."""

    def belongs_to(self, database: str) -> bool:
        """As in ``BlobStore``."""
        key = f"{self._prefix}{_OWNER}"
        owner = self._bucket.get(key)
        if not owner:
            name = database.encode("ascii")
            self._bucket.put(key, name, hashlib.sha256(name).hexdigest())
            owner = self._bucket.get(key)
        return owner == database.encode("ascii")

    def try_out(self) -> None:
        """Store, read and remove an object of no meaning: whether rights and network allow it; StoreAway, NoRoom."""
        content = uuid.uuid4().hex.encode("ascii")
        key = f"{self._prefix}tried/{content.decode('ascii')}"
        self._bucket.put(key, content, hashlib.sha256(content).hexdigest())
        self._bucket.get(key)
        self._bucket.delete(key)

    def _fetch(self, sha256: str) -> None:
        for one in self._generations(sha256):
            content = self._bucket.get(one.key)
            if content is None:
                continue
            if hashlib.sha256(content).hexdigest() == sha256:
                self._copies.add(sha256, content)
                return
            log.get().error(log.BLOB_DAMAGED, digest=sha256)

    def _generations(self, sha256: str) -> Iterator[StoredObject]:
        """The objects with one content; more than one where it was stored again after a long time."""
        return self._bucket.objects(self._below(sha256))

    def _below(self, sha256: str) -> str:
        return f"{self._prefix}{sha256[:2]}/{sha256}/"

    def _found(self, one: StoredObject) -> FoundFile | None:
        """None for what is none of our blobs."""
        key = PurePosixPath(one.key)
        digest = key.parent.name
        if len(digest) != _DIGEST_LENGTH or not _HEX.issuperset(digest):
            return None
        touched_ns = int(one.modified_at.timestamp() * _NS_PER_S)
        return FoundFile(key, digest, "", one.size_bytes, touched_ns)


def _is_recent(one: StoredObject) -> bool:
    return datetime.now(UTC) - one.modified_at < LATELY
