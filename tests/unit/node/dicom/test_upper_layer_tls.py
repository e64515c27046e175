"""TLS at the door: who is let in, and that a handshake holds up nobody."""

import shutil
import ssl
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pynetdicom import AE

from node.dicom.tls import CIPHER_SUITES, Certificates, server_context
from node.dicom.upper_layer import Limits, UpperLayerServer
from node.errors import UsageError
from tests.factories import ct_slice, write
from tests.raw_peer import HOST, NODE, VERIFICATION, RawPeer, Recorder, serving, store
from tests.servers import require

SCRIPT = Path(__file__).parents[4] / "deploy/tls/make-test-certificates.sh"
IMPATIENT = Limits(handshake_s=0.3, artim_s=0.3, closing_s=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates made as the documentation says, and some of an authority that nobody knows."""
    script = ["sh", SCRIPT]
    require("openssl", shutil.which("openssl"))
    made = tmp_path_factory.mktemp("tls")
    for name in (made, made / "strangers"):
        subprocess.run([*script, name], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def context(folder: Path) -> ssl.SSLContext:
    """The server's."""
    return server_context(Certificates(folder / "node.pem", folder / "node.key", folder / "ca.pem"))


def _client(folder: Path, certificate: str | None = "peer", **settings: object) -> ssl.SSLContext:
    client = ssl.create_default_context(cafile=folder / "ca.pem")
    client.check_hostname = False
    if certificate:
        client.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    for name, value in settings.items():
        setattr(client, name, value)
    return client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_peer_with_a_certificate_is_served(folder: Path, context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    """Over TLS 1.2 and 1.3 an object is stored as over a plain connection, and the release is answered."""
    user = Recorder()
    data = bytes(range(256)) * 4000
    client = _client(folder, maximum_version=version)
    with serving(user, tls=context) as server, RawPeer(server.port, tls=client) as peer:
        peer.associate().send(store(data))
        assert peer.status() == 0
        peer.release()
    assert user.stored[0].data_set == data


@pytest.mark.parametrize("certificate", [None, "strangers/peer"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_peer_without_a_known_certificate_is_not(
    folder: Path, context: ssl.SSLContext, certificate: str | None, version: ssl.TLSVersion
) -> None:
    """Without a certificate, or with one that no known authority signed, there is no association."""
    user = Recorder()
    client = _client(folder, certificate, maximum_version=version)
    with serving(user, tls=context) as server, pytest.raises((ssl.SSLError, OSError, AssertionError)):
        RawPeer(server.port, tls=client).associate()
    assert not user.ended, "there was an association"


def test_old_tls_and_other_suites_are_refused(folder: Path, context: ssl.SSLContext) -> None:
    """TLS 1.1 and suites without authenticated encryption or ephemeral keys are not agreed to."""
    old = _client(folder)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():  # Python, too, says that it is old
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    weak = _client(folder, maximum_version=ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:AES128-GCM-SHA256")
    with serving(tls=context) as server:
        for client in (old, weak):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                RawPeer(server.port, tls=client)


def test_only_named_suites_are_offered(context: ssl.SSLContext) -> None:
    """The suites of TLS 1.2 are those of the table; OpenSSL adds those of TLS 1.3 alone."""
    offered = {suite["name"] for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"}
    assert offered == set(CIPHER_SUITES)


def test_silent_clients_hold_up_nobody(folder: Path, context: ssl.SSLContext) -> None:
    """While others do not begin their handshake, or stop in it, a peer is served."""
    client = _client(folder)
    with serving(limits=replace(IMPATIENT, handshake_s=10.0), tls=context) as server:
        silent = [RawPeer(server.port) for _ in range(10)]
        silent[0].send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        with RawPeer(server.port, tls=client) as peer:
            assert peer.associate().echo() == 0
        assert server.connection_count >= 10
        for one in silent:
            one.socket.close()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01", b"\x01\x00\x00\x00\x00\x10" + bytes(16)])
def test_a_handshake_has_a_deadline(context: ssl.SSLContext, sent: bytes) -> None:
    """Silence, half a handshake or plain DICOM end the connection."""
    with serving(limits=IMPATIENT, tls=context) as server, RawPeer(server.port) as peer:
        peer.send(sent)
        with suppress(ConnectionError):
            while peer.socket.recv(4096):
                pass
        _until_empty(server)


def _until_empty(server: UpperLayerServer) -> None:
    deadline = time.monotonic() + 10.0
    while server.connection_count:
        assert time.monotonic() < deadline, "the connection is still there"
        time.sleep(0.01)


def test_deadlines_hold_within_tls(folder: Path, context: ssl.SSLContext) -> None:
    """After the handshake the same deadlines hold: a silent peer is closed, half a PDU aborted."""
    limits = replace(IMPATIENT, pdu_s=0.3)
    with (
        serving(limits=limits, tls=context) as server,
        RawPeer(server.port, tls=_client(folder)) as silent,
        RawPeer(server.port, tls=_client(folder)) as half,
    ):
        half.associate().send(store(bytes(1000))[:-10])
        assert half.abort_reason() == (2, 0)
        assert silent.answer() is None


def test_stopping_ends_associations_over_tls(folder: Path, context: ssl.SSLContext) -> None:
    """A server that stops leaves no association over TLS behind either."""
    user = Recorder()
    with serving(user, tls=context) as server, RawPeer(server.port, tls=_client(folder)) as peer:
        peer.associate()
        server.stop(0.0)
        assert len(user.ended) == 1
        assert server.connection_count == 0


def test_unusable_files_are_named(folder: Path) -> None:
    """A missing file, or a key of another certificate, is wrong usage, said in one line."""
    good = Certificates(folder / "node.pem", folder / "node.key", folder / "ca.pem")
    for bad in (replace(good, chain=folder / "none.pem"), replace(good, key=folder / "peer.key")):
        with pytest.raises(UsageError, match="TLS"):
            server_context(bad)


def test_pynetdicom_speaks_with_it(folder: Path, context: ssl.SSLContext) -> None:
    """Association, echo and release by pynetdicom over TLS."""
    entity = AE(ae_title="SCANNER")
    entity.add_requested_context(VERIFICATION)
    with serving(tls=context) as server:
        association = entity.associate(HOST, server.port, ae_title=NODE, tls_args=(_client(folder), "localhost"))
        assert association.is_established
        assert association.send_c_echo().Status == 0
        association.release()
        assert association.is_released


def test_dcmtk_speaks_with_it(folder: Path, context: ssl.SSLContext, tmp_path: Path) -> None:
    """DCMTK's storescu with a certificate stores; without one it gets no association."""
    program = require("DCMTK", shutil.which("storescu"))
    (file,) = write([ct_slice(rows=512, columns=512)], tmp_path / "ct")
    user = Recorder()
    with serving(user, tls=context) as server:
        where = ["-aec", NODE, "localhost", str(server.port), file]
        trusted = ["+cf", folder / "ca.pem"]
        known = [program, "+tls", folder / "peer.key", folder / "peer.pem", *trusted, *where]
        subprocess.run(known, check=True, timeout=60)
        assert len(user.stored) == 1
        assert subprocess.run([program, "+tla", *trusted, *where], check=False, capture_output=True).returncode != 0
        assert len(user.stored) == 1
