"""A folder that results are put into as files: whole or not at all, for a program that picks them up."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery, DeliveryOutcome
from node.errors import of_disk
from node.settings import FolderSettings

_STORED, _PENDING, _FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED
_OTHER_CONTENT: Final = "there is another object under this name already"


class FolderDestination:
    """One configured folder; implements ``node.domain.ports.Destination``."""

    def __init__(self, name: str, settings: FolderSettings) -> None:
        """``name``: as configured."""
        self.name = name
        self._folder = settings.folder

    def deliver(self, deliveries: Sequence[Delivery]) -> tuple[DeliveryOutcome, ...]:
        """Write each object as ``<SOP Instance UID>.dcm``; it is on the disk when this returns."""
        return tuple(self._outcome(one) for one in deliveries)

    def _outcome(self, one: Delivery) -> DeliveryOutcome:
        try:
            content = one.path.read_bytes()
        except OSError as exc:
            passes = of_disk(exc, "the object cannot be read")
            return DeliveryOutcome(
                one.object_uid, _PENDING if passes else _FAILED, f"the object cannot be read: {exc.strerror}"
            )
        try:
            is_ours = _put(content, self._folder, f"{one.object_uid}.dcm")
        except OSError as exc:
            passes = of_disk(exc, "the folder cannot be written")
            return DeliveryOutcome(
                one.object_uid, _PENDING if passes else _FAILED, f"the folder cannot be written: {exc.strerror}"
            )
        return (
            DeliveryOutcome(one.object_uid, _STORED, "")
            if is_ours
            else DeliveryOutcome(one.object_uid, _FAILED, _OTHER_CONTENT)
        )


def _put(content: bytes, folder: Path, name: str) -> bool:
    """Have ``content`` under ``name``, durably; False when something else is there.

    A reader never sees half of it: it is written under another name, which begins with a dot, and then renamed.
    """
    path, part = folder / name, folder / f".{name}.part"
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        pass
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return True
