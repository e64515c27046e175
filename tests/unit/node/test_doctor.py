"""The doctor: each thing that results depend on is looked at, and what is wrong is said with what helps."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.clinical_checks import Check, Verdict
from node.console import show_examination
from node.dicom.small_pacs import SmallPacs
from node.doctor import examine
from node.settings import Settings
from node.store.session import Database
from node.stores import Stores
from tests.factories import SERIES, ct_slices, received
from tests.servers import running_redis, running_s3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a current database, on a machine without GPUs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Database(Settings(data_dir=tmp_path).url).upgrade()
    return tmp_path


def examined(folder: Path, **settings: object) -> dict[str, Check]:
    """What the doctor finds, by name."""
    made = Settings.model_validate({"data_dir": folder, "dicom": {"min_free_gb": 0.001}, **settings})
    return {check.name: check for check in examine(made)}


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port where nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def certificate(path: Path, begins: timedelta, ends: timedelta) -> Path:
    """A certificate for those days, counted from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "celadon.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_fresh_node_is_well_and_is_told_what_it_lacks(folder: Path) -> None:
    """Nothing fails; that results go nowhere is worth a word."""
    found = examined(folder)
    assert {name for name, check in found.items() if check.verdict is not Verdict.OK} == {"destinations"}
    assert {"database", "clock", "disk", "model porcelain", "model gtrnet", "broker", "gpus"} <= found.keys()


def test_a_database_without_schema_is_to_be_upgraded(tmp_path: Path) -> None:
    """The mend is the command; what needs the database is not asked."""
    found = examined(tmp_path)
    assert (found["database"].verdict, found["database"].mend) == (Verdict.FAIL, "celadon db upgrade")
    assert "clock" not in found


def test_a_full_disk_fails(folder: Path) -> None:
    """Before the first image is refused."""
    assert examined(folder, dicom={"min_free_gb": 10**9})["disk"].verdict is Verdict.FAIL


def test_a_shared_folder_for_blobs_has_a_line_of_its_own(folder: Path, tmp_path: Path) -> None:
    """The disk of ``data_dir`` then keeps nobody from sending."""
    found = examined(folder, blobs={"folder": str(tmp_path)}, dicom={"min_free_gb": 1e6})
    assert (found["blobs"].verdict, found["disk"].verdict) == (Verdict.FAIL, Verdict.OK)
    found = examined(folder, blobs={"folder": str(tmp_path / "away")})
    assert found["blobs"].verdict is Verdict.FAIL
    assert "blobs.folder" in found["blobs"].mend


def test_a_bucket_is_written_and_read_and_said_to_be_away(folder: Path) -> None:
    """Without a word of what opens it; the rest is looked at all the same."""
    with running_s3() as server:
        there = {"s3": {**server.settings, "timeout_s": 1.0}}
        assert examined(folder, blobs=there)["blobs"].verdict is Verdict.OK
        server.kill()
        found = examined(folder, blobs=there)
    assert (found["blobs"].verdict, found["clock"].verdict) == (Verdict.FAIL, Verdict.OK)
    assert "0xA700" in found["blobs"].mend
    assert server.secret_key not in str(found["blobs"])


def test_a_bucket_whose_credentials_cannot_be_read_fails(folder: Path, tmp_path: Path) -> None:
    """Nothing that needs the store can be asked then."""
    found = examined(folder, blobs={"s3": {"bucket": "images", "credentials": str(tmp_path / "nothing")}})
    assert found["blobs"].verdict is Verdict.FAIL
    assert "clock" not in found


def test_a_bundle_that_is_not_there_fails(folder: Path) -> None:
    """As the worker would, but now."""
    check = examined(folder, models={"gtrnet": "site-a"})["model gtrnet"]
    assert check.verdict is Verdict.FAIL
    assert "site-a" in check.detail


def test_an_archive_is_asked_by_c_echo(folder: Path, nobody: int) -> None:
    """One that does not answer fails, with the settings to look at."""
    with SmallPacs(folder / "pacs", ae_title="ARCHIVE") as pacs:
        here = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": pacs.port}
        gone = {"ae_title": "GONE", "host": "127.0.0.1", "port": nobody}
        found = examined(folder, pacs={"here": here, "gone": gone | {"commitment": True}})
    assert found["pacs.here"].verdict is Verdict.OK
    assert found["pacs.gone"].verdict is found["pacs.gone commitment"].verdict is Verdict.FAIL
    assert "ae_title of pacs.gone" in found["pacs.gone"].mend


def test_a_folder_that_is_not_mounted_fails(folder: Path) -> None:
    """Results wait for it."""
    found = examined(folder, pacs={"share": {"folder": str(folder / "nowhere")}, "here": {"folder": str(folder)}})
    assert (found["pacs.share"].verdict, found["pacs.here"].verdict) == (Verdict.FAIL, Verdict.OK)


@pytest.mark.parametrize(
    ("begins", "ends", "verdict"),
    [(-1, 365, Verdict.OK), (-1, 20, Verdict.WARN), (-2, -1, Verdict.FAIL), (1, 365, Verdict.FAIL)],
    ids=["good", "ends soon", "over", "not yet"],
)
def test_a_certificate_is_looked_at_before_it_ends(folder: Path, begins: int, ends: int, verdict: Verdict) -> None:
    """A month before: reissuing one takes a hospital that long."""
    file = certificate(folder / "node.pem", timedelta(days=begins), timedelta(days=ends))
    found = examined(folder, web={"tls": {"certificate": str(file), "key": str(file)}})
    assert found["web.tls.certificate"].verdict is verdict


def test_every_certificate_that_a_setting_names_is_looked_at(folder: Path) -> None:
    """One that ends unnoticed keeps values or audit messages from coming."""
    file = str(certificate(folder / "node.pem", timedelta(days=-2), timedelta(days=-1)))
    mutual = {"certificate": file, "key": file, "client_ca": file}
    found = examined(
        folder,
        clinical={"hl7": {"port": 0, "tls": mutual}},
        audit={"syslog": {"host": "audit.test", "tls": {"ca": file, "certificate": file, "key": file}}},
    )
    for name in ("clinical.hl7.tls.certificate", "clinical.hl7.tls.client_ca", "audit.syslog.tls.ca"):
        assert found[name].verdict is Verdict.FAIL, name
    assert found["audit.syslog.tls.certificate"].verdict is Verdict.FAIL


def test_a_file_that_is_no_certificate_fails(folder: Path) -> None:
    """The file is named."""
    found = examined(
        folder, web={"tls": {"certificate": str(folder / "celadon.db"), "key": str(folder / "celadon.db")}}
    )
    assert "holds no certificate" in found["web.tls.certificate"].detail


def test_a_broker_that_is_gone_is_a_warning_without_its_password(folder: Path, nobody: int) -> None:
    """Everything goes on, a second later."""
    check = examined(folder, broker_url=f"redis://:hush@127.0.0.1:{nobody}/0")["broker"]
    assert check.verdict is Verdict.WARN
    assert "hush" not in check.detail + check.mend
    with running_redis() as server:
        assert examined(folder, broker_url=server.url)["broker"].verdict is Verdict.OK


def test_gpus_that_are_wanted_and_not_there_are_a_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU does their work, and somebody should know."""
    assert examined(folder, workers={"gpu": 1})["gpus"].verdict is Verdict.WARN
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")
    assert examined(folder, workers={"gpu": 1})["gpus"].verdict is Verdict.OK


def test_what_waits_for_long_is_a_warning_with_the_command(folder: Path) -> None:
    """Nobody works on its queue."""
    stores = Stores.open(Settings(data_dir=folder))
    for one in ct_slices(2):
        stores.inbox.accept(received(one))
    assert stores.jobs.complete(SERIES, "test", 2)
    assert "waiting" not in examined(folder)
    with stores.database.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET completed_at = '2020-01-01 00:00:00.000000'")
    found = examined(folder)
    assert found["queue cpu"].detail == "1 wait"
    assert "celadon work" in found["waiting"].mend


def test_the_exit_code_is_that_of_the_worst_and_a_document_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings are no failure."""
    warned, failed = Check("a", Verdict.WARN, "b", "c"), Check("d", Verdict.FAIL, "e", "f")
    assert show_examination([warned], as_json=False) == 0
    capsys.readouterr()
    assert show_examination([warned, failed], as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["checks"][1] == {"name": "d", "verdict": "fail", "detail": "e", "mend": "f"}
    assert not document["well"]
