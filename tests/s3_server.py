"""An S3 server as a process of its own: moto over HTTP, which forgets nothing when it is killed.

``python -m tests.s3_server PORT JOURNAL BUCKET``: what changes anything is written to ``JOURNAL`` before it is done,
and done again when a server starts with that journal. A request that was cut, or whose bytes are not those of its
checksum, is refused whole, as by Amazon. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""

import base64
import hashlib
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app

Answer = Iterable[bytes]
_CHANGES: Final = ("PUT", "POST", "DELETE")
_KEPT: Final = (
    "REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "RAW_URI", "REQUEST_URI",
)  # fmt: skip


class Journalled:
    """A WSGI application whose changes outlive its process."""

    def __init__(self, application: Callable[..., Answer], journal: Path) -> None:
        """Do again what ``journal`` says."""
        self._application = application
        self._lock = threading.Lock()
        for line in journal.read_bytes().splitlines() if journal.exists() else ():
            run_wsgi_app(application, _environment(json.loads(line)))
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
        """Answer a request."""
        if environ["REQUEST_METHOD"] not in _CHANGES:
            return self._application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if not _is_whole(environ, body):
            start_response("400 Bad Request", [("Content-Type", "application/xml")])
            return [b"<Error><Code>BadDigest</Code><Message>not what was announced</Message></Error>"]
        environ["wsgi.input"] = io.BytesIO(body)
        kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith("HTTP_")}
        line = json.dumps({"environ": kept, "body": base64.b64encode(body).decode()}).encode() + b"\n"
        with self._lock:
            # In one go: a kill leaves a whole line or none.
            os.write(self._journal, line)
            return self._application(environ, start_response)


def _is_whole(environ: dict[str, Any], body: bytes) -> bool:
    announced = environ.get("HTTP_X_AMZ_CHECKSUM_SHA256")
    if len(body) != int(environ.get("CONTENT_LENGTH") or 0):
        return False
    return announced is None or base64.b64decode(announced) == hashlib.sha256(body).digest()


def _environment(entry: dict[str, Any]) -> dict[str, Any]:
    more = {
        "wsgi.input": io.BytesIO(base64.b64decode(entry["body"])), "wsgi.errors": sys.stderr, "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http", "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_NAME": "",
    }  # fmt: skip
    made: dict[str, Any] = entry["environ"] | more
    return made


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


def main() -> None:
    """Serve until killed."""
    port, journal, bucket = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    application = Journalled(DomainDispatcherApplication(create_backend_app), journal)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=_Quiet)
    made = {"REQUEST_METHOD": "PUT", "PATH_INFO": f"/{bucket}", "HTTP_HOST": f"127.0.0.1:{port}"}
    if not journal.stat().st_size:
        run_wsgi_app(application, _environment({"environ": made, "body": ""}))
    server.serve_forever()


if __name__ == "__main__":
    main()
