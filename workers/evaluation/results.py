"""What became of each case, one file a case: written whole or not at all, found by a digest of all that it rests on.

A run that was killed goes on after the last whole file; what has changed (an image, mask, value, bundle or setting) is
analysed again.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from node.errors import UsageError

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Region:
    """What was analysed."""

    source: str
    """The segmenter that gave it."""
    made_by: str
    volume_ml: float


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What the steps said of one case: either an answer or a reason."""

    case: str
    key: str
    probabilities: dict[str, float] = field(default_factory=dict)
    """Class to probability; empty when there is no answer."""
    called: str = ""
    digest: str = ""
    """Of the bundle."""
    reason: str = ""
    """The code why there is no answer."""
    detail: str = ""
    is_final: bool = True
    """Whether the same input would end the same way; what is not is tried again by the next run."""
    region: Region | None = None
    phase: str = ""
    remarks: tuple[str, ...] = ()
    map_dice: float | None = None
    """Of the evidence map with the region."""
    contributions: tuple[tuple[str, float, bool], ...] = ()
    """(input, logits, whether it was imputed)."""
    overlap: dict[str, float] = field(default_factory=dict)
    """Of the region analysed with the mask given, where a segmenter found the region."""
    observers: dict[str, dict[str, float]] = field(default_factory=dict)
    """Observer to the overlap of their mask with the region, and its volume and longest diameter."""
    seconds: float = 0.0


class ResultFolder:
    """The files of a run."""

    def __init__(self, folder: Path) -> None:
        """Files in ``folder``, which is made; UsageError when that is impossible."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written: {error.strerror}") from error
        self._folder = folder

    def find(self, case: str, key: str) -> CaseResult | None:
        """What is known of the case under this key and need not be tried again; None when there is nothing."""
        try:
            found = json.loads(self._file(case).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if found.pop("format", None) != FORMAT or found.get("key") != key or not found.get("is_final"):
            return None
        region = found.pop("region")
        found["contributions"] = tuple((name, logits, imputed) for name, logits, imputed in found["contributions"])
        found["remarks"] = tuple(found["remarks"])
        return CaseResult(**found, region=Region(**region) if region else None)

    def keep(self, result: CaseResult) -> None:
        """Write a result so that it is there in whole after a kill or a power cut, or not at all."""
        document: dict[str, Any] = {"format": FORMAT, **asdict(result)}
        file = self._file(result.case)
        part = file.with_name(f".{file.name}.part")
        with part.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)

    def _file(self, case: str) -> Path:
        return self._folder / f"{case}.json"


def key_of(facts: Mapping[str, Any], files: Iterable[Path]) -> str:
    """The digest of ``facts`` (as JSON has them) and of the bytes of ``files`` with their names, in order.

    Raises OSError when a file cannot be read.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for file in files:
        with file.open("rb") as stream:
            digest.update(f"\n{file.name}\n".encode())
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
