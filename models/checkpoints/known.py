"""The checkpoints that can become bundles: name to what is known of the published file. Loads no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from node.errors import UsageError


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint file that authors published."""

    name: str
    """Also of the folder beside this file that holds metadata and model card of the bundle to be."""
    sha256: str
    size_bytes: int
    network: str
    """``module:Class`` of the network whose tensors it must hold, exactly."""

    @property
    def template(self) -> Path:
        """The bundle to be, without its weights."""
        return Path(__file__).parent / self.name


PUBLISHED: Final[Mapping[str, Published]] = MappingProxyType(
    {
        "gtrnet": Published(
            name="gtrnet",
            sha256="df3fc8e82b45d387254c3502f0cea81a6f1163d4adbdeddd4dd6bc5e10999561",
            size_bytes=233_519_033,
            network="models.networks.gtrnet:GtrNet",
        ),
    }
)


def published(name: str) -> Published:
    """The checkpoint known as ``name``; UsageError that lists the known ones."""
    if name not in PUBLISHED:
        raise UsageError(f"no checkpoint is known as {name!r}; known: {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
