"""Laboratory results by HL7 and FHIR, images by DICOM: what was known is in the report, with source and date."""

import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from node.demo.pacs import DemoPacs, orthanc_program, start_pacs
from node.demo.private_node import PrivateNode
from node.demo.series import DemoCase, make_case
from node.dicom.query import fetch, find_series
from node.domain.lifecycle import JobState, Step
from tests.engine import start_node
from tests.fhir_server import Server, fhir_server
from tests.servers import require
from tests.waiting import wait_ended

ME = "ACCEPTANCE"
SYSTEM = "urn:oid:1.2.3"


@dataclass(frozen=True)
class Hospital:
    """A PACS, a FHIR server and a node that know each other."""

    pacs: DemoPacs
    fhir: Server
    node: PrivateNode

    @property
    def hl7_port(self) -> int:
        """Where the node listens for HL7."""
        return int(json.loads(self.node.settings.runtime_file.read_text())["hl7"])


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """Everything on free ports."""
    require("Orthanc", orthanc_program())
    require("storescu", shutil.which("storescu"))
    with start_pacs() as pacs, fhir_server(Server()) as fhir:
        asked = f'[clinical.fhir]\nbase_url = "{fhir.url}"\nidentifier_system = "{SYSTEM}"\n'
        extra = "[clinical.hl7]\nport = 0\n" + asked
        with start_node(tmp_path_factory.mktemp("node"), pacs=pacs.peer, extra=extra) as node:
            pacs.route_to(node.peer)
            yield Hospital(pacs, fhir, node)


def ask(port: int, content: str) -> str:
    """Send an HL7 message; gives the acknowledgement code."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        peer.sendall(b"\x0b" + content.encode() + b"\x1c\r")
        reply = b""
        while not reply.endswith(b"\x1c\r"):
            chunk = peer.recv(4096)
            assert chunk, "the connection was closed instead of answered"
            reply += chunk
    return reply.decode().split("MSA|")[1].split("|")[0]


def height_message(image: Dataset, control_id: str, metres: float, status: str = "F") -> str:
    """A height that was measured two days before the study, of the patient of ``image``."""
    day = f"{int(image.StudyDate) - 2}"
    return (
        f"MSH|^~\\&|LAB|HOSP|CELADON|NODE|{day}||ORU^R01|{control_id}|P|2.5.1\r"
        f"PID|1||{image.PatientID}||{image.PatientName}||{image.PatientBirthDate}|{image.PatientSex}\r"
        f"OBR|1||ORDER-1||||{day}\rOBX|1|NM|8302-2^Body height^LN||{metres * 100}|cm|||||{status}\r"
    )


def weight_on_fhir(hospital: Hospital, image: Dataset, kilograms: float) -> None:
    """The FHIR server knows the patient and a weight of the day before the study."""
    born, sex = str(image.PatientBirthDate), {"M": "male", "F": "female"}[image.PatientSex]
    hospital.fhir.add(
        {
            "resourceType": "Patient",
            "id": "p1",
            "identifier": [{"system": SYSTEM, "value": str(image.PatientID)}],
            "birthDate": f"{born[:4]}-{born[4:6]}-{born[6:]}",
            "gender": sex,
        }
    )
    day = str(int(image.StudyDate) - 1)
    hospital.fhir.add(
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
            "subject": {"reference": "Patient/p1"},
            "effectiveDateTime": f"{day[:4]}-{day[4:6]}-{day[6:]}",
            "valueQuantity": {"value": kilograms, "system": "http://unitsofmeasure.org", "code": "kg"},
        }
    )


def report_texts(hospital: Hospital, case: DemoCase, folder: Path) -> list[str]:
    """Every text of the newest structured report in the study, lower case."""
    found = find_series(hospital.pacs.peer, ME, case.study_uid)
    paths = [
        path
        for one in found
        if one.modality == "SR"
        for path in fetch(hospital.pacs.peer, ME, folder, case.study_uid, one.series_uid)
    ]
    newest = max((dcmread(path) for path in paths), key=lambda one: (one.ContentDate, one.ContentTime))
    return [text.lower() for text in _texts(newest)]


def _texts(item: Dataset) -> Iterator[str]:
    for child in item.get("ContentSequence", ()):
        yield str(child.get("TextValue", ""))
        yield from _texts(child)


def test_values_from_everywhere_are_in_the_report_and_a_later_one_replaces_it(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Height by HL7, weight by FHIR, age from the images; a corrected height makes a version that supersedes."""
    case = make_case("pancreas", tmp_path / "case", "clinical")
    image = dcmread(case.ct_paths[0], stop_before_pixels=True)
    weight_on_fhir(hospital, image, 80.0)
    assert ask(hospital.hl7_port, height_message(image, "M1", 1.60)) == "AA"
    hospital.pacs.store([case.seg_path])
    hospital.pacs.store(case.ct_paths)
    stores = hospital.node.stores
    first = wait_ended(stores, case.series_uid)
    assert first.state is JobState.DONE
    day = f"{image.StudyDate[:4]}-{image.StudyDate[4:6]}-{int(image.StudyDate[6:]) - 2:02}"
    texts = report_texts(hospital, case, tmp_path / "first")
    assert any(text.startswith("age: ") and "dicom-header" in text for text in texts)
    assert f"bmi: 31.2 kg/m2 (derived from fhir/hl7, {day})" in texts
    assert ask(hospital.hl7_port, height_message(image, "M2", 1.80, status="C")) == "AA"
    second = wait_ended(stores, case.series_uid, version=2)
    assert (second.state, second.supersedes) == (JobState.DONE, first.job_id)
    assert f"bmi: 24.7 kg/m2 (derived from fhir/hl7, {day})" in report_texts(hospital, case, tmp_path / "second")
    assert hospital.fhir.problems == []


def test_a_fhir_server_in_trouble_stops_nobody(hospital: Hospital, tmp_path: Path) -> None:
    """The report is made without it, and says so."""
    hospital.fhir.fail_with = [500] * 3
    case = make_case("pancreas", tmp_path / "case", "trouble")
    hospital.pacs.store([case.seg_path])
    hospital.pacs.store(case.ct_paths)
    job = wait_ended(hospital.node.stores, case.series_uid)
    assert job.state is JobState.DONE
    (gathered,) = [one for one in hospital.node.stores.jobs.steps(job.job_id) if one.step is Step.GATHER_CLINICAL]
    assert gathered.details["silent"] == "fhir: HTTP_500"
    assert any("fhir: http_500" in text for text in report_texts(hospital, case, tmp_path / "results"))
