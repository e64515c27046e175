"""How fast images are taken: Celadon, which is durable before it answers, beside Orthanc and DCMTK's storescp.

Where the time goes: with one association ``storescu`` waits for each answer, so everything stands in a row. Measured
on two cores, an image of 525 kB, in a memory file system, in ms: 0.5 the sender between answer and next byte, 0.3
reading, 0.5 hashing and keeping while the rest still arrives, 0.3 validation, 0.35 the part file, 0.5 the
transaction, 0.2 the answer. On a disk come three syncs, in the order that ``tests.faults durability`` proves (blob,
directory, database log): 0.65 together on an idle one, up to five on a busy one. Neither of the others waits for the
disk at all, so the ratios follow the disk and what else uses it; ``TMPDIR`` says where all three write. Four
associations share the cores with their senders: there processor time decides.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from rich.console import Console
from rich.table import Table

from node.demo.pacs import start_pacs
from node.dicom.peer import Peer
from node.dicom.sending import echo
from node.domain.identifiers import AeTitle, InstanceUID, SeriesUID
from node.errors import Retryable
from node.settings import read_settings
from node.store.session import Database

SLICES: Final = 300
ROUNDS: Final = 3
# A 40 ms delayed-ACK artefact of every image would otherwise be measured instead of the servers.
ENVIRONMENT: Final = os.environ | {"TCP_NODELAY": "1"}
_LOOPBACK: Final = "127.0.0.1"


def intake() -> None:
    """300 slices of 512 x 512, one association and four at once, by storescu, median of three interleaved rounds."""
    with tempfile.TemporaryDirectory(prefix="celadon-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        servers = {
            "Celadon": stack.enter_context(_celadon(folder)),
            "Orthanc": stack.enter_context(start_pacs()).peer,
            "storescp": stack.enter_context(_storescp(folder / "storescp")),
        }
        walls: dict[tuple[str, int], list[float]] = {}
        for round_number in range(ROUNDS):
            for associations in (1, 4):
                paths = _series(folder / "series", round_number * 10 + associations)
                for server, peer in servers.items():
                    # What was written before must not be waited for by whoever syncs next.
                    os.sync()
                    seconds = _send(paths, peer, associations)
                    walls.setdefault((server, associations), []).append(seconds)
        _print(walls)


def _print(walls: dict[tuple[str, int], list[float]]) -> None:
    medians = {key: statistics.median(values) for key, values in walls.items()}
    table = Table("associations", "server", "images/s", "wall, s", "Celadon / server", title="Intake")
    for (server, associations), seconds in medians.items():
        ratio = medians["Celadon", associations] / seconds
        table.add_row(str(associations), server, f"{SLICES / seconds:.0f}", f"{seconds:.2f}", f"{ratio:.2f}")
    Console().print(table)


def _series(folder: Path, number: int) -> list[Path]:
    """A series that no server has seen, uncompressed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    image = dcmread(next(Path(str(files("node.demo") / "data" / "ct")).glob("*.dcm")))
    pixels = image.pixel_array
    image.set_pixel_data(pixels, "MONOCHROME2", 12)
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SeriesInstanceUID = SeriesUID.derived("bench", str(number))
    paths = []
    for index in range(SLICES):
        image.SOPInstanceUID = InstanceUID.derived("bench", str(number), str(index))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.ImagePositionPatient = [*image.ImagePositionPatient[:2], 2.0 * index]
        paths.append(folder / f"{index:04d}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    return paths


def _send(paths: Sequence[Path], peer: Peer, associations: int) -> float:
    """The wall time of ``storescu``, the files dealt out to so many at once."""
    address = ["-aec", peer.ae_title, peer.host, str(peer.port)]
    started = time.perf_counter()
    senders = [
        subprocess.Popen(["storescu", *address, *map(str, paths[number::associations])], env=ENVIRONMENT)
        for number in range(associations)
    ]
    if any(sender.wait() for sender in senders):
        raise SystemExit(f"{peer} did not take everything")
    return time.perf_counter() - started


@contextmanager
def _celadon(folder: Path) -> Iterator[Peer]:
    """The listener alone, on SQLite."""
    config, port = folder / "celadon.toml", _free_port()
    config.write_text(f'data_dir = "{folder / "data"}"\n[dicom]\nport = {port}\nmin_free_gb = 0\n')
    Database(read_settings(config).url).upgrade()
    with (folder / "listener.log").open("wb") as log:
        command = [sys.executable, "-m", "node", "listen", "--config", str(config)]
        yield from _running(command, Peer(AeTitle("CELADON"), _LOOPBACK, port), log.fileno())


@contextmanager
def _storescp(folder: Path) -> Iterator[Peer]:
    folder.mkdir()
    port = _free_port()
    command = ["storescp", "-aet", "STORESCP", "-od", str(folder), str(port)]
    yield from _running(command, Peer(AeTitle("STORESCP"), _LOOPBACK, port), subprocess.DEVNULL)


def _running(command: Sequence[str], peer: Peer, output: int) -> Iterator[Peer]:
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=output, stderr=output)
    try:
        for _ in range(100):
            try:
                echo(peer, "BENCH", timeout_s=2)
                break
            except Retryable:
                time.sleep(0.1)
        yield peer
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.create_server((_LOOPBACK, 0)) as one:
        port: int = one.getsockname()[1]
    return port
