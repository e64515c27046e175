"""Copies of blobs: whole or not there, as many as there is room, and those in use are never given up."""

import errno
import hashlib
import os
import time
from pathlib import Path

import pytest

from node.errors import NoRoom
from node.store.copies import IN_USE_S, Copies


def added(copies: Copies, content: bytes, age_s: float = 0.0) -> str:
    """Keep a copy that was asked for so long ago."""
    digest = hashlib.sha256(content).hexdigest()
    copies.add(digest, content)
    moment = time.time() - age_s
    os.utime(copies.path_of(digest), (moment, moment))
    return digest


def test_a_copy_is_there_once_it_is_added(tmp_path: Path) -> None:
    """With its bytes and nothing beside it."""
    copies = Copies(tmp_path, 1000)
    digest = added(copies, b"pixels")
    assert copies.has(digest)
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"pixels"]
    assert not copies.has("0" * 64)


def test_a_copy_that_is_not_whole_is_not_there(tmp_path: Path) -> None:
    """It is taken away, to be taken anew."""
    copies = Copies(tmp_path, 1000)
    digest = added(copies, b"pixels")
    copies.path_of(digest).write_bytes(b"pix")
    assert not copies.has(digest)
    assert not copies.path_of(digest).exists()


def test_those_asked_for_longest_ago_make_room(tmp_path: Path) -> None:
    """Until there is some to spare; asking for one keeps it."""
    copies = Copies(tmp_path, 1000)
    old = [added(copies, bytes([number]) * 100, 10 * IN_USE_S - number) for number in range(10)]
    assert copies.has(old[0])
    added(copies, b"x" * 100)
    added(copies, b"y" * 100)
    assert copies.path_of(old[0]).exists()
    assert not copies.path_of(old[1]).exists()
    assert copies.path_of(old[9]).exists()


def test_what_is_in_use_is_kept_although_there_is_no_room(tmp_path: Path) -> None:
    """Somebody is about to read it."""
    copies = Copies(tmp_path, 100)
    kept = [added(copies, bytes([number]) * 100) for number in range(4)]
    assert all(copies.path_of(digest).exists() for digest in kept)


def test_what_a_dead_process_left_makes_room_too(tmp_path: Path) -> None:
    """Half a copy is as good as none."""
    copies = Copies(tmp_path, 100)
    half = tmp_path / "ab" / f"ab{'0' * 62}.1.part"
    half.parent.mkdir()
    half.write_bytes(b"x" * 200)
    os.utime(half, (0, 0))
    added(copies, b"pixels")
    assert not half.exists()


def test_a_full_disk_has_no_room_and_keeps_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, as with results."""
    copies = Copies(tmp_path, 1000)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(NoRoom):
            added(copies, b"pixels")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_there_is_free_space(tmp_path: Path) -> None:
    """That of the disk, also before the first copy."""
    assert Copies(tmp_path / "copies", 1000).free_bytes() > 0
