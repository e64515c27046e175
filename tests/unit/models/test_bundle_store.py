"""The library: what is added is a checked copy with a record, and what differs from its record is never loaded."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from models.bundle import Bundle
from models.bundle_store import SHIPPED, Library, checked_digest, shipped_digests
from node.domain.reasons import BundleFault
from node.errors import BundleError, Retryable, UsageError

Spoil = Callable[..., Path]


def passes(_: Path) -> None:
    """A trial that finds nothing."""


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty one, whose folder is not there yet."""
    return Library(tmp_path / "data" / "models")


@pytest.fixture
def source(spoil: Spoil) -> Path:
    """A bundle to add."""
    return spoil("gtrnet", lambda celadon: celadon["weights"].update(seed=1))


@pytest.fixture
def other(tmp_path: Path, source: Path) -> Path:
    """Another one for the same predictor."""
    copy = Path(shutil.copytree(source, tmp_path / "other"))
    (copy / "docs" / "README.md").write_text("# Another card\n", encoding="utf-8")
    return copy


def names(library: Library) -> list[str]:
    """Of all bundles."""
    return [entry.name for entry in library.entries()]


def left(library: Library) -> set[str]:
    """What lies in the folder, hidden things too."""
    return {path.name for path in library._folder.iterdir()} if library._folder.exists() else set()


def fault_of(call: Callable[[], object]) -> BundleFault:
    """The code of what ``call`` raises."""
    with pytest.raises(BundleError) as error:
        call()
    return error.value.fault


def test_what_ships_is_there_with_its_recorded_digest(library: Library) -> None:
    """The record is current: ``python -m models.bundles`` writes it after a change on purpose."""
    assert names(library) == list(SHIPPED) == [name for name in shipped_digests() if name != "segmenter"]
    for entry in library.entries():
        assert entry.is_shipped
        assert entry.open().digest == entry.digest, "run python -m models.bundles"


def test_an_added_bundle_is_a_copy_with_a_record(library: Library, source: Path) -> None:
    """It stays what it was, whatever becomes of where it came from."""
    digest = Bundle.open(source).digest
    assert library.add(source, "site-a", trial=passes).digest == digest
    shutil.rmtree(source)
    entry = library.entry("site-a")
    assert (entry.is_shipped, entry.digest, entry.open().digest) == (False, digest, digest)
    assert entry.added_at.endswith("+00:00")
    record = json.loads((library._folder / "site-a.json").read_text(encoding="utf-8"))
    assert (record["name"], record["digest"]) == ("site-a", digest)
    assert names(library) == [*SHIPPED, "site-a"]
    assert left(library) == {"site-a", "site-a.json", ".lock"}


def test_what_is_tried_is_the_copy_and_a_failed_trial_leaves_nothing(library: Library, source: Path) -> None:
    """The message speaks of the folder that the person named."""
    tried = []

    def fails(path: Path) -> None:
        tried.append(path)
        raise BundleError(f"{path}/models/x.safetensors: does not fit")

    with pytest.raises(BundleError, match=rf"BUNDLE_UNFIT: {source}/models/x"):
        library.add(source, "site-a", trial=fails)
    assert tried[0].is_relative_to(library._folder)
    assert names(library) == list(SHIPPED)
    assert left(library) == set()


def test_the_expected_digest_is_compared(library: Library, source: Path) -> None:
    """In either case of letters; another one, or none at all, is refused and leaves nothing."""
    digest = Bundle.open(source).digest
    changed = fault_of(lambda: library.add(source, "site-a", trial=passes, expected_digest="0" * 64))
    assert changed is BundleFault.BUNDLE_CHANGED
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        library.add(source, "site-a", trial=passes, expected_digest="abc")
    assert names(library) == list(SHIPPED)
    assert library.add(source, "site-a", trial=passes, expected_digest=digest.upper()).digest == digest
    assert checked_digest(None) is None


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "Upper", "a b", "-a", "a.json", "x" * 65, "é"])
def test_a_name_is_a_plain_word(library: Library, source: Path, name: str) -> None:
    """Nothing that leads elsewhere, hides, or could be two words."""
    with pytest.raises(UsageError, match="--name"):
        library.add(source, name, trial=passes)


def test_a_shipped_name_cannot_be_taken(library: Library, source: Path) -> None:
    """Not even with replace."""
    with pytest.raises(UsageError, match="a shipped bundle has this name"):
        library.add(source, "gtrnet", trial=passes, replace=True)


def test_a_name_is_taken_once(library: Library, source: Path, other: Path) -> None:
    """The bundle that has it stays as it is."""
    first = library.add(source, "site-a", trial=passes)
    with pytest.raises(UsageError, match="--replace"):
        library.add(other, "site-a", trial=passes)
    assert library.entry("site-a").open().digest == first.digest


def test_replacing_puts_the_old_one_aside_and_restoring_swaps(library: Library, source: Path, other: Path) -> None:
    """There and back, as often as one likes."""
    first = library.add(source, "site-a", trial=passes).digest
    second = library.add(other, "site-a", trial=passes, replace=True).digest
    assert library.entry("site-a").open().digest == second != first
    assert library.restore("site-a").digest == first
    assert library.restore("site-a").digest == second
    assert names(library) == [*SHIPPED, "site-a"]


def test_a_failed_replacement_leaves_the_old_one(library: Library, source: Path, other: Path) -> None:
    """It is put aside only when the new one is complete and tried."""
    first = library.add(source, "site-a", trial=passes).digest
    (other / "configs" / "metadata.json").write_text("{", encoding="utf-8")
    fault = fault_of(lambda: library.add(other, "site-a", trial=passes, replace=True))
    assert fault is BundleFault.BUNDLE_METADATA
    assert library.entry("site-a").open().digest == first
    with pytest.raises(UsageError, match="nothing was put aside"):
        library.restore("site-a")


def test_a_removed_bundle_can_be_restored(library: Library, source: Path) -> None:
    """Until another one is put aside under its name; what ships cannot be removed."""
    digest = library.add(source, "site-a", trial=passes).digest
    assert library.remove("site-a").digest == digest
    assert names(library) == list(SHIPPED)
    assert library.restore("site-a").digest == digest
    with pytest.raises(UsageError, match="comes with Celadon"):
        library.remove("gtrnet")
    with pytest.raises(UsageError, match=r"no model bundle 'none'; known: porcelain, gtrnet, site-a"):
        library.remove("none")


@pytest.mark.parametrize("name", ["configs/metadata.json", "docs/README.md"])
def test_a_changed_byte_is_never_loaded(library: Library, source: Path, name: str) -> None:
    """Of any file, though the bundle is well formed all the same."""
    library.add(source, "site-a", trial=passes)
    file = library._folder / "site-a" / name
    file.write_bytes(file.read_bytes().replace(b"Celadon", b"Caledon", 1))
    assert fault_of(library.entry("site-a").open) is BundleFault.BUNDLE_CHANGED


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda path: (path / "LICENSE").write_bytes(b""), BundleFault.BUNDLE_CHANGED),
        (lambda path: (path / "docs" / "README.md").unlink(), BundleFault.BUNDLE_CHANGED),
        (lambda path: (path / "x.py").write_bytes(b""), BundleFault.BUNDLE_FORBIDDEN),
        (lambda path: (path / "x.md").symlink_to("docs/README.md"), BundleFault.BUNDLE_FORBIDDEN),
        (lambda path: path.rename(path.with_name("moved")), BundleFault.BUNDLE_MISSING),
        (lambda path: path.with_name("site-a.json").unlink(), BundleFault.BUNDLE_UNRECORDED),
        (lambda path: path.with_name("site-a.json").write_text("{"), BundleFault.BUNDLE_UNRECORDED),
        (lambda path: path.with_name("site-a.json").write_text("[]"), BundleFault.BUNDLE_UNRECORDED),
        (
            lambda path: path.with_name("site-a.json").write_text('{"name": "b", "digest": "", "added_at": "x"}'),
            BundleFault.BUNDLE_UNRECORDED,
        ),
    ],
)
def test_what_differs_from_the_record_is_never_loaded(
    library: Library, source: Path, change: Callable[[Path], object], fault: BundleFault
) -> None:
    """A file more, a file less, something forbidden, the folder or the record gone or spoiled."""
    library.add(source, "site-a", trial=passes)
    entry = library.entry("site-a")
    change(library._folder / "site-a")
    if fault is BundleFault.BUNDLE_UNRECORDED:
        entry = library.entry("site-a")
    assert fault_of(entry.open) is fault


def test_a_pinned_digest_is_compared_too(library: Library, source: Path) -> None:
    """Whoever changes bundle and record alike does not change the settings."""
    digest = library.add(source, "site-a", trial=passes).digest
    entry = library.entry("site-a")
    assert entry.open(digest).digest == digest
    assert fault_of(lambda: entry.open("0" * 64)) is BundleFault.BUNDLE_CHANGED


def test_a_bundle_for_no_predictor_is_refused(library: Library, spoil: Spoil) -> None:
    """With the known ones."""
    source = spoil("gtrnet", lambda celadon: celadon.update(predictor="nnunet"))
    with pytest.raises(BundleError, match=r"predictor is 'nnunet'; known: porcelain, gtrnet"):
        library.add(source, "site-a", trial=passes)


def test_a_forbidden_file_is_refused_before_anything_is_copied(library: Library, source: Path) -> None:
    """Nothing of it reaches the data directory."""
    (source / "models").mkdir()
    (source / "models" / "model.pth").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"BUNDLE_FORBIDDEN: .*gtrnet/models/model\.pth"):
        library.add(source, "site-a", trial=passes)
    assert left(library) == set()


def test_a_full_disk_leaves_nothing(library: Library, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the surroundings' fault, and the message says where."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Retryable, match="No space left on device"):
        library.add(source, "site-a", trial=passes)
    monkeypatch.undo()
    assert names(library) == list(SHIPPED)
    assert left(library) == set()


def test_one_of_two_that_take_a_name_at_once_is_refused(library: Library, source: Path, other: Path) -> None:
    """The name is looked at again under a lock: neither overwrites the other."""
    meeting = threading.Barrier(2, timeout=60)
    outcomes: list[str] = []

    def add(path: Path) -> None:
        try:
            outcomes.append(library.add(path, "site-a", trial=lambda _: meeting.wait() and None).digest)
        except UsageError:
            outcomes.append("refused")

    threads = [threading.Thread(target=add, args=(path,)) for path in (source, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("refused") == 1
    assert library.entry("site-a").open().digest in outcomes
