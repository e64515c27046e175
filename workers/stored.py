"""The stored file of an instance, as the steps read it."""

from pathlib import Path

from node.domain.imaging import Instance
from node.errors import Fatal


def stored_file(instance: Instance) -> Path:
    """Where the bytes of ``instance`` are; Fatal when they are gone."""
    if instance.path is None or not instance.path.is_file():
        raise Fatal(f"the file of instance {instance.uid} is gone: check the disk and the backup")
    return instance.path
