"""Every configured destination by name."""

from collections.abc import Callable
from typing import Any, Final

from node.destinations.alternatives import AlternativesDestination
from node.destinations.folder import FolderDestination
from node.destinations.hl7_feed import FeedDestination
from node.destinations.pacs import PacsDestination
from node.destinations.recoding import RecodingDestination
from node.destinations.stow import StowDestination
from node.domain.identifiers import AeTitle
from node.domain.ports import Destination
from node.settings import FolderSettings, PacsSettings, Settings, StowSettings

# Kind of settings to how its destination is made: name, settings, who we say we are.
_MAKERS: Final[dict[type[Any], Callable[[str, Any, AeTitle], Destination]]] = {
    PacsSettings: PacsDestination,
    StowSettings: lambda name, settings, _: StowDestination(name, settings),
    FolderSettings: lambda name, settings, _: FolderDestination(name, settings),
}


def destinations(settings: Settings) -> dict[str, Destination]:
    """The destinations of ``settings``, ready to deliver; nothing connects yet.

    Raises:
        UsageError: TLS files cannot be used.
    """
    calling_ae = AeTitle(settings.dicom.ae_title)
    made: dict[str, Destination] = {}
    for name, one in settings.pacs.items():
        plain = _MAKERS[type(one)](name, one, calling_ae)
        recoding = RecodingDestination(plain, one.character_set) if one.character_set else plain
        made[name] = AlternativesDestination(recoding)
    return made | {name: FeedDestination(name, feed) for name, feed in settings.feed.items()}
