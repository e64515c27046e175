"""What the listener uses: memory while images pour in, processor time while peers are connected and say nothing.

Beside it, in the same run, a storage SCP as pynetdicom makes it, which writes each object to a file and syncs it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import psutil
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.events import Event
from rich.console import Console
from rich.table import Table

from node.dicom.contexts import VERIFICATION
from node.dicom.peer import Peer
from node.dicom.sending import echo
from node.domain.identifiers import AeTitle, InstanceUID, SeriesUID
from node.errors import Retryable
from node.settings import read_settings
from node.store.session import Database
from tests.faults.processes import free_port
from tests.raw_peer import RawPeer

ASSOCIATIONS: Final = 4
SLICES: Final = 300
"""Of 512 x 512 on each association."""
IDLE: Final = 40
IDLE_S: Final = 10.0
MOST_RSS_MB: Final = 200
MOST_IDLE_PERCENT: Final = 5
_HOST: Final = "127.0.0.1"
_READY_WITHIN_S: Final = 60.0
_CT: Final = "1.2.840.10008.5.1.4.1.1.2"
# A 40 ms delayed-ACK artefact of every image would otherwise be measured instead of the servers.
_ENVIRONMENT: Final = os.environ | {"TCP_NODELAY": "1"}


@dataclass(frozen=True)
class Used:
    """What one server used."""

    before_mb: float
    most_mb: float
    """The high-water mark of its resident memory."""
    after_mb: float
    wall_s: float
    idle_percent: float
    """Of one core, with ``IDLE`` associations open."""


def load() -> None:
    """Memory while 1,200 slices arrive on four associations, and processor time with 40 open ones that say nothing."""
    servers: dict[str, Callable[[Path], Iterator[tuple[Peer, int]]]] = {"Celadon": _celadon, "pynetdicom": _stock}
    found = {}
    with tempfile.TemporaryDirectory(prefix="celadon-bench-") as name:
        folder = Path(name)
        series = [_series(folder / f"series{number}", number) for number in range(ASSOCIATIONS)]
        for server, start in servers.items():
            with ExitStack() as stack:
                peer, pid = stack.enter_context(contextmanager(start)(folder))
                found[server] = _measure(peer, psutil.Process(pid), series)
    _print(found)


def _measure(peer: Peer, process: psutil.Process, series: Sequence[Sequence[Path]]) -> Used:
    before = process.memory_info().rss
    begun = time.perf_counter()
    address = ["-aec", peer.ae_title, peer.host, str(peer.port)]
    senders = [subprocess.Popen(["storescu", *address, *map(str, paths)], env=_ENVIRONMENT) for paths in series]
    if any(sender.wait() for sender in senders):
        raise SystemExit(f"{peer} did not take everything")
    wall = time.perf_counter() - begun
    most = _high_water_bytes(process.pid)
    return Used(before / 2**20, most / 2**20, process.memory_info().rss / 2**20, wall, _idle_percent(peer, process))


def _idle_percent(peer: Peer, process: psutil.Process) -> float:
    with ExitStack() as stack:
        for number in range(IDLE):
            # From two hosts: one may not have as many.
            stack.enter_context(RawPeer(peer.port, f"127.0.0.{number % 2 + 2}")).associate()
        time.sleep(1.0)
        begun = process.cpu_times()
        time.sleep(IDLE_S)
        ended = process.cpu_times()
    return (ended.user + ended.system - begun.user - begun.system) / IDLE_S * 100


def _high_water_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("the system does not say how much memory a process used")


def _print(found: dict[str, Used]) -> None:
    columns = ("server", "before, MB", "most, MB", "after, MB", "wall, s", f"idle with {IDLE}, % of a core")
    table = Table(*columns, title=f"Load: {ASSOCIATIONS * SLICES} slices on {ASSOCIATIONS} associations")
    for server, used in found.items():
        numbers = (used.before_mb, used.most_mb, used.after_mb, used.wall_s, used.idle_percent)
        table.add_row(server, *(f"{one:.1f}" for one in numbers))
    Console().print(table)
    ours = found["Celadon"]
    kept = ours.most_mb < MOST_RSS_MB and ours.idle_percent <= MOST_IDLE_PERCENT
    Console().print(
        f"bars: under {MOST_RSS_MB} MB, at most {MOST_IDLE_PERCENT} % of a core: {'kept' if kept else 'NOT kept'}"
    )


def _series(folder: Path, number: int) -> list[Path]:
    """A series that no server has seen, uncompressed."""
    folder.mkdir()
    image = dcmread(next(Path(str(files("node.demo") / "data" / "ct")).glob("*.dcm")))
    image.set_pixel_data(image.pixel_array, "MONOCHROME2", 12)
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SeriesInstanceUID = SeriesUID.derived("load", str(number))
    paths = []
    for index in range(SLICES):
        image.SOPInstanceUID = InstanceUID.derived("load", str(number), str(index))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.ImagePositionPatient = [*image.ImagePositionPatient[:2], 2.0 * index]
        paths.append(folder / f"{index:04d}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    return paths


def _celadon(folder: Path) -> Iterator[tuple[Peer, int]]:
    """The listener alone, on SQLite."""
    config, port = folder / "celadon.toml", free_port()
    config.write_text(f'data_dir = "{folder / "data"}"\n[dicom]\nport = {port}\nmin_free_gb = 0\n')
    Database(read_settings(config).url).upgrade()
    yield from _running(["-m", "node", "listen", "--config", str(config)], "CELADON", port)


def _stock(folder: Path) -> Iterator[tuple[Peer, int]]:
    """Pynetdicom's own server."""
    port = free_port()
    (folder / "stock").mkdir()
    # The called title is that which the raw peer uses.
    yield from _running(["-m", __name__, str(port), str(folder / "stock")], "CELADON", port)


def _running(arguments: Sequence[str], title: str, port: int) -> Iterator[tuple[Peer, int]]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, *arguments], env=_ENVIRONMENT, stdout=quiet, stderr=quiet)
    peer = Peer(AeTitle(title), _HOST, port)
    try:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not _answers(peer) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield peer, process.pid
    finally:
        process.terminate()
        process.wait(20)


def _answers(peer: Peer) -> bool:
    with suppress(Retryable):
        echo(peer, "BENCH", timeout_s=2)
        return True
    return False


def _serve_stock(port: int, folder: Path) -> None:
    """A storage SCP in the way that pynetdicom's documentation shows, with a sync before the answer."""

    def store(event: Event) -> int:
        with (folder / str(event.request.AffectedSOPInstanceUID)).open("wb") as file:
            file.write(event.encoded_dataset())
            file.flush()
            os.fsync(file.fileno())
        return 0x0000

    ae = AE()
    ae.maximum_associations = IDLE + ASSOCIATIONS
    ae.add_supported_context(VERIFICATION)
    ae.add_supported_context(_CT)
    ae.start_server((_HOST, port), evt_handlers=[(evt.EVT_C_STORE, store)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=_serve_stock.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    _serve_stock(asked.port, asked.folder)
