"""Blobs in a folder: what exists under its digest is whole and durable, and a full disk leaves nothing half-written."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from node.domain.reasons import ReasonCode
from node.errors import RefusedAtDoor
from node.store.folder_blobs import FolderBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """An empty blob store."""
    return FolderBlobs(tmp_path / "blobs")


def files(tmp_path: Path) -> list[Path]:
    """Every file of the store."""
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


def failing(number: int) -> object:
    """An operating system call that fails with ``number``."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_blob_lies_under_the_digest_of_its_content(blobs: FolderBlobs, tmp_path: Path) -> None:
    """The name is the SHA-256, never anything from the content; the bytes are those that were given."""
    blob = blobs.put(b"pixels")
    digest = hashlib.sha256(b"pixels").hexdigest()
    assert (blob.sha256, blob.size_bytes) == (digest, 6)
    assert blob.path == blobs.path_of(digest) == tmp_path / "blobs" / digest[:2] / digest
    assert blob.path.read_bytes() == b"pixels"


def test_the_same_content_is_kept_once(blobs: FolderBlobs, tmp_path: Path) -> None:
    """Storing again gives the same blob and writes nothing, but says that it is wanted: its time is that of now."""
    first = blobs.put(b"pixels")
    written = first.path.stat().st_ino
    os.utime(first.path, (0, 0))
    assert blobs.put(b"pixels") == first
    assert files(tmp_path) == [first.path]
    assert first.path.stat().st_ino == written
    assert first.path.stat().st_mtime > 0


def test_content_is_synced_before_it_gets_its_name_and_the_name_before_it_is_said(
    blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is: file to disk, rename, directory to disk."""
    blobs.put(b"makes the directories")
    calls: list[str] = []
    sync, rename = os.fsync, os.rename

    def watched_sync(descriptor: int) -> None:
        calls.append("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")  # noqa: PTH112
        sync(descriptor)

    def watched_rename(part: str, path: Path) -> None:
        calls.append("rename")
        rename(part, path)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(os, "rename", watched_rename)
    blobs.put(b"pixels")
    assert calls[-3:] == ["file", "rename", "directory"]


def test_a_blob_that_is_already_there_is_made_durable_too(blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wrote it may have died between rename and sync: its directory is synced again."""
    blobs.put(b"pixels")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    blobs.put(b"pixels")
    assert len(synced) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_no_room_is_refused_with_nothing_half_written(
    blobs: FolderBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """A full disk, whenever it shows, is DISK_FULL and leaves no part file; afterwards storing works again."""
    blobs.put(b"makes the directories")
    before = files(tmp_path)
    content = next(
        bytes([n]) for n in range(256) if hashlib.sha256(bytes([n])).hexdigest()[:2] == before[0].parent.name
    )
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(RefusedAtDoor) as refused:
            blobs.put(content)
    assert refused.value.reason.code is ReasonCode.DISK_FULL
    assert files(tmp_path) == before
    assert blobs.put(content).path.read_bytes() == content


def test_no_room_for_a_directory_is_refused(blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot take a new directory is full as well."""
    monkeypatch.setattr(Path, "mkdir", failing(errno.ENOSPC))
    with pytest.raises(RefusedAtDoor, match="DISK_FULL"):
        blobs.put(b"pixels")


def test_another_fault_of_the_disk_is_not_called_full(
    blobs: FolderBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input/output error goes on as it is, and leaves nothing either."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output"):
            blobs.put(b"pixels")
    assert files(tmp_path) == []


def test_below_the_watermark_nothing_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take the free space below the watermark is refused; with room again it is stored."""
    blobs = FolderBlobs(tmp_path / "blobs", min_free_bytes=100)
    monkeypatch.setattr(FolderBlobs, "free_bytes", lambda _: 105)
    with pytest.raises(RefusedAtDoor, match="DISK_FULL: free space is below the watermark"):
        blobs.put(b"sixtee")
    assert files(tmp_path) == []
    assert blobs.put(b"five!").path.exists()


def test_free_space_is_that_of_the_file_system(blobs: FolderBlobs) -> None:
    """There is some, and no more than the disk has."""
    assert blobs.free_bytes() > 0


def test_what_a_dead_writer_left_is_swept_up_and_what_a_living_one_writes_is_not(
    blobs: FolderBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part file that nobody holds is removed; a sweep in the middle of a write takes nothing from it."""
    abandoned = tmp_path / "blobs" / "ab" / "abc.1.part"
    abandoned.parent.mkdir()
    abandoned.write_bytes(b"half")
    swept: list[int] = []
    sync = os.fsync

    def sweep_meanwhile(descriptor: int) -> None:
        if not swept:
            swept.append(blobs.sweep())
        sync(descriptor)

    blobs.put(b"makes the directories")
    monkeypatch.setattr(os, "fsync", sweep_meanwhile)
    blob = blobs.put(b"makes the directories, too")
    assert blob.path.read_bytes() == b"makes the directories, too"
    assert swept == [1]
    assert not abandoned.exists()


def test_a_digest_that_is_known_already_is_not_made_again(blobs: FolderBlobs) -> None:
    """Whoever received the content made it on the way."""
    digest = hashlib.sha256(b"pixels").hexdigest()
    assert blobs.put(b"pixels", digest) == blobs.put(b"pixels")
