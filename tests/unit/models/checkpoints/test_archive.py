"""The container of a checkpoint: what torch writes passes, everything else is refused before torch sees it."""

import struct
import zipfile
from pathlib import Path

import pytest
import torch

from models.checkpoints import archive
from node.domain.reasons import BundleFault
from node.errors import BundleError
from tests.small_network import state


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A checkpoint as torch writes it."""
    path = tmp_path / "models.pth"
    torch.save(state(), path)
    return path


def refused(path: Path) -> str:
    """Why it is refused."""
    with pytest.raises(BundleError) as fault:
        archive.check(path)
    assert fault.value.fault is BundleFault.CHECKPOINT_UNREADABLE
    return str(fault.value)


def written(path: Path, *entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """An archive of these entries."""
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, content in entries:
            made.writestr(name, content)
    return path


def test_what_torch_writes_passes(file: Path) -> None:
    """Whatever the file is called."""
    archive.check(file)
    archive.check(file.rename(file.with_name("renamed.bin")))


def test_the_format_before_1_6_is_refused(tmp_path: Path) -> None:
    """It is a bare pickle, whose size nothing bounds; the message says what is expected."""
    path = tmp_path / "old.pth"
    torch.save(state(), path, _use_new_zipfile_serialization=False)
    assert "since version 1.6" in refused(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_is_cut_short_is_refused(file: Path, share: float) -> None:
    """The list of contents is at its end."""
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert "cut short" in refused(file)


def test_a_compressed_entry_is_refused(tmp_path: Path) -> None:
    """A bomb: a megabyte here would be a gigabyte in memory."""
    entries = [("a/data.pkl", b"x"), ("a/data/0", b"\0" * 2**20)]
    path = written(tmp_path / "bomb.pth", *entries, compression=zipfile.ZIP_DEFLATED)
    assert "is compressed" in refused(path)


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    """The other bomb: many names for the same bytes."""
    path = written(tmp_path / "one.pth", ("a/data.pkl", b"x"), ("a/data/0", bytes(1000)))
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    first, last = content[start:end].split(b"PK\x01\x02")[1:]
    copies = [b"PK\x01\x02" + last.replace(b"a/data/0", f"a/data/{n}".encode()) for n in range(10)]
    directory = b"PK\x01\x02" + first + b"".join(copies)
    tail = bytearray(content[end:])
    struct.pack_into("<HHI", tail, 8, 11, 11, len(directory))
    path.write_bytes(content[:start] + directory + bytes(tail))
    assert "overlap" in refused(path)


@pytest.mark.parametrize(
    "names",
    [
        ("a/data.pkl", "a/code/x.py"),
        ("a/data.pkl", "../data/0"),
        ("a/data.pkl", "/a/data/0"),
        ("a/data.pkl", "a/constants.pkl"),
        ("a/data.pkl", "b/data/0"),
        ("a/data.pkl", "b/data.pkl"),
        ("a/version", "a/data/0"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Code, ways out of the archive, a second state dict, none at all."""
    refused(written(tmp_path / "x.pth", *((name, b"x") for name in names)))


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Readers differ in which one they take."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = written(tmp_path / "x.pth", ("a/data.pkl", b"x"), ("a/data.pkl", b"y"))
    refused(path)


def test_too_many_entries_and_too_large_a_pickle_are_refused(tmp_path: Path) -> None:
    """A state dict of a network has a thousand tensors and a pickle of some kilobytes."""
    many = [("a/data.pkl", b"x"), *((f"a/data/{number}", b"") for number in range(10_000))]
    assert "10001 entries" in refused(written(tmp_path / "many.pth", *many))
    assert "bytes" in refused(written(tmp_path / "large.pth", ("a/data.pkl", bytes(8 * 2**20 + 1))))


def test_a_damaged_list_of_contents_is_refused(file: Path) -> None:
    """Whatever zipfile makes of it."""
    content = bytearray(file.read_bytes())
    position = content.index(b"PK\x01\x02")
    content[position : position + 4] = b"XXXX"
    file.write_bytes(content)
    assert "damaged" in refused(file)
