"""The stored file of an instance: there, and what was received, or held for a person."""

import errno
import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from node.domain.imaging import Instance
from node.domain.reasons import Reason, ReasonCode
from node.errors import Quarantined, StorageFailed
from tests.factories import ct_slice, instance
from workers.stored import require_intact, stored_file


def stored(folder: Path, content: bytes = b"pixels") -> Instance:
    """An instance whose file is named by its content, as the blob store names it."""
    path = folder / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    return instance(ct_slice(), path=path)


def test_the_file_is_where_the_store_put_it(tmp_path: Path) -> None:
    """Its path, as it is."""
    one = stored(tmp_path)
    assert stored_file(one) == one.path


def test_a_file_that_is_gone_is_held_for_a_person(tmp_path: Path) -> None:
    """The detail says which instance it is."""
    gone = instance(ct_slice(), path=tmp_path / "gone")
    for one in (gone, replace(gone, path=None)):
        with pytest.raises(Quarantined) as held:
            stored_file(one)
        assert held.value.reason == Reason(ReasonCode.STORED_FILE_DAMAGED, f"the file of instance {gone.uid} is gone")


def test_what_was_received_is_intact(tmp_path: Path) -> None:
    """Nothing is said of it."""
    require_intact([stored(tmp_path), stored(tmp_path, b"others")])


def test_one_changed_bit_is_noticed(tmp_path: Path) -> None:
    """Pixels that decode without an error are not what was received all the same."""
    one = stored(tmp_path)
    assert one.path is not None
    one.path.write_bytes(b"pixelr")
    with pytest.raises(Quarantined) as held:
        require_intact([stored(tmp_path, b"whole"), one])
    assert held.value.reason.code is ReasonCode.STORED_FILE_DAMAGED
    assert held.value.reason.detail == f"the file of instance {one.uid} is not what was received"


def test_a_disk_that_does_not_give_it_now_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That says nothing against the file."""
    one = stored(tmp_path)

    def broken(*_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(hashlib, "file_digest", broken)
    with pytest.raises(StorageFailed, match=f"instance {one.uid} cannot be read now"):
        require_intact([one])
