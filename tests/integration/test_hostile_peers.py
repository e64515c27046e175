"""A sample of the hostile peers: while they are at it a legitimate peer is served, and they leave nothing behind."""

import shutil
from pathlib import Path

import pytest

from tests.faults.hostile_peers import make_certificates, run
from tests.servers import require

PEERS = 120
SECONDS = 4.0


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
def test_hostile_peers_hold_up_nobody(secured: bool, tmp_path: Path) -> None:
    """Every echo is answered; memory stays bounded, threads and descriptors come back."""
    if secured:
        require("openssl", shutil.which("openssl"))
    outcome = run(PEERS, SECONDS, make_certificates(tmp_path / "tls") if secured else None)
    assert outcome.most_connections > 1, "nobody attacked"
    assert outcome.echoes > 10
    assert outcome.failed == 0
    assert outcome.most_rss_mb - outcome.before.rss_mb < 150
    assert (outcome.after.threads, outcome.after.connections) == (outcome.before.threads, 0)
    assert outcome.after.descriptors <= outcome.before.descriptors
