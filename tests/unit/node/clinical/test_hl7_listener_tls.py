"""TLS for HL7: both sides show a certificate, or nothing is heard."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from node.clinical.hl7_listener import Hl7Listener
from node.domain.clinical_intake import Accepted, Intake
from node.errors import UsageError
from node.settings import Hl7Settings, TlsSettings
from tests.servers import require

SCRIPT = Path(__file__).parents[4] / "deploy/tls/make-test-certificates.sh"
MESSAGE = b"\x0bMSH|^~\\&|LAB|HOSP|||20240506||ADT^A01|17|P|2.5.1\rPID|1||4711\x1c\r"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates made as the documentation says, and some of an authority that nobody knows."""
    require("openssl", shutil.which("openssl"))
    made = tmp_path_factory.mktemp("tls")
    for name in (made, made / "strangers"):
        subprocess.run(["sh", SCRIPT, name], check=True, capture_output=True)
    return made


def listener(folder: Path, intakes: list[Intake]) -> Hl7Listener:
    """A listener that asks for certificates."""

    def accept(intake: Intake) -> Accepted:
        intakes.append(intake)
        return Accepted()

    files = TlsSettings(certificate=folder / "node.pem", key=folder / "node.key", client_ca=folder / "ca.pem")
    made = Hl7Listener(Hl7Settings(port=0, tls=files), "", accept, lambda _: None)
    made.start()
    return made


def answered(port: int, folder: Path, certificate: str | None) -> bytes:
    """What a sender with that certificate is answered; nothing when it is hung up on."""
    client = ssl.create_default_context(cafile=folder / "ca.pem")
    client.check_hostname = False
    if certificate:
        client.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with client.wrap_socket(plain) as peer:
                peer.sendall(MESSAGE)
                return peer.recv(4096)
        except (ssl.SSLError, ConnectionError):
            return b""


def test_a_sender_with_a_certificate_is_answered_and_others_are_not(folder: Path) -> None:
    """Without one, or with one of an unknown authority, nothing is stored; the listener goes on."""
    intakes: list[Intake] = []
    serving = listener(folder, intakes)
    try:
        assert answered(serving.port, folder, None) == b""
        assert answered(serving.port, folder, "strangers/peer") == b""
        assert intakes == []
        assert b"MSA|AA|17" in answered(serving.port, folder, "peer")
    finally:
        serving.stop()
    assert len(intakes) == 1


def test_plain_text_at_a_tls_port_is_not_heard(folder: Path) -> None:
    """The handshake fails, and nothing is stored."""
    intakes: list[Intake] = []
    serving = listener(folder, intakes)
    try:
        with socket.create_connection(("127.0.0.1", serving.port), timeout=10) as peer:
            peer.sendall(MESSAGE)
            received = b""
            while chunk := _received(peer):
                received += chunk
    finally:
        serving.stop()
    assert b"MSA" not in received
    assert intakes == []


def _received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(4096)
    except ConnectionError:
        return b""


def test_a_certificate_that_cannot_be_used_is_wrong_usage(tmp_path: Path) -> None:
    """One line that names the setting."""
    missing = TlsSettings(certificate=tmp_path / "a", key=tmp_path / "b", client_ca=tmp_path / "c")
    with pytest.raises(UsageError, match=r"clinical\.hl7\.tls"):
        Hl7Listener(Hl7Settings(port=0, tls=missing), "", lambda _: Accepted(), lambda _: None)
