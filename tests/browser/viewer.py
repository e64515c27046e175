"""OHIF beside an Orthanc: its prebuilt site from the npm package, served with Orthanc's DICOMweb on the same origin."""

import http.client
import mimetypes
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

ROOT: Final = Path(__file__).parents[2]
OHIF_VERSION: Final = "3.13.2"
PACKAGE: Final = ROOT / "build" / "ohif" / f"ohif-app-{OHIF_VERSION}.tgz"
"""What ``tests/install_servers.sh`` fetched."""

_PROXIED: Final = ("/dicom-web", "/wado")
_CONFIGURATION: Final = """
window.config = {
  routerBasename: '/', extensions: [], modes: [], showStudyList: true, maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false, showCPUFallbackMessage: false, showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true, investigationalUseDialog: { option: 'never' },
  defaultDataSourceName: 'dicomweb',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'dicomweb',
    configuration: {
      friendlyName: 'Orthanc', name: 'orthanc', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web', wadoUriRoot: '/wado',
      imageRendering: 'wadors', thumbnailRendering: 'wadors', enableStudyLazyLoad: true, supportsFuzzyMatching: false,
      supportsWildcard: true, qidoSupportsIncludeField: false, omitQuotationForMultipartRequest: true,
      bulkDataURI: { enabled: true, relativeResolution: 'studies' },
    },
  }],
};
"""


def unpacked(folder: Path) -> Path:
    """The site, unpacked into ``folder``."""
    with tarfile.open(PACKAGE) as package:
        package.extractall(folder, filter="data")
    return folder / "package" / "dist"


@contextmanager
def serving(site: Path, archive_port: int) -> Iterator[str]:
    """OHIF at the URL that is given, over the Orthanc on ``archive_port``."""
    handler = type("Handler", (_Handler,), {"site": site, "archive_port": archive_port})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request: a file of the site, its start page, or what Orthanc answers."""

    protocol_version = "HTTP/1.1"
    site: Path
    archive_port: int

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer it."""
        path = urlsplit(self.path).path
        if path.startswith(_PROXIED):
            self._proxy()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", _CONFIGURATION.encode())
        else:
            file = (self.site / unquote(path).lstrip("/")).resolve()
            is_there = file.is_relative_to(self.site.resolve()) and file.is_file()
            file = file if is_there else self.site / "index.html"
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self._answer(200, kind, file.read_bytes())

    def _proxy(self) -> None:
        # The Host header goes through: Orthanc builds the addresses of bulk data from it.
        connection = http.client.HTTPConnection("127.0.0.1", self.archive_port, timeout=60)
        dropped = ("connection", "accept-encoding")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        connection.request("GET", self.path, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        self._answer(answer.status, answer.getheader("Content-Type", "application/octet-stream"), content)
        connection.close()

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
