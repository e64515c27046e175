"""The bundles of one node: those that ship, and those that were added, each with the digest that was recorded for it.

data_dir/models/
    NAME/                   an added bundle, complete
    NAME.json               its record: the digest that it had when it was added, and when that was
    .previous/NAME[.json]   what the last replacement or removal put aside

An added bundle whose bytes are not those of its record is never loaded. The record protects against a changed, lost or
half-copied file, not against somebody who may write to ``data_dir``: a digest in the settings, and the audit trail, do.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from models import registry
from models.bundle import Bundle, shipped
from models.bundle_files import contents, largest_bytes
from models.fields import Fields
from node.domain.reasons import BundleFault
from node.errors import BundleError, Retryable, UsageError

SHIPPED: Final = tuple(registry.PREDICTORS)
"""The bundles that come with Celadon: one for each predictor, under its name."""
_SHIPPED_DIGESTS: Final = "digests.json"
_PREVIOUS: Final = ".previous"
_LOCK: Final = ".lock"
_STAGING: Final = ".incoming-"
_RESTORING: Final = ".restoring-"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_COPY_BYTES: Final = 2**20
_LARGEST_RECORD_BYTES: Final = 2**16

Trial = Callable[[Path], None]
"""Builds the predictor that a bundle is for and runs it once; raises BundleError when that fails."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was written down when a bundle was added."""

    name: str
    digest: str
    """SHA-256 over the whole bundle, lower-case hex."""
    added_at: str
    """ISO 8601, UTC."""
    previous_digest: str = ""
    """Of the bundle that this one replaced; empty when it replaced none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A bundle of this node, not yet opened."""

    name: str
    path: Path
    is_shipped: bool
    digest: str | None
    """The recorded one; None when nobody has recorded it."""
    added_at: str = ""

    def open(self, pinned_digest: str | None = None) -> Bundle:
        """The bundle, every byte of it compared with the record, and with the digest that the settings pin.

        Raises BundleError when one differs or nothing is recorded.
        """
        if self.digest is None:
            why = "it has no record of its digest: add it again with celadon models add --replace"
            raise BundleError(f"{self.path}: {why}", BundleFault.BUNDLE_UNRECORDED)
        bundle = Bundle.open(self.path, self.digest)
        if pinned_digest is not None and bundle.digest != pinned_digest:
            why = f"the digest is {bundle.digest}, and the settings pin {pinned_digest}"
            raise BundleError(f"{self.path}: {why}", BundleFault.BUNDLE_CHANGED)
        return bundle


class Library:
    """The bundles that ship and those in ``folder``, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        """``folder``: ``data_dir/models``."""
        self._folder = folder

    def entries(self) -> tuple[Entry, ...]:
        """All bundles: those that ship, then the added ones by name."""
        recorded = shipped_digests()
        ours = [Entry(name, shipped(name), is_shipped=True, digest=recorded.get(name)) for name in SHIPPED]
        return (*ours, *(self._added(name) for name in self._names()))

    def entry(self, name: str) -> Entry:
        """The bundle ``name``; UsageError that lists what there is when there is none."""
        entries = {entry.name: entry for entry in self.entries()}
        if name not in entries:
            raise UsageError(f"there is no model bundle {name!r}; known: {', '.join(entries)}")
        return entries[name]

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder beside the added bundles, gone afterwards: what is complete in it can be moved at one go."""
        with _errors_named(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._folder))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def add(
        self, source: Path, name: str, *, trial: Trial, expected_digest: str | None = None, replace: bool = False
    ) -> Bundle:
        """Copy the bundle at ``source`` and take the copy, checked and tried, under ``name``.

        What is checked is the copy: nobody can change it between the check and its use. ``replace`` puts the bundle
        that has the name aside, for ``restore``.

        Raises:
            UsageError: the name cannot be taken, or ``expected_digest`` is none.
            BundleError: the bundle is not complete, holds what it may not, is not the one that ``expected_digest``
                is of, is for a predictor that does not exist, or fails its trial.
            Retryable: the disk did not take it.
        """
        self.require_free(name, replace=replace)
        expected = checked_digest(expected_digest)
        source = source.resolve()
        files = contents(source)
        with self.staging() as staging:
            copy = (staging / "bundle").absolute()
            with _errors_named(source):
                for inside, file in files.items():
                    _copy(file, copy / inside)
            try:
                bundle = Bundle.open(copy, expected)
                _require_predictor(bundle)
                trial(copy)
            except BundleError as error:
                # The copy is about to go: what is wrong is wrong where it came from.
                raise BundleError(error.detail.replace(str(copy), str(source)), error.fault) from error
            self._take(copy, name, bundle.digest, replace=replace)
        return self.entry(name).open()

    def remove(self, name: str) -> Entry:
        """Put the added bundle ``name`` aside, for ``restore``; UsageError when it is not an added one."""
        entry = self._require_added(name)
        with self._locked(), _errors_named(self._folder):
            self._put_aside(name)
        return entry

    def restore(self, name: str) -> Bundle:
        """Bring back what was put aside under ``name``; what has the name now is put aside in its place.

        Raises UsageError when nothing is there, BundleError when it is not what was put aside.
        """
        _require_name(name)
        aside = self._folder / _PREVIOUS
        if not (aside / name).is_dir():
            raise UsageError(f"nothing was put aside under {name!r}")
        _entry(aside, name).open()
        parts = (_record_name(name), name)
        with self._locked(), _errors_named(self._folder):
            for part in parts:
                (aside / part).rename(aside / f"{_RESTORING}{part}")
            self._put_aside(name)
            for part in parts:
                (aside / f"{_RESTORING}{part}").rename(self._folder / part)
            _sync(self._folder)
        return self.entry(name).open()

    def require_free(self, name: str, *, replace: bool) -> None:
        """UsageError when ``name`` is no name, belongs to a shipped bundle, or is taken and not to be replaced."""
        _require_name(name)
        if name in SHIPPED:
            raise UsageError(f"--name {name}: a shipped bundle has this name; choose another")
        if self._path(name).exists() and not replace:
            raise UsageError(f"--name {name}: there is such a bundle; --replace puts it aside and takes its place")

    def _take(self, copy: Path, name: str, digest: str, *, replace: bool) -> None:
        """Give the complete copy its name. A crash on the way leaves no bundle that is loaded unrecorded."""
        with self._locked(), _errors_named(self._folder):
            self.require_free(name, replace=replace)  # again: another command may have been faster
            before = self._added(name).digest if self._path(name).exists() else None
            if before is not None or self._path(name).exists():
                self._put_aside(name)
            moment = datetime.now(UTC).isoformat(timespec="seconds")
            _write(self._folder / _record_name(name), asdict(Record(name, digest, moment, before or "")))
            copy.rename(self._path(name))
            _sync(self._folder)

    def _put_aside(self, name: str) -> None:
        """Move the bundle and its record away; what lay there before is removed for good."""
        aside = self._folder / _PREVIOUS
        aside.mkdir(exist_ok=True)
        for part in (name, _record_name(name)):
            here, there = self._folder / part, aside / part
            if there.is_dir() and not there.is_symlink():
                shutil.rmtree(there)
            else:
                there.unlink(missing_ok=True)
            if here.exists() or here.is_symlink():
                here.rename(there)
        _sync(aside)

    def _require_added(self, name: str) -> Entry:
        entry = self.entry(name)
        if entry.is_shipped:
            raise UsageError(f"{name}: comes with Celadon and cannot be removed")
        return entry

    def _names(self) -> Iterator[str]:
        """The added bundles, complete or not, by name."""
        if self._folder.is_dir():
            with _errors_named(self._folder):
                found = sorted(path.name for path in self._folder.iterdir() if path.is_dir() or path.is_symlink())
            yield from (name for name in found if _NAME.fullmatch(name) and name not in SHIPPED)

    def _added(self, name: str) -> Entry:
        return _entry(self._folder, name)

    def _path(self, name: str) -> Path:
        return self._folder / name

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, whatever process makes it."""
        with _errors_named(self._folder), (self._folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def checked_digest(text: str | None) -> str | None:
    """A SHA-256 in lower-case hex, as somebody typed it; UsageError when it is none."""
    if text is None:
        return None
    if not _SHA256.fullmatch(text):
        raise UsageError(f"--sha256 {text!r}: a SHA-256 has 64 hexadecimal digits")
    return text.lower()


def shipped_digests() -> Mapping[str, str]:
    """The digest of each shipped bundle as this release recorded it."""
    file = shipped(_SHIPPED_DIGESTS)
    try:
        return MappingProxyType(dict(json.loads(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError) as error:
        raise BundleError(f"{file}: cannot be read: {error}", BundleFault.BUNDLE_UNREADABLE) from error


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: up to 64 lower-case letters, digits, - and _, a letter or digit first")


def _require_predictor(bundle: Bundle) -> None:
    if bundle.predictor not in registry.PREDICTORS:
        known = ", ".join(registry.PREDICTORS)
        raise bundle.celadon.wrong("predictor", f"is {bundle.predictor!r}; known: {known}")


def _record_name(name: str) -> str:
    return f"{name}.json"


def _entry(folder: Path, name: str) -> Entry:
    """The added bundle ``name`` in ``folder`` with its record, if that can be read."""
    record = _record(folder / _record_name(name), name)
    digest, moment = (record.digest, record.added_at) if record else (None, "")
    return Entry(name, folder / name, is_shipped=False, digest=digest, added_at=moment)


def _record(file: Path, name: str) -> Record | None:
    """What is recorded of the bundle ``name``; None when that cannot be read, is of another, or says no digest."""
    try:
        with file.open(encoding="utf-8") as stream:
            values = json.loads(stream.read(_LARGEST_RECORD_BYTES))
        fields = Fields(file, values)
        record = Record(fields.text("name"), fields.text("digest"), fields.text("added_at"))
    except (OSError, ValueError, RecursionError, AttributeError, BundleError):
        return None
    return record if record.name == name and _SHA256.fullmatch(record.digest) else None


def _copy(file: Path, target: Path) -> None:
    """Copy the content of a file that is no link to the disk, no more of it than a bundle may hold."""
    target.parent.mkdir(parents=True, exist_ok=True)
    left = largest_bytes(target.name)
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as source, target.open("xb") as copy:
        while chunk := source.read(_COPY_BYTES):
            left -= len(chunk)
            if left < 0:
                raise BundleError(f"{file}: grows while it is copied", BundleFault.BUNDLE_TOO_LARGE)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())


def _write(file: Path, values: Mapping[str, str]) -> None:
    """Write a small JSON file at one go."""
    part = file.with_name(f".{file.name}.part")
    with part.open("w", encoding="utf-8") as stream:
        json.dump(values, stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def _sync(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """The system's errors in the house's words."""
    try:
        yield
    except OSError as error:
        raise Retryable(f"{error.filename or path}: {error.strerror}") from error
