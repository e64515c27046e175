"""From what laboratories and people send to what the models read: each value in its one unit, or told why not."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from models.bundle import Bundle, shipped
from models.predictors.nomogram import Size, answers_from
from models.preprocessing.clinical import Answer, ClinicalTable
from node.clinical.csv_file import read_csv
from node.clinical.entered import entered
from node.clinical.hl7_content import Reader
from node.clinical.hl7_text import read_messages
from node.clinical.registry import open_sources
from node.domain.clinical import ClinicalRecord, ValueReason
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical_intake import Intake
from node.domain.imaging import PatientIdentity
from node.settings import ClinicalSettings
from node.store.clinical import ClinicalStore
from node.store.session import Database
from tests.factories import ct_slices, series_of
from workers.steps.gather_clinical import gather_clinical

SERIES: Final = series_of(ct_slices(3, PatientSize="1.75", PatientWeight="70"))
PATIENT: Final = SERIES.patient
NOW: Final = datetime(2024, 6, 1, tzinfo=UTC)
HEAD: Final = (
    "MSH|^~\\&|LAB|HOSP|CELADON|NODE|20240505||ORU^R01|{control}|P|2.5.1\r"
    f"PID|1||{PATIENT.patient_id}||{PATIENT.name}||{PATIENT.birth_date}|{PATIENT.sex}\r"
    "OBR|1||ORDER-1||||20240505083000\r"
)

CONVENTIONAL: Final = (
    (V.CA19_9, "24108-3", "820", "U/mL"),
    (V.CEA, "2039-6", "4.2", "ng/mL"),
    (V.CA125, "10334-1", "31", "U/mL"),
    (V.WBC, "6690-2", "8.5", "K/uL"),
    (V.NEUTROPHILS, "751-8", "6000", "/uL"),
    (V.LYMPHOCYTES, "731-0", "1.5", "10*3/uL"),
    (V.MONOCYTES, "742-7", "500", "cells/uL"),
    (V.HAEMOGLOBIN, "718-7", "12.8", "g/dL"),
    (V.PLATELETS, "777-3", "210", "K/uL"),
    (V.ALBUMIN, "1751-7", "4.2", "g/dL"),
    (V.GLOBULIN, "10834-0", "2.8", "g/dL"),
    (V.ALT, "1742-6", "40", "IU/L"),
    (V.AST, "1920-8", "0.5", "ukat/L"),
    (V.ALP, "6768-6", "120", "U/L"),
    (V.GGT, "2324-2", "60", "U/L"),
    (V.BILIRUBIN_TOTAL, "1975-2", "1.0", "mg/dL"),
    (V.BILIRUBIN_DIRECT, "1968-7", "0.4", "mg/dL"),
)
INTERNATIONAL: Final = (
    (V.CA19_9, "24108-3", "820", "kU/L"),
    (V.CEA, "2039-6", "4.2", "ug/L"),
    (V.CA125, "10334-1", "31", "kIU/L"),
    (V.WBC, "6690-2", "8.5", "10*9/L"),
    (V.NEUTROPHILS, "751-8", "6.0", "10^9/L"),
    (V.LYMPHOCYTES, "731-0", "1.5", "10\\S\\9/L"),
    (V.MONOCYTES, "742-7", "0.5", "G/L"),
    (V.HAEMOGLOBIN, "718-7", "128", "g/L"),
    (V.PLATELETS, "777-3", "210", "Gpt/L"),
    (V.ALBUMIN, "1751-7", "42", "g/L"),
    (V.GLOBULIN, "10834-0", "28", "g/L"),
    (V.ALT, "1742-6", "40", "U/L"),
    (V.AST, "1920-8", "30", "U/L"),
    (V.ALP, "6768-6", "120", "U/L"),
    (V.GGT, "2324-2", "60", "U/L"),
    (V.BILIRUBIN_TOTAL, "1975-2", "17.104", "umol/L"),
    (V.BILIRUBIN_DIRECT, "1968-7", "6.842", "umol/L"),
)
WORDS: Final = {
    "sex": PATIENT.sex,
    "bmi": "22.86 kg/m2",
    "ca19_9": "820 U/mL",
    "cea": "4.2 ng/mL",
    "ca125": "31 U/mL",
    "wbc": "8.5 10^9/L",
    "neutrophils": "6 10^9/L",
    "lymphocytes": "1.5 10^9/L",
    "monocytes": "0.5 10^9/L",
    "haemoglobin": "128 g/L",
    "platelets": "210 10^9/L",
    "albumin": "42 g/L",
    "globulin": "28 g/L",
    "alt": "40 U/L",
    "ast": "30 U/L",
    "alp": "120 U/L",
    "ggt": "60 U/L",
    "bilirubin_total": "17.1 umol/L",
    "bilirubin_direct": "6.842 umol/L",
    "nlr": "4",
    "plr": "140",
    "lmr": "3",
    "agr": "1.5",
}
"""What the model is told of both, as it answers for it."""


@pytest.fixture
def clinical(tmp_path: Path) -> Iterator[ClinicalStore]:
    """The clinical values of an empty database."""
    database = Database(f"sqlite:///{tmp_path / 'clinical.db'}")
    database.upgrade()
    yield ClinicalStore(database, PATIENT.issuer)
    database.close()


@pytest.fixture(scope="module")
def table() -> ClinicalTable:
    """The clinical table of the PORCELAIN that ships."""
    return ClinicalTable.read(Bundle.open(shipped("porcelain")).celadon)


def _entries() -> list[dict[str, Any]]:
    """The clinical section of the PORCELAIN that ships, as it stands in the file."""
    entries: list[dict[str, Any]] = Bundle.open(shipped("porcelain")).celadon.values["clinical"]
    return entries


def send(clinical: ClinicalStore, results: Sequence[tuple[V, str, str, str]], control: str = "M1") -> None:
    """Have a message with these results read and stored, as the listener does."""
    lines = [f"OBX|{i}|NM|{code}^^LN||{text}|{unit}|||||F" for i, (_, code, text, unit) in enumerate(results)]
    (message,) = read_messages((HEAD.format(control=control) + "\r".join(lines)).encode(), "utf-8")
    clinical.accept(Reader().intake(message, NOW))


def enter(clinical: ClinicalStore, variable: V, text: str, unit: str = "") -> None:
    """Have a person type a value."""
    value = entered(PatientIdentity(PATIENT.patient_id), variable.value, text, unit, "Dr Roe", NOW, None)
    clinical.accept(Intake((value,)))


def gathered(clinical: ClinicalStore) -> ClinicalRecord:
    """What the analysis of the series would know."""
    return gather_clinical(SERIES, open_sources(ClinicalSettings(), clinical))


def told(answers: Sequence[Answer]) -> dict[str, str]:
    """What the model says it read, but for what it imputed."""
    return {answer.variable.value: answer.text for answer in answers if not answer.is_imputed}


@pytest.mark.parametrize("results", [CONVENTIONAL, INTERNATIONAL], ids=["conventional", "international"])
def test_a_model_reads_the_same_whatever_units_a_laboratory_uses(
    clinical: ClinicalStore, table: ClinicalTable, results: Sequence[tuple[V, str, str, str]]
) -> None:
    """HL7 in conventional or international units, with what follows from it: the same numbers, and nothing refused."""
    send(clinical, results)
    record = gathered(clinical)
    assert {value.source for value in record.values if value.variable in {row[0] for row in results}} == {"hl7"}
    encoded = table.encode(record)
    assert {name: text for name, text in told(encoded.answers).items() if name != "age"} == WORDS
    assert encoded.imputed == ("clinical_t", "clinical_n", "lesion_site")
    haemoglobin = table.columns.index("haemoglobin")
    (entry,) = [each for each in _entries() if each["variable"] == "haemoglobin"]
    assert encoded.columns[haemoglobin] == pytest.approx((128 - entry["mean"]) / entry["sd"], rel=1e-5)


def test_columns_do_not_depend_on_the_units_that_were_sent(clinical: ClinicalStore, table: ClinicalTable) -> None:
    """A second report of the same blood in other units changes no column by more than the sender's rounding."""
    send(clinical, CONVENTIONAL, "M1")
    first = table.encode(gathered(clinical))
    assert len(first.used) == 24
    send(clinical, INTERNATIONAL, "M2")
    assert np.allclose(table.encode(gathered(clinical)).columns, first.columns, atol=1e-4)


def test_staging_of_a_person_is_read_as_the_papers_categories(clinical: ClinicalStore, table: ClinicalTable) -> None:
    """However it is typed; N3, which the model's cohort did not have, is imputed and named."""
    for variable, text in ((V.CLINICAL_T, "cT1c"), (V.CLINICAL_N, "cN1"), (V.LESION_SITE, "Uncinate process")):
        enter(clinical, variable, text)
    encoded = table.encode(gathered(clinical))
    words = told(encoded.answers)
    assert [words[name] for name in ("clinical_t", "clinical_n", "lesion_site")] == ["T1", "N1", "head"]
    enter(clinical, V.CLINICAL_N, "N3")
    again = table.encode(gathered(clinical))
    assert again.disbelieved == ("clinical_n",)
    assert "clinical_n" in again.imputed


def test_a_wrong_unit_is_held_at_the_door_and_imputed(clinical: ClinicalStore, table: ClinicalTable) -> None:
    """The case is analysed; the report can say what was not used and why, and nothing is derived from it."""
    send(clinical, [(V.ALBUMIN, "1751-7", "42", "mmol/L"), (V.GLOBULIN, "10834-0", "28", "g/L")])
    record = gathered(clinical)
    assert [(one.variable, one.reason) for one in record.held] == [(V.ALBUMIN, ValueReason.UNIT_NOT_ACCEPTED)]
    assert {"albumin", "agr"} <= set(table.encode(record).imputed)


def test_pathology_and_size_reach_the_nomogram(clinical: ClinicalStore) -> None:
    """Differentiation by HL7, Lauren type by file, size in centimetres by a person: no range is left."""
    lines = "OBX|1|CWE|33732-9^Grade^LN||G3^Poorly differentiated^99L||||||F"
    (message,) = read_messages((HEAD.format(control="P1") + lines).encode(), "utf-8")
    clinical.accept(Reader().intake(message, NOW))
    content = f"patient_id,variable,value,observed_at\n{PATIENT.patient_id},lauren_type,Diffuse type,2024-05-01\n"
    file = read_csv(content.encode(), "pathology.csv", NOW)
    assert file.errors == ()
    clinical.accept(Intake(tuple(value for _, value in file.values)))
    region = Size(41.0, "region")
    before = answers_from(gathered(clinical), 0.0, region)
    assert (before.size, before.differentiation, before.lauren_type) == (region, "poor", "diffuse")
    enter(clinical, V.TUMOUR_SIZE, "5.6", "cm")
    answers = answers_from(gathered(clinical), 0.0, region)
    assert answers.size == Size(56.0, "entered")
    assert answers.variables == ("tumour_size", "differentiation", "lauren_type")
    assert answers.notes == ()
