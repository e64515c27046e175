"""The stored file of an instance: there, or a fault of this installation."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.errors import Fatal
from tests.factories import ct_slice, instance
from workers.stored import stored_file


def test_the_file_is_where_the_store_put_it(tmp_path: Path) -> None:
    """Its path, as it is."""
    path = tmp_path / "blob"
    path.write_bytes(b"pixels")
    assert stored_file(instance(ct_slice(), path=path)) == path


def test_a_file_that_is_gone_is_nobodys_input(tmp_path: Path) -> None:
    """The series is not to blame: a person must look at the disk, and the message says which instance it is."""
    gone = instance(ct_slice(), path=tmp_path / "gone")
    for one in (gone, replace(gone, path=None)):
        with pytest.raises(Fatal, match=f"instance {gone.uid} is gone"):
            stored_file(one)
