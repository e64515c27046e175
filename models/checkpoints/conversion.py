"""From a published checkpoint to a bundle: the file's digest first, then its tensors, read by a confined process."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models import child
from models.bundle_files import CARD, METADATA
from models.checkpoints.known import Published
from node.domain.reasons import BundleFault
from node.errors import BundleError, UsageError

WEIGHTS: Final = "models/model.safetensors"
_COPY_BYTES: Final = 2**20
_SPARE_BYTES: Final = 2**30
_COPIES: Final = 5
"""The file mapped, its tensors, their bytes, the bytes of the new file, and one for luck."""
_CPU_S: Final = 120
_WITHIN_S: Final = 300.0
_LARGEST_FACTOR: Final = 4
"""A file whose digest somebody gives may be larger than the published one (an optimiser's state, say)."""
_AS_PUBLISHED: Final = "It is the file that the authors published: size and digest are those of their repository."
_NOT_AS_PUBLISHED: Final = (
    "It is **not** the file that the authors published (that one has the SHA-256 `{sha256}`): whoever added it gave "
    "this digest. Celadon knows nothing of where it comes from or what it was trained on."
)


@dataclass(frozen=True, slots=True)
class Source:
    """The checkpoint file that a bundle was made from."""

    sha256: str
    size_bytes: int
    is_published: bool


def convert(checkpoint: Path, known: Published, bundle: Path, expected_sha256: str | None = None) -> Source:
    """Make the bundle at ``bundle`` (an empty folder) from the file ``checkpoint``.

    The file is copied beside ``bundle`` and hashed on the way; only a copy with the expected digest is opened: that of
    the published file, or ``expected_sha256``.

    Raises:
        UsageError: there is no such file.
        BundleError: the file is not the expected one, or not what the network is made of; nothing of it was run.
    """
    copy = bundle.with_name("checkpoint.pth")
    try:
        source = _copied(checkpoint, known, copy, expected_sha256)
        (bundle / WEIGHTS).parent.mkdir(parents=True)
        _write_weights(copy, known, bundle / WEIGHTS)
    finally:
        copy.unlink(missing_ok=True)
    _write_texts(known, source, bundle)
    return source


def _copied(checkpoint: Path, known: Published, copy: Path, expected_sha256: str | None) -> Source:
    """Copy the file, as long as it is as large as it may be; what it is, when it is what was expected."""
    expected = expected_sha256 or known.sha256
    hint = "; --sha256 names another file to expect" if expected_sha256 is None else ""
    with _named(checkpoint), checkpoint.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if expected == known.sha256 and size != known.size_bytes:
            raise _unexpected(checkpoint, f"has {size} bytes; the published file has {known.size_bytes}{hint}")
        if size > known.size_bytes * _LARGEST_FACTOR:
            raise _unexpected(checkpoint, f"has {size} bytes, more than such a checkpoint can have")
        total = hashlib.sha256()
        left = size
        with copy.open("xb") as target:
            while left > 0 and (chunk := stream.read(min(left, _COPY_BYTES))):
                left -= len(chunk)
                total.update(chunk)
                target.write(chunk)
    found = total.hexdigest()
    if found != expected:
        raise _unexpected(checkpoint, f"has the SHA-256 {found}, not {expected}{hint}")
    return Source(found, size, is_published=found == known.sha256)


def _write_weights(copy: Path, known: Published, weights: Path) -> None:
    """Have the confined process read the copy and write the weights."""
    size = copy.stat().st_size
    with weights.open("xb") as stream:
        options = {
            "--checkpoint": copy.absolute(),
            "--network": known.network,
            "--weights-fd": stream.fileno(),
            "--memory-bytes": size * _COPIES + _SPARE_BYTES,
            "--cpu-s": _CPU_S,
            "--file-bytes": known.size_bytes * 2,
        }
        words = [str(word) for option in options.items() for word in option]
        try:
            child.ask("models.checkpoints.convert", words, within_s=_WITHIN_S, pass_fds=(stream.fileno(),))
        except child.Ended as error:
            raise BundleError(
                f"the checkpoint: the process that read it ended: {error}", BundleFault.CHECKPOINT_LIMIT
            ) from error
        os.fsync(stream.fileno())


def _write_texts(known: Published, source: Source, bundle: Path) -> None:
    """The metadata and the model card, with what is known of the file."""
    metadata: dict[str, Any] = json.loads((known.template / METADATA).read_text(encoding="utf-8"))
    metadata["celadon"]["weights"]["file"] = WEIGHTS
    metadata["celadon"]["source"] = {
        "sha256": source.sha256,
        "bytes": source.size_bytes,
        "as_published": source.is_published,
    }
    if not source.is_published:
        metadata["data_source"] = "Unknown: the checkpoint is not the published one"
        metadata["name"] += ", from another file"
    card = (known.template / CARD).read_text(encoding="utf-8")
    origin = _AS_PUBLISHED if source.is_published else _NOT_AS_PUBLISHED.format(sha256=known.sha256)
    texts = {
        METADATA: json.dumps(metadata, indent=4, ensure_ascii=False) + "\n",
        CARD: card.format(sha256=source.sha256, size_bytes=f"{source.size_bytes:,}", origin=origin),
    }
    for name, text in texts.items():
        (bundle / name).parent.mkdir(exist_ok=True)
        (bundle / name).write_text(text, encoding="utf-8")
    shutil.copymode(bundle / METADATA, bundle / WEIGHTS)


@contextmanager
def _named(checkpoint: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"--checkpoint {error.filename or checkpoint}: {error.strerror}") from error


def _unexpected(checkpoint: Path, why: str) -> BundleError:
    return BundleError(f"{checkpoint}: {why}", BundleFault.CHECKPOINT_UNEXPECTED)
