"""Whether the clinical sources work: each line says what is wrong and what helps."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.clinical_checks import Verdict, check_clinical, mend_of
from node.domain.audit import AuditAction, AuditEvent, AuditOutcome
from node.domain.clinical import ClinicalVariable, ValueReason
from node.domain.clinical_intake import Intake, RawValue, ReadValue, ReceivedValue
from node.domain.imaging import PatientIdentity
from node.settings import ClinicalSettings, FhirSettings, Hl7Settings, Settings
from node.store.session import Database
from node.stores import Stores
from tests import factories
from tests.fhir_server import Server, fhir_server


@pytest.fixture
def server() -> Iterator[Server]:
    """A FHIR server."""
    with fhir_server(Server()) as running:
        yield running


def checked(
    folder: Path, clinical: ClinicalSettings, *events: AuditEvent, intake: Intake | None = None
) -> dict[str, tuple[str, str, str]]:
    """Verdict, detail and mend of each check."""
    settings = Settings(data_dir=folder, clinical=clinical)
    Database(settings.url).upgrade()
    stores = Stores.open(settings)
    for event in events:
        stores.audit.record(event)
    if intake is not None:
        stores.clinical.accept(intake)
    return {one.name: (one.verdict.value, one.detail, one.mend) for one in check_clinical(settings, stores)}


def fhir(server: Server) -> ClinicalSettings:
    """Settings that ask the server."""
    return ClinicalSettings(fhir=FhirSettings(base_url=server.url, identifier_system="urn:x", attempts=1, within_s=2.0))


def test_what_is_not_configured_is_well(tmp_path: Path) -> None:
    """Sources that need nothing need no mend."""
    found = checked(tmp_path, ClinicalSettings())
    assert {verdict for verdict, _, _ in found.values()} == {Verdict.OK.value}
    assert list(found) == ["entered", "fhir", "hl7", "csv", "sr", "dicom-header"]


def test_a_fhir_server_says_what_it_is(tmp_path: Path, server: Server) -> None:
    """By its capability statement; another release is no R4."""
    server.answer_with = ("application/fhir+json", b'{"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}')
    verdict, detail, mend = checked(tmp_path / "one", fhir(server))["fhir"]
    assert (verdict, detail[:20], mend) == ("ok", "FHIR 4.0.1 answered ", "")
    server.answer_with = ("application/fhir+json", b'{"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"}')
    assert checked(tmp_path / "two", fhir(server))["fhir"][:2] == ("fail", "FHIR 3.0.2")


@pytest.mark.parametrize(
    ("status", "word"), [(401, "client_id"), (403, "scope"), (404, "base_url"), (503, "operators")]
)
def test_a_fhir_server_that_refuses_has_a_mend(tmp_path: Path, server: Server, status: int, word: str) -> None:
    """The code, and which setting or person helps."""
    server.fail_with = [status]
    verdict, detail, mend = checked(tmp_path, fhir(server))["fhir"]
    assert (verdict, detail) == ("fail", f"HTTP_{status}")
    assert word in mend


def test_an_hl7_listener_is_there_or_not(tmp_path: Path) -> None:
    """At the port of the settings, or the free one that a running node took."""
    listening = ClinicalSettings(hl7=Hl7Settings(port=0))
    assert checked(tmp_path / "one", listening)["hl7"][:2] == (
        "fail",
        "nobody listens; 0 messages in the last day, the last never",
    )
    with socket.create_server(("127.0.0.1", 0)) as peer:
        port = peer.getsockname()[1]
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "runtime.json").write_text(json.dumps({"hl7": port}))
        verdict, detail, _ = checked(tmp_path / "two", listening)["hl7"]
        assert (verdict, detail.split(";")[0]) == ("ok", f"127.0.0.1:{port} listens")
    verdict, _, mend = checked(tmp_path / "three", ClinicalSettings(hl7=Hl7Settings(port=port)))["hl7"]
    assert (verdict, mend) == ("fail", "celadon up, or celadon clinical listen")


def test_refused_messages_and_held_values_are_warnings(tmp_path: Path) -> None:
    """With the reasons, and where they are listed."""
    refused = factories.event(
        AuditAction.MESSAGE_REFUSED, outcome=AuditOutcome.REFUSED, details={"why": "TOO_LARGE", "address": "192.0.2.1"}
    )
    raw = RawValue(ClinicalVariable.CEA, "<0.6", "ng/mL")
    held = ReceivedValue(PatientIdentity("1"), ReadValue(raw, None, "", ValueReason.CENSORED), "hl7", "M")
    found = checked(tmp_path, ClinicalSettings(), refused, intake=Intake((held,)))
    assert found["messages"][:2] == ("warn", "refused in the last day: 1 times TOO_LARGE")
    assert found["held values"] == ("warn", "1 wait for a person", "celadon clinical held lists them")


def test_every_silence_that_is_known_has_a_mend() -> None:
    """Also with a kind of resource before the code."""
    for code in ("HTTP_401", "Condition HTTP_403", "HTTP_502", "TOKEN_HTTP_400", "TIMEOUT", "UNREACHABLE", "NOT_JSON"):
        assert mend_of(code)
    assert mend_of("SOMETHING_NEW") == ""
