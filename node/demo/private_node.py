"""A private node for the demonstration and the tests: ``celadon up`` as a person would start it, in its own folder."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.dicom.peer import Peer
from node.domain.identifiers import AeTitle
from node.errors import Fatal
from node.settings import Settings, read_settings
from node.stores import Stores

READY_WITHIN_S: Final = 180.0
_STOPS_WITHIN_S: Final = 25.0


@dataclass(frozen=True, slots=True)
class PrivateNode:
    """A running node."""

    settings: Settings
    config: Path
    peer: Peer
    """Its listener, as others call it."""
    log_file: Path
    process: subprocess.Popen[bytes]
    stores: Stores
    """What it keeps, opened beside it: once, for who waits for a case looks many times a second."""


@contextmanager
def start_node(folder: Path, *, pacs: Peer | None, extra: str = "", database_url: str = "") -> Iterator[PrivateNode]:
    """A node on a free port for the length of the block, delivering to ``pacs``; ``extra`` ends its settings file.

    ``database_url``: empty is SQLite in ``folder``.

    Raises:
        Fatal: it did not start; the message has the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "celadon.toml"
    config.write_text(_configuration(folder, pacs, database_url) + extra)
    settings = read_settings(config)
    # A private node is the same on every machine, whatever another node there is set to.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CELADON_")}
    command = [sys.executable, "-m", "node", "up", "--config", str(config)]
    log_file = folder / "node.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)  # noqa: S603 — our own program
        try:
            port = _wait_ready(process, settings, log_file)
            peer = Peer(AeTitle(settings.dicom.ae_title), settings.dicom.host, port)
            stores = Stores.open(settings)
            try:
                yield PrivateNode(settings, config, peer, log_file, process, stores)
            finally:
                stores.database.close()
        finally:
            process.terminate()
            process.wait(_STOPS_WITHIN_S)


def _configuration(folder: Path, pacs: Peer | None, database_url: str) -> str:
    text = f"data_dir = {json.dumps(str(folder / 'data'))}\ndatabase_url = {json.dumps(database_url)}\n"
    text += "[web]\nport = 0\n[dicom]\nport = 0\nmin_free_gb = 0\n"
    if pacs is not None:
        text += f'[pacs.archive]\nae_title = "{pacs.ae_title}"\nhost = "{pacs.host}"\nport = {pacs.port}\n'
    return text


def _wait_ready(process: subprocess.Popen[bytes], settings: Settings, log_file: Path) -> int:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if settings.runtime_file.is_file():
            return int(json.loads(settings.runtime_file.read_text())["dicom"])
        time.sleep(0.1)
    raise Fatal(f"the node did not start:\n{log_file.read_text(errors='replace')[-2000:]}")
