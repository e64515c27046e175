"""A private PACS for the demonstration and the tests: Orthanc where there is one, else the project's own small one.

Either way it takes what it is sent, routes originals to Celadon, answers queries and gives back what came.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pydicom.filereader import read_file_meta_info

from node.dicom.peer import Peer
from node.dicom.sending import echo, send_files
from node.dicom.small_pacs import SmallPacs
from node.domain.identifiers import AeTitle
from node.errors import Fatal, Retryable

AE_TITLE: Final = AeTitle("DEMOPACS")
SCANNER_AE: Final = AeTitle("SCANNER")

_LOOPBACK: Final = "127.0.0.1"
_NOT_FOUND: Final = 404
_READY_WITHIN_S: Final = 20.0
_STOPS_WITHIN_S: Final = 15.0
_ORTHANC_PLACES: Final = ("Orthanc", "/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc")
_PLUGIN_PLACES: Final = (Path("/usr/share/orthanc/plugins"), Path("/usr/local/share/orthanc/plugins"))
_ROUTING_SCRIPT: Final = Path(__file__).resolve().parents[2] / "deploy" / "orthanc" / "celadon-routing.lua"

# Without it, the kernel holds back the last small packet of each message for 40 ms on loopback.
_DCMTK_ENVIRONMENT: Final = {"TCP_NODELAY": "1"}


# What storescu is told to propose for files of a transfer syntax.
_STORESCU_PROPOSALS: Final = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.5": "-xr",
}


class _Router(Protocol):
    """What can be told where originals go."""

    def route_to(self, peer: Peer | None) -> None: ...


@dataclass(frozen=True, slots=True)
class DemoPacs:
    """A running PACS on loopback."""

    kind: str
    """``Orthanc`` or ``small PACS``."""
    ae_title: AeTitle
    host: str
    port: int
    web_url: str | None
    """Where a person can look at it; None when it has no web pages."""
    folder: Path
    """Its temporary folder, gone when it stops."""
    _router: _Router

    @property
    def peer(self) -> Peer:
        """The PACS as others call it."""
        return Peer(self.ae_title, self.host, self.port)

    def route_to(self, celadon: Peer | None) -> None:
        """Send originals that arrive from now on to ``celadon``; to nobody when it is None."""
        self._router.route_to(celadon)

    def store(self, paths: Sequence[Path]) -> None:
        """Send files to the PACS as a scanner would, compressed as they are; Retryable when not all were taken.

        DCMTK's ``storescu`` sends what it can where it is installed, so that the sender is not our own code.
        """
        program = shutil.which("storescu")
        left = list(paths) if program is None else _store_with_dcmtk(program, self.peer, paths)
        failed = [result for result in send_files(left, self.peer, SCANNER_AE) if not result.is_stored]
        if failed:
            raise Retryable(f"{self.kind} took {len(paths) - len(failed)} of {len(paths)} files: {failed[0].detail}")


@contextmanager
def start_pacs(celadon: Peer | None = None, *, prefer_orthanc: bool = True) -> Iterator[DemoPacs]:
    """A PACS for the length of a ``with`` block, routing to ``celadon`` (or later: ``DemoPacs.route_to``).

    Orthanc is used when it is installed and ``prefer_orthanc``. Raises Fatal when it does not start.
    """
    program = orthanc_program() if prefer_orthanc and _ROUTING_SCRIPT.is_file() else None
    with tempfile.TemporaryDirectory(prefix="celadon-demo-pacs-") as name:
        running = _small(Path(name)) if program is None else _orthanc(program, Path(name))
        with running as pacs:
            pacs.route_to(celadon)
            yield pacs


def orthanc_program() -> str | None:
    """Where Orthanc is installed; None when it is not."""
    return next((found for found in map(shutil.which, _ORTHANC_PLACES) if found), None)


@contextmanager
def _small(folder: Path) -> Iterator[DemoPacs]:
    """The project's own PACS, inside this process."""
    with SmallPacs(folder / "files", ae_title=AE_TITLE, host=_LOOPBACK) as small:
        yield DemoPacs("small PACS", AE_TITLE, _LOOPBACK, small.port, None, folder, small)


@contextmanager
def _orthanc(program: str, folder: Path) -> Iterator[DemoPacs]:
    """A private Orthanc process with the routing script that deploy/orthanc gives to administrators."""
    dicom_port, web_port = _free_ports(2)
    web_url = f"http://{_LOOPBACK}:{web_port}"
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(_configuration(folder, dicom_port, web_port)), encoding="utf-8")
    log = (folder / "orthanc.log").open("wb")
    process = subprocess.Popen(  # noqa: S603  (a fixed program with a file that we wrote)
        [program, str(configuration)],
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=os.environ | _DCMTK_ENVIRONMENT,
    )
    pacs = DemoPacs("Orthanc", AE_TITLE, _LOOPBACK, dicom_port, f"{web_url}/app/explorer.html", folder, _Rest(web_url))
    try:
        _wait_until_ready(process, pacs, folder / "orthanc.log")
        yield pacs
    finally:
        _stop(process)
        log.close()


def _configuration(folder: Path, dicom_port: int, web_port: int) -> dict[str, Any]:
    """As deploy/orthanc/orthanc.json, but open to every caller: this one lives on loopback for a minute."""
    storage = str(folder / "storage")
    return {
        "Name": "Celadon demonstration",
        "StorageDirectory": storage,
        "IndexDirectory": storage,
        "DicomAet": AE_TITLE,
        "DicomPort": dicom_port,
        "HttpPort": web_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(place) for place in _PLUGIN_PLACES if place.is_dir()],
        "LuaScripts": [str(_ROUTING_SCRIPT)],
        "DicomModalities": {},
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "UnknownSopClassAccepted": True,
        "DicomAssociationCloseDelay": 1,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "SaveJobs": False,
        "StableAge": 5,
    }


def _store_with_dcmtk(program: str, peer: Peer, paths: Sequence[Path]) -> list[Path]:
    """Send with ``storescu`` what it can propose, and give back the rest; Retryable when the PACS refuses."""
    by_syntax: dict[str, list[Path]] = {}
    for path in paths:
        by_syntax.setdefault(str(read_file_meta_info(path).TransferSyntaxUID), []).append(path)
    for syntax in by_syntax.keys() & _STORESCU_PROPOSALS.keys():
        address = ["-aet", SCANNER_AE, "-aec", peer.ae_title, peer.host, str(peer.port)]
        command = [program, "-R", _STORESCU_PROPOSALS[syntax], *address, *map(str, by_syntax.pop(syntax))]
        sent = subprocess.run(  # noqa: S603  (a fixed program, our own paths)
            command, env=os.environ | _DCMTK_ENVIRONMENT, capture_output=True, check=False, timeout=300
        )
        if sent.returncode != 0:
            raise Retryable(f"storescu: {sent.stderr.decode(errors='replace')[-500:]}")
    return [path for left in by_syntax.values() for path in left]


@dataclass(frozen=True, slots=True)
class _Rest:
    """Orthanc's REST interface, as far as routing needs it."""

    url: str

    def route_to(self, peer: Peer | None) -> None:
        """Name Celadon to Orthanc, or forget it; Fatal when Orthanc does not take it."""
        body = None
        if peer is not None:
            body = json.dumps(
                {"AET": peer.ae_title, "Host": peer.host, "Port": peer.port, "AllowTranscoding": False}
            ).encode()
        request = urllib.request.Request(  # noqa: S310  (our own loopback address)
            f"{self.url}/modalities/celadon", data=body, method="PUT" if body else "DELETE"
        )
        try:
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        except urllib.error.HTTPError as exc:
            if body is not None or exc.code != _NOT_FOUND:
                raise Fatal(f"Orthanc did not take the route to Celadon: {exc}") from exc


def _wait_until_ready(process: subprocess.Popen[bytes], pacs: DemoPacs, log: Path) -> None:
    """Return when Orthanc answers a C-ECHO and its web server listens; Fatal with its last words when it does not."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        if _is_ready(pacs):
            return
        time.sleep(0.1)
    last_words = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise Fatal(f"Orthanc did not start within {_READY_WITHIN_S:.0f} s:\n{last_words}")


def _is_ready(pacs: DemoPacs) -> bool:
    try:
        urllib.request.urlopen(str(pacs.web_url), timeout=1).close()  # noqa: S310  (our own loopback address)
        echo(pacs.peer, SCANNER_AE, timeout_s=2)
    except (OSError, Retryable):
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process that we started, and wait for it."""
    process.terminate()
    try:
        process.wait(_STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server((_LOOPBACK, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
