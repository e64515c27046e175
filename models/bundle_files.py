"""The files of a bundle: which there may be, how large, and the one digest that speaks for all of them.

The list of kinds is what a bundle may hold, not what it may not: nothing in a bundle can ever be run or unpickled.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from node.domain.reasons import BundleFault
from node.errors import BundleError

METADATA: Final = "configs/metadata.json"
CARD: Final = "docs/README.md"
WEIGHTS_SUFFIX: Final = ".safetensors"

MIB: Final = 2**20
_LARGEST_BYTES: Final = MappingProxyType(
    {
        WEIGHTS_SUFFIX: 4096 * MIB,
        ".json": 8 * MIB,
        ".yaml": 8 * MIB,
        ".yml": 8 * MIB,
        ".conf": MIB,
        ".csv": 8 * MIB,
        ".md": MIB,
        ".txt": MIB,
        ".png": 8 * MIB,
        ".jpg": 8 * MIB,
        "": MIB,  # LICENSE, NOTICE
    }
)
_MOST_FILES: Final = 64
_DEEPEST: Final = 4
# No space, no control character and no leading dot or dash: a name can be shown, typed and hashed without doubt.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")


def contents(path: Path) -> Mapping[str, Path]:
    """Every file of the bundle at ``path`` by its name inside it (with ``/``), in order of the names.

    Raises BundleError when there is no such folder, and naming what no bundle may hold: a link, a device, a kind of
    file that is not on the list, a name that cannot be read aloud, more or larger files than the limits.
    """
    if path.is_symlink() or not path.is_dir():
        raise BundleError(f"{path}: there is no such bundle", BundleFault.BUNDLE_MISSING)
    found: dict[str, Path] = {}
    for name, file in _walk(path, ""):
        found[name] = file
        if len(found) > _MOST_FILES:
            raise BundleError(f"{path}: holds more than {_MOST_FILES} files", BundleFault.BUNDLE_TOO_LARGE)
    return MappingProxyType(dict(sorted(found.items())))


def digest(path: Path) -> str:
    """SHA-256, in lower-case hex, over name and content of every file of the bundle, in the order of their names."""
    return digest_of(contents(path))


def digest_of(files: Mapping[str, Path]) -> str:
    """The same over ``files``, names inside the bundle to files, in the order given.

    For each file the name, a zero byte, the SHA-256 of its content in hex and a line feed are hashed.
    """
    total = hashlib.sha256()
    for name, file in files.items():
        try:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256")
        except OSError as error:
            raise BundleError(f"{file}: cannot be read: {error.strerror}", BundleFault.BUNDLE_UNREADABLE) from error
        total.update(f"{name}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()


def largest_bytes(name: str) -> int:
    """How many bytes a file of this name may have."""
    return _LARGEST_BYTES[Path(name).suffix]


def _walk(folder: Path, inside: str) -> Iterator[tuple[str, Path]]:
    """The files below ``folder``, whose name in the bundle is ``inside``."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read: {error.strerror}", BundleFault.BUNDLE_UNREADABLE) from error
    for entry in entries:
        file, name = Path(entry.path), f"{inside}{entry.name}"
        if not _NAME.fullmatch(entry.name):
            raise _forbidden(folder, f"holds {entry.name!a}, which is no name that a bundle may hold")
        about = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(about.st_mode):
            if name.count("/") + 1 >= _DEEPEST:
                raise _forbidden(file, f"a bundle has no folder this deep (more than {_DEEPEST - 1})")
            yield from _walk(file, f"{name}/")
            continue
        _check(file, name, about)
        yield name, file


def _check(file: Path, name: str, about: os.stat_result) -> None:
    """Whether what is there may be in a bundle."""
    if not stat.S_ISREG(about.st_mode):
        raise _forbidden(file, "is a link or a device, not a file")
    suffix = Path(name).suffix
    if suffix not in _LARGEST_BYTES:
        kinds = ", ".join(sorted(kind for kind in _LARGEST_BYTES if kind))
        raise _forbidden(file, f"is of a kind that no bundle may hold; it may hold {kinds}, and weights in safetensors")
    if about.st_size > largest_bytes(name):
        limit = largest_bytes(name) // MIB
        raise BundleError(f"{file}: has {about.st_size} bytes, more than {limit} MiB", BundleFault.BUNDLE_TOO_LARGE)


def _forbidden(file: Path, why: str) -> BundleError:
    return BundleError(f"{file}: {why}", BundleFault.BUNDLE_FORBIDDEN)
