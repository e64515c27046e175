"""Destinations come from the settings, and nothing connects until something is delivered."""

from node.destinations.registry import destinations
from node.domain.ports import Destination
from node.settings import PacsSettings, Settings

NOBODY = PacsSettings(ae_title="NOBODY", host="192.0.2.1", port=104)


def test_every_configured_archive_is_a_destination_under_its_name() -> None:
    """The name in the settings is the name in the outbox."""
    made = destinations(Settings(pacs={"main": NOBODY, "research": NOBODY}))
    assert {name: one.name for name, one in made.items()} == {"main": "main", "research": "research"}
    assert all(isinstance(one, Destination) for one in made.values())


def test_without_archives_there_are_no_destinations() -> None:
    """Results are kept and delivered nowhere."""
    assert destinations(Settings()) == {}
