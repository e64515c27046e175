"""Blobs in a bucket: what only a store at the other end of a network can do to us."""

import hashlib
import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node.dicom.reading import same_content
from node.errors import NoRoom, Retryable, StoreAway
from node.settings import S3Settings
from node.store import s3
from node.store.blobs import FoundFile
from node.store.copies import Copies
from node.store.inbox import SqlInbox
from node.store.retention import Retention, Swept
from node.store.s3 import Bucket
from node.store.s3_blobs import S3Blobs
from node.store.session import Database
from tests.factories import ct_slice, received
from tests.servers import PrivateS3, running_s3

TIMEOUT_S = 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateS3]:
    """An S3 server."""
    with running_s3() as started:
        yield started


@pytest.fixture
def settings(server: PrivateS3) -> S3Settings:
    """A place of its own on the server, which must answer soon."""
    return S3Settings.model_validate({**server.settings, "prefix": uuid.uuid4().hex, "timeout_s": TIMEOUT_S})


@pytest.fixture
def bucket(settings: S3Settings) -> Bucket:
    """Its bucket."""
    return Bucket(settings)


@pytest.fixture
def blobs(settings: S3Settings, bucket: Bucket, tmp_path: Path) -> S3Blobs:
    """The blobs in it."""
    return S3Blobs(bucket, settings.prefix, Copies(tmp_path, 10**9))


def test_a_key_tells_the_digest_and_nothing_else(blobs: S3Blobs, bucket: Bucket, settings: S3Settings) -> None:
    """Below the node's prefix, where others' objects are none of ours."""
    bucket.put(f"{settings.prefix}/readme.txt", b"words", hashlib.sha256(b"words").hexdigest())
    digest = blobs.put(b"pixels").sha256
    (found,) = blobs.files()
    assert str(found.path).startswith(f"{settings.prefix}/{digest[:2]}/{digest}/")


def test_bytes_that_are_not_those_of_their_digest_are_refused_and_never_seen(blobs: S3Blobs) -> None:
    """The store is told what to check."""
    with pytest.raises(StoreAway, match="BadDigest"):
        blobs.put(b"pixels", hashlib.sha256(b"others").hexdigest())
    assert list(blobs.files()) == []


def test_a_store_that_is_gone_is_said_to_be_and_comes_back(blobs: S3Blobs, server: PrivateS3) -> None:
    """What it had answered for is there again; what it had not can be stored."""
    kept = blobs.put(b"pixels")
    server.kill()
    try:
        with pytest.raises(StoreAway):
            blobs.put(b"others")
        with pytest.raises(StoreAway):
            blobs.bring([kept.path])
        assert not kept.path.exists()
    finally:
        server.start()
    other = blobs.put(b"others")
    blobs.bring([kept.path, other.path])
    assert (kept.path.read_bytes(), other.path.read_bytes()) == (b"pixels", b"others")


def test_a_store_that_does_not_answer_is_not_waited_for_long(blobs: S3Blobs, server: PrivateS3) -> None:
    """A sender is told while it still listens."""
    blobs.put(b"pixels")
    server.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    try:
        with pytest.raises(StoreAway):
            blobs.put(b"others")
        assert time.monotonic() - begun < 60
    finally:
        server.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("code", ["XMinioStorageFull", "QuotaExceeded"])
def test_a_full_store_has_no_room(blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """That is waited for, as for a full disk."""

    def refuse(*_: object, **__: object) -> None:
        error = OSError("full")
        raise error from s3.ClientError({"Error": {"Code": code}}, "PutObject")

    monkeypatch.setattr(Bucket, "_call", refuse)
    with pytest.raises(NoRoom, match=code):
        blobs.put(b"pixels")


def test_a_bucket_that_is_not_there_is_named_by_its_code(server: PrivateS3, tmp_path: Path) -> None:
    """And no key of access is in the words."""
    there = S3Settings.model_validate({**server.settings, "bucket": "no-such-bucket"})
    blobs = S3Blobs(Bucket(there), "", Copies(tmp_path, 10**9))
    with pytest.raises(Retryable, match="NoSuchBucket") as refused:
        blobs.try_out()
    assert server.access_key not in str(refused.value)
    assert server.secret_key not in str(refused.value)


def test_what_was_changed_in_the_bucket_is_not_brought(
    blobs: S3Blobs, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its digest is checked on the way; whoever wants it finds it gone, and the log says why."""
    blob = blobs.put(b"pixels")
    (found,) = blobs.files()
    bucket.put(str(found.path), b"damage", hashlib.sha256(b"damage").hexdigest())
    blobs.bring([blob.path])
    assert not blob.path.exists()
    assert "not what its name says" in "".join(capsys.readouterr())


def test_a_copy_that_was_changed_is_taken_anew(blobs: S3Blobs) -> None:
    """A power failure may leave a copy of nothing."""
    blob = blobs.put(b"pixels")
    blobs.bring([blob.path])
    blob.path.write_bytes(b"")
    blobs.bring([blob.path])
    assert blob.path.read_bytes() == b"pixels"


def test_what_is_here_is_not_asked_for(blobs: S3Blobs, server: PrivateS3) -> None:
    """A case whose images were read goes on while the store is away."""
    blob = blobs.put(b"pixels")
    blobs.bring([blob.path])
    server.kill()
    try:
        blobs.bring([blob.path])
    finally:
        server.start()
    assert blob.path.read_bytes() == b"pixels"


def test_trying_out_leaves_nothing(blobs: S3Blobs, bucket: Bucket, settings: S3Settings) -> None:
    """It writes, reads and removes one object."""
    blobs.try_out()
    assert list(bucket.objects(settings.prefix)) == []


class _LongAgo(S3Blobs):
    """Everything in it was stored long ago, as far as a sweep can see."""

    def files(self) -> Iterator[FoundFile]:
        """The same, older."""
        return (replace(found, touched_ns=0) for found in super().files())

    def find(self, sha256: str) -> FoundFile | None:
        """The same, older."""
        found = super().find(sha256)
        return replace(found, touched_ns=0) if found else None


def test_a_sweep_removes_what_no_row_promises(settings: S3Settings, bucket: Bucket, tmp_path: Path) -> None:
    """Once it is old; what was stored lately is left, and what a row promises always."""
    database = Database(f"sqlite:///{tmp_path / 'celadon.db'}")
    database.upgrade()
    copies = Copies(tmp_path / "copies", 10**9)
    blobs, later = (kind(bucket, settings.prefix, copies) for kind in (S3Blobs, _LongAgo))
    SqlInbox(database, blobs, same_content).accept(received(ct_slice(1)))
    orphan = blobs.put(b"nobody's")
    assert Retention(database, blobs).sweep() == Swept()
    assert Retention(database, later).sweep() == Swept(orphans=1, size_bytes=len(b"nobody's"))
    assert [found.sha256 for found in blobs.files()] == [hashlib.sha256(received(ct_slice(1)).content).hexdigest()]
    assert blobs.find(orphan.sha256) is None
    database.close()
