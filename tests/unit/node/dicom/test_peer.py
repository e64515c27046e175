"""How a peer is written, and what opening an association with it can say."""

import pytest

from node.dicom.contexts import result_contexts
from node.dicom.peer import Peer, open_association
from node.domain.identifiers import AeTitle
from node.errors import Retryable, UsageError


def test_a_peer_is_written_ae_at_host_port() -> None:
    """``AE@HOST:PORT`` names a peer, and a peer shows itself that way."""
    peer = Peer.parse("PACS@10.0.0.1:104")
    assert peer == Peer(AeTitle("PACS"), "10.0.0.1", 104)
    assert str(peer) == "PACS@10.0.0.1:104"


def test_an_ipv6_address_stands_in_brackets() -> None:
    """The colons of an IPv6 address are no port."""
    assert Peer.parse("PACS@[::1]:104").host == "::1"


@pytest.mark.parametrize(
    "text", ["", "PACS", "PACS@host", "PACS@host:0", "PACS@host:70000", "@host:1", "A" * 17 + "@h:1"]
)
def test_anything_else_is_wrong_usage(text: str) -> None:
    """What is not a peer is said in one line."""
    with pytest.raises(UsageError):
        Peer.parse(text)


def test_a_name_that_does_not_resolve_may_be_tried_again() -> None:
    """An unknown host is the surroundings' fault."""
    with pytest.raises(Retryable, match="no-such-host"):
        open_association(Peer(AeTitle("PACS"), "no-such-host.invalid", 104), "CELADON", result_contexts(), 1)
