"""The container of a torch checkpoint, looked at before torch does: a ZIP of stored entries in one folder, no more.

torch has written this format since 1.6 (``caffe2/serialize/inline_container.h``): ``NAME/data.pkl`` and one
``NAME/data/N`` a tensor, none of them compressed. Whatever is compressed, overlaps or is called otherwise is refused.
"""

import re
import zipfile
from pathlib import Path
from typing import Final

from node.domain.reasons import BundleFault
from node.errors import BundleError

_MOST_ENTRIES: Final = 10_000
_LARGEST_PICKLE_BYTES: Final = 8 * 2**20
_INSIDE: Final = re.compile(
    r"(?P<folder>[^/\\]+)/(?:(?P<pickle>data\.pkl)|version|byteorder|data/\d+|\.data/serialization_id"
    r"|\.format_version|\.storage_alignment)"
)


def check(path: Path) -> None:
    """Raise BundleError (CHECKPOINT_UNREADABLE) unless the file at ``path`` is such an archive, and whole."""
    if not zipfile.is_zipfile(path):
        raise _unreadable("it is cut short, or not in the format that torch has written since version 1.6")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _unreadable("its list of contents is damaged") from error
    if len(entries) > _MOST_ENTRIES:
        raise _unreadable(f"it has {len(entries)} entries, more than {_MOST_ENTRIES}")
    parts = [_part(entry) for entry in entries]
    if len({part["folder"] for part in parts}) != 1 or sum(part["pickle"] is not None for part in parts) != 1:
        raise _unreadable("it does not hold one data.pkl in one folder")
    if len({entry.filename for entry in entries}) < len(entries):
        raise _unreadable("it holds an entry twice")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise _unreadable("its entries overlap")


def _part(entry: zipfile.ZipInfo) -> "re.Match[str]":
    """The parts of an entry's name, once the entry is known to be harmless."""
    part = _INSIDE.fullmatch(entry.filename)
    if part is None:
        raise _unreadable(f"it holds {entry.filename[:80]!a}, which is no part of a state dict")
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
        raise _unreadable(f"{entry.filename!a} is compressed or encrypted, as torch never writes it")
    if part["pickle"] and entry.file_size > _LARGEST_PICKLE_BYTES:
        raise _unreadable(f"{entry.filename!a} has {entry.file_size} bytes")
    return part


def _unreadable(why: str) -> BundleError:
    return BundleError(f"the checkpoint: {why}", BundleFault.CHECKPOINT_UNREADABLE)
