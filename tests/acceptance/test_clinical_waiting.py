"""A series waits for what its rule asks for, goes on with what there is, and is done again when more comes.

Laboratory values by HL7 over MLLP and from a FHIR server that others wrote; a bundle that may impute fewer variables
than the one that ships does.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from models.bundle import shipped
from models.bundle_store import Library
from node.demo.pacs import DemoPacs, orthanc_program, start_pacs
from node.demo.private_node import PrivateNode
from node.demo.series import make_case
from node.dicom.query import fetch, find_series
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from node.store.jobs import JobRecord
from tests.engine import start_node
from tests.medplum import Medplum, medplum
from tests.servers import require
from tests.waiting import wait_ended, wait_until

ME = "ACCEPTANCE"
SYSTEM = "urn:oid:1.2.3"
LOINC = "http://loinc.org"
MOST_IMPUTED = 18
PATIENCE_S = 240.0
SETTINGS = f"""
[models]
porcelain = "strict"
[[rules]]
predictor = "porcelain"
when.RoiAnatomy = "pancreas"
required = ["ca19_9"]
wait_minutes = {{minutes}}
[clinical.hl7]
port = 0
[clinical.fhir]
base_url = "{{url}}"
identifier_system = "{SYSTEM}"
within_s = 60
"""
FHIR_LABS = (
    ("2039-6", 4.2, "ug/L"),
    ("718-7", 12.8, "g/dL"),
    ("751-8", 5200.0, "/uL"),
    ("731-0", 1.3, "10*9/L"),
    ("777-3", 210.0, "10*3/uL"),
    ("1751-7", 41.0, "g/L"),
)
"""With NLR and PLR that follow from them, age and sex: ten of 27, and CA 19-9 by HL7 is the eleventh."""


@dataclass(frozen=True)
class Hospital:
    """A PACS, a FHIR server and a node that know each other."""

    pacs: DemoPacs
    fhir: Medplum
    node: PrivateNode

    def celadon(self, *words: str) -> str:
        """What a command of an administrator prints."""
        command = [sys.executable, "-m", "node", *words, "--config", str(self.node.config)]
        environment = os.environ | {"COLUMNS": "250"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False).stdout

    def send_hl7(self, image: Dataset, control_id: str, *results: tuple[str, str, str]) -> str:
        """Send results of the day before the study; gives the acknowledgement's code."""
        day = f"{int(image.StudyDate) - 1}"
        lines = "".join(f"OBX|1|NM|{code}^^LN||{text}|{unit}|||||F\r" for code, text, unit in results)
        message = (
            f"MSH|^~\\&|LAB|HOSP|CELADON|NODE|{day}||ORU^R01|{control_id}|P|2.5.1\r"
            f"PID|1||{image.PatientID}||{image.PatientName}||{image.PatientBirthDate}|{image.PatientSex}\r"
            f"OBR|1||ORDER-{control_id}||||{day}\r{lines}"
        )
        port = json.loads(self.node.settings.runtime_file.read_text())["hl7"]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
            peer.sendall(b"\x0b" + message.encode() + b"\x1c\r")
            return peer.recv(4096).decode().split("MSA|")[1].split("|")[0]

    def texts(self, study_uid: str, folder: Path) -> list[str]:
        """Every text of the newest structured report of a study that is no notice, lower case."""
        found = [one for one in find_series(self.pacs.peer, ME, study_uid) if one.modality == "SR"]
        paths = [path for one in found for path in fetch(self.pacs.peer, ME, folder, study_uid, one.series_uid)]
        reports = [one for path in paths if "notice" not in (one := dcmread(path)).SeriesDescription]
        newest = max(reports, key=lambda one: int(one.SeriesNumber))
        return [text.lower() for text in _texts(newest)]

    def waits(self, series_uid: str) -> JobRecord:
        """The job of a series, once it waits for clinical values."""

        def look() -> JobRecord | None:
            mine = [job for job in self.node.stores.jobs.jobs() if job.series_uid == series_uid]
            return mine[0] if mine and mine[0].reason == ReasonCode.AWAITING_CLINICAL.name else None

        return wait_until(look, "the series waits", PATIENCE_S)


def _texts(item: Dataset) -> Iterator[str]:
    for child in item.get("ContentSequence", ()):
        yield str(child.get("TextValue", ""))
        yield from _texts(child)


def strict_bundle(folder: Path) -> None:
    """Add a copy of the shipped bundle that may impute fewer variables, as a site that wants fewer would."""
    copy = folder / "copy"
    shutil.copytree(shipped("porcelain"), copy)
    file = copy / "configs" / "metadata.json"
    document: dict[str, Any] = json.loads(file.read_text())
    _parameters(document)["max_imputed"] = MOST_IMPUTED
    file.write_text(json.dumps(document, indent=4))
    # It differs from the shipped one in a limit: whether its networks run need not be tried again.
    Library(folder / "data" / "models").add(copy, "strict", trial=lambda _: None)


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    """The section that holds ``max_imputed``."""
    if "max_imputed" in document:
        return document
    found = (_parameters(inner) for inner in document.values() if isinstance(inner, dict))
    return next((one for one in found if "max_imputed" in one), {})


@pytest.fixture(scope="module", params=[30.0])
def hospital(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """Everything on free ports; analyses of the pancreas wait for CA 19-9."""
    require("Orthanc", orthanc_program())
    require("storescu", shutil.which("storescu"))
    folder = tmp_path_factory.mktemp("node")
    strict_bundle(folder)
    with start_pacs() as pacs, medplum() as fhir:
        extra = SETTINGS.format(minutes=request.param, url=fhir.url)
        with start_node(folder, pacs=pacs.peer, extra=extra) as node:
            pacs.route_to(node.peer)
            yield Hospital(pacs, fhir, node)


def known_to_fhir(fhir: Medplum, image: Dataset) -> None:
    """The FHIR server knows the patient and six values of the day before the study."""
    born, day = str(image.PatientBirthDate), str(int(image.StudyDate) - 1)
    who = {"M": "male", "F": "female"}[image.PatientSex]
    patient = {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"system": SYSTEM, "value": str(image.PatientID)}],
        "birthDate": f"{born[:4]}-{born[4:6]}-{born[6:]}",
        "gender": who,
    }
    fhir.add(patient)
    for code, number, unit in FHIR_LABS:
        quantity = {"value": number, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
        fhir.add(
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": LOINC, "code": code}]},
                "subject": {"reference": "Patient/p1"},
                "effectiveDateTime": f"{day[:4]}-{day[4:6]}-{day[6:]}",
                "valueQuantity": quantity,
            }
        )


def test_a_series_waits_goes_on_when_the_value_comes_and_is_superseded_by_a_later_one(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Held with its reason; the report names each value with source and date and counts what was imputed."""
    case = make_case("pancreas", tmp_path / "case", "waiting")
    image = dcmread(case.ct_paths[0], stop_before_pixels=True)
    known_to_fhir(hospital.fhir, image)
    hospital.pacs.store([case.seg_path])
    hospital.pacs.store(case.ct_paths)
    waiting = hospital.waits(case.series_uid)
    assert (waiting.state, waiting.detail) == (JobState.WAITING, "ca19_9")
    assert "AWAITING_CLINICAL" in hospital.celadon("show", waiting.job_id)
    assert hospital.send_hl7(image, "M1", ("24108-3", "820", "kU/L")) == "AA"
    first = wait_ended(hospital.node.stores, case.series_uid, seconds=PATIENCE_S)
    assert (first.state, first.version) == (JobState.DONE, 1)
    day = f"{image.StudyDate[:4]}-{image.StudyDate[4:6]}-{int(image.StudyDate[6:]) - 1:02}"
    texts = hospital.texts(case.study_uid, tmp_path / "first")
    assert f"ca 19-9: 820 u/ml (hl7, {day})" in texts
    assert f"haemoglobin: 128 g/l (fhir, {day})" in texts
    assert f"nlr: 4 (derived from fhir, {day})" in texts
    assert any("16 of 27 clinical variables were imputed" in text for text in texts)
    assert hospital.send_hl7(image, "M2", ("10334-1", "31", "U/mL")) == "AA"
    second = wait_ended(hospital.node.stores, case.series_uid, version=2, seconds=PATIENCE_S)
    assert (second.state, second.supersedes) == (JobState.DONE, first.job_id)
    assert any("15 of 27" in text for text in hospital.texts(case.study_uid, tmp_path / "second"))
    steps = json.loads(hospital.celadon("show", second.job_id, "--json"))["steps"]
    gathered = next(one["details"] for one in steps if one["step"] == "gather-clinical")
    assert gathered["sources"] == "dicom-header 3, hl7 2, fhir 6"  # of the header: age, sex, weight
    assert "clinical source fhir" in hospital.celadon("status")
    assert "FHIR" in hospital.celadon("clinical", "check")


@pytest.mark.parametrize("hospital", [0.05], indirect=True)
def test_when_nothing_comes_it_goes_on_and_beyond_the_limit_is_refused_until_more_is_known(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Imputed as the bundle says, but not more than it allows; what comes later has the series analysed after all."""
    case = make_case("pancreas", tmp_path / "case", "unknown")
    image = dcmread(case.ct_paths[0], stop_before_pixels=True)
    hospital.pacs.store([case.seg_path])
    hospital.pacs.store(case.ct_paths)
    refused = wait_ended(hospital.node.stores, case.series_uid, seconds=PATIENCE_S)
    assert (refused.state, refused.reason) == (JobState.NOT_ANALYSED, ReasonCode.CLINICAL_MISSING.name)
    assert refused.detail.startswith(f"25 of 27 are missing, {MOST_IMPUTED} may be: ")
    results = [(code, f"{number:g}", unit) for code, number, unit in FHIR_LABS]
    assert hospital.send_hl7(image, "M3", *results) == "AA"
    second = wait_ended(hospital.node.stores, case.series_uid, version=2, seconds=PATIENCE_S)
    assert second.state is JobState.DONE
    assert any("17 of 27" in text for text in hospital.texts(case.study_uid, tmp_path / "texts"))
