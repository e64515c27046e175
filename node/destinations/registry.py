"""Every configured destination by name."""

from node.destinations.pacs import PacsDestination
from node.domain.identifiers import AeTitle
from node.domain.ports import Destination
from node.settings import Settings


def destinations(settings: Settings) -> dict[str, Destination]:
    """The destinations of ``settings``, ready to deliver; nothing connects yet."""
    calling_ae = AeTitle(settings.dicom.ae_title)
    return {name: PacsDestination(name, pacs, calling_ae) for name, pacs in settings.pacs.items()}
