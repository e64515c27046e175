"""The files of a bundle: one digest for all of them, and nothing among them that could be run."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models import bundle_files
from models.bundle_files import MIB, contents, digest
from node.domain.reasons import BundleFault
from node.errors import BundleError
from tests.drawn import drawn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A copy of a bundle without weights."""
    return Path(shutil.copytree(drawn("gtrnet"), tmp_path / "bundle"))


def refused(path: Path) -> BundleError:
    """Why the files are refused."""
    with pytest.raises(BundleError) as fault:
        digest(path)
    return fault.value


def test_the_digest_is_the_one_that_is_described(path: Path) -> None:
    """Names and hashes of the files in order: anybody can compute it again."""
    (path / "models").mkdir()
    (path / "models" / "model.safetensors").write_bytes(b"weights")
    names = ["configs/metadata.json", "docs/README.md", "models/model.safetensors"]
    lines = "".join(f"{name}\0{hashlib.sha256((path / name).read_bytes()).hexdigest()}\n" for name in names)
    assert list(contents(path)) == names
    assert digest(path) == hashlib.sha256(lines.encode()).hexdigest()


def test_the_digest_is_that_of_the_content_alone(path: Path) -> None:
    """A copy elsewhere, with other times, has the same digest."""
    os.utime(path / "docs" / "README.md", (0, 0))
    assert digest(path) == digest(drawn("gtrnet"))


@pytest.mark.parametrize("name", ["configs/metadata.json", "docs/README.md", "models/model.safetensors"])
def test_any_changed_byte_of_any_file_changes_the_digest(path: Path, name: str) -> None:
    """The first, the middle and the last byte of each file count, and so does its length."""
    (path / "models").mkdir()
    (path / "models" / "model.safetensors").write_bytes(bytes(range(256)))
    content = (path / name).read_bytes()
    seen = {digest(path)}
    for position in (0, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[position] ^= 1
        (path / name).write_bytes(changed)
        seen.add(digest(path))
    (path / name).write_bytes(content + b"\n")
    seen.add(digest(path))
    assert len(seen) == 5


def test_a_file_more_less_or_elsewhere_changes_the_digest(path: Path) -> None:
    """Even an empty one, and one with another name."""
    seen = [digest(path)]
    (path / "LICENSE").write_bytes(b"")
    seen.append(digest(path))
    (path / "LICENSE").rename(path / "NOTICE")
    seen.append(digest(path))
    (path / "NOTICE").rename(path / "docs" / "NOTICE")
    seen.append(digest(path))
    (path / "docs" / "README.md").unlink()
    seen.append(digest(path))
    assert len(set(seen)) == 5


@pytest.mark.parametrize(
    "name",
    ["models/model.pt", "models/model.pth", "models/x.pkl", "run.py", "__init__.py", "x.pyc", "x.so", "x.sh", "x.PY"],
)
def test_what_could_be_run_or_unpickled_is_refused(path: Path, name: str) -> None:
    """With a code and the file's name, even where nothing would read it."""
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_bytes(b"")
    fault = refused(path)
    assert fault.fault is BundleFault.BUNDLE_FORBIDDEN
    assert name in str(fault)


@pytest.mark.parametrize(
    "name", [".hidden.json", "a b.json", "a\nb.json", "\u202ea.json", "-x.json", "é.md", "x" * 120]
)
def test_names_that_deceive_are_refused(path: Path, name: str) -> None:
    """Hidden, with spaces, controls or letters that cannot be told apart; the message stays one line of ASCII."""
    (path / name).write_bytes(b"")
    fault = refused(path)
    assert fault.fault is BundleFault.BUNDLE_FORBIDDEN
    assert str(fault).isascii()
    assert "\n" not in str(fault)


def _file_link(path: Path) -> None:
    (path / "docs" / "README.md").rename(path.parent / "elsewhere.md")
    (path / "docs" / "README.md").symlink_to(path.parent / "elsewhere.md")


def _folder_link(path: Path) -> None:
    (path / "docs").rename(path.parent / "docs")
    (path / "docs").symlink_to(path.parent / "docs", target_is_directory=True)


def _dangling_link(path: Path) -> None:
    (path / "docs" / "x.md").symlink_to("nowhere")


def _pipe(path: Path) -> None:
    os.mkfifo(path / "docs" / "x.md")


@pytest.mark.parametrize("spoil", [_file_link, _folder_link, _dangling_link, _pipe])
def test_links_and_devices_are_refused(path: Path, spoil: Callable[[Path], None]) -> None:
    """What lies outside the bundle is none of it, and a pipe would never end."""
    spoil(path)
    assert refused(path).fault is BundleFault.BUNDLE_FORBIDDEN


def test_a_bundle_that_is_a_link_is_none(path: Path) -> None:
    """Its target could be changed without a trace here."""
    link = path.with_name("link")
    link.symlink_to(path, target_is_directory=True)
    assert refused(link).fault is BundleFault.BUNDLE_MISSING
    assert refused(path / "docs" / "README.md").fault is BundleFault.BUNDLE_MISSING
    assert refused(path / "none").fault is BundleFault.BUNDLE_MISSING


def test_sizes_are_bounded(path: Path) -> None:
    """By kind; a sparse file counts as what it says that it is."""
    (path / "docs" / "README.md").write_bytes(b"x" * (MIB + 1))
    fault = refused(path)
    assert fault.fault is BundleFault.BUNDLE_TOO_LARGE
    assert "README.md" in str(fault)
    (path / "docs" / "README.md").write_bytes(b"x" * MIB)
    assert digest(path)
    (path / "models").mkdir()
    with (path / "models" / "model.safetensors").open("wb") as stream:
        stream.truncate(bundle_files.largest_bytes("model.safetensors") + 1)
    assert refused(path).fault is BundleFault.BUNDLE_TOO_LARGE


def test_numbers_and_depths_are_bounded(path: Path) -> None:
    """A bundle has a few files in a few folders."""
    deep = path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    assert refused(path).fault is BundleFault.BUNDLE_FORBIDDEN
    shutil.rmtree(path / "a")
    for number in range(64):
        (path / f"{number}.txt").write_bytes(b"")
    assert refused(path).fault is BundleFault.BUNDLE_TOO_LARGE
