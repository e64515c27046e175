"""A FHIR R4 server that others wrote: Medplum's search and validation, started privately on a free loopback port.

``tests/install_servers.sh`` puts it beside the virtual environment. It stands for the servers that hospitals run; how a
server may misbehave, ``tests.fhir_server`` plays.
"""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import require

_PROGRAM = Path(__file__).with_suffix(".mjs")
_FOLDER = Path(sys.prefix) / "fhir-server"


@dataclass(frozen=True)
class Medplum:
    """A running server."""

    url: str

    def add(self, resource: dict[str, Any]) -> None:
        """Have it hold a resource, under its own id where it has one; it refuses what is not valid."""
        kind, known = resource["resourceType"], resource.get("id")
        path = f"{self.url}/{kind}/{known}" if known else f"{self.url}/{kind}"
        request = urllib.request.Request(  # noqa: S310 — our own server
            path,
            json.dumps(resource).encode(),
            {"Content-Type": "application/fhir+json"},
            method="PUT" if known else "POST",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 — the same
            assert answer.status in (200, 201), answer.status


@contextmanager
def medplum() -> Iterator[Medplum]:
    """The server, empty; a visible skip where it is not installed."""
    node = require("node", shutil.which("node"))
    require("Medplum's FHIR router", _FOLDER if (_FOLDER / "node_modules" / "@medplum").is_dir() else None)
    process = subprocess.Popen([node, _PROGRAM, _FOLDER], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Medplum(f"http://127.0.0.1:{port}/fhir")
    finally:
        process.kill()
        process.communicate()
