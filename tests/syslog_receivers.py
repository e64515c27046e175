"""Receivers of syslog over TLS to send to: a small one that can misbehave, and a real rsyslog."""

import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.servers import require

SCRIPT = Path(__file__).parents[1] / "deploy/tls/make-test-certificates.sh"
_PATIENCE_S = 30.0


def certificates(folder: Path) -> Path:
    """A folder with an authority, a server and a client of its own."""
    subprocess.run(["sh", SCRIPT, folder], check=True, capture_output=True)
    return folder


def frames(received: bytes) -> list[bytes]:
    """The whole messages in a stream of RFC 5425; what is cut off at its end is left out."""
    found = []
    while received:
        length, space, rest = received.partition(b" ")
        if not space or len(rest) < int(length):
            break
        found.append(rest[: int(length)])
        received = rest[int(length) :]
    return found


class SmallReceiver:
    """Keeps what came, connection by connection; ``breaks_after``: bytes after which it resets the connection, once."""

    def __init__(self, folder: Path, port: int = 0, breaks_after: int | None = None) -> None:
        """Listening on a free port of loopback, or on ``port``."""
        self.messages: list[bytes] = []
        self._breaks_after = breaks_after
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "node.pem", folder / "node.key")
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        receiver = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                # A client that is not trusted, or that resets, ends its connection and nothing else.
                with suppress(OSError), context.wrap_socket(self.request, server_side=True) as secured:
                    receiver.take(secured)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def take(self, secured: ssl.SSLSocket) -> None:
        """Read one connection to its end."""
        received = b""
        while True:
            part = secured.recv(4096)
            if not part:
                break
            received += part
            if self._breaks_after is not None and len(received) > self._breaks_after:
                self._breaks_after = None
                # Reset at once: what was not read is lost, and so is what was read and never written down.
                secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                secured.close()
                return
        self.messages += frames(received)
        secured.unwrap()

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def rsyslog(folder: Path, keys: Path, port: int) -> Iterator[Path]:
    """A running rsyslog that takes RFC 5425 on ``port``: gives the file with each raw message on a line."""
    program = require("rsyslog", shutil.which("rsyslogd") or shutil.which("/usr/sbin/rsyslogd"))
    module = Path("/usr/lib")
    require("rsyslog's OpenSSL driver", next(module.glob("*/rsyslog/lmnsd_ossl.so"), None))
    folder.mkdir(parents=True, exist_ok=True)
    output, config = folder / "messages", folder / "rsyslog.conf"
    config.write_text(
        f"""global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{keys}/ca.pem" defaultNetstreamDriverCertFile="{keys}/node.pem"
  defaultNetstreamDriverKeyFile="{keys}/node.key")
module(load="imtcp" streamdriver.name="ossl" streamdriver.mode="1" streamdriver.authmode="x509/certvalid")
template(name="raw" type="string" string="%rawmsg%\\n")
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="keep")
ruleset(name="keep") {{ action(type="omfile" file="{output}" template="raw" flushOnTXEnd="on") }}
"""
    )
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [program, "-n", "-f", config, "-i", folder / "pid"], stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(port, process)
        yield output
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("rsyslog does not listen")
