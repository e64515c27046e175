"""What HL7 messages say: in the dialects of several senders."""

from datetime import UTC, datetime

import pytest

from node.clinical.hl7_content import Reader, Unacceptable, read_time
from node.clinical.hl7_text import read_messages
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical import ValueReason, ValueState
from node.domain.clinical_intake import Intake
from node.domain.imaging import PatientIdentity

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def header(kind: str = "ORU^R01", control_id: str = "17") -> str:
    """An MSH segment."""
    return f"MSH|^~\\&|LAB|HOSP|CELADON|NODE|20240506||{kind}|{control_id}|P|2.5.1"


PID = "PID|1||4711^^^HOSP^MR||Doe^Jane^Mary||19600101|F"
OBR = "OBR|1|P1|F1^LAB|1234^PANEL|||20240505083000"


def obx(code: str, value: str, unit: str = "", kind: str = "NM", status: str = "F", moment: str = "") -> str:
    """An OBX segment."""
    return f"OBX|1|{kind}|{code}||{value}|{unit}|||||{status}|||{moment}"


def intake(*segments: str, reader: Reader = Reader()) -> Intake:  # noqa: B008 — frozen
    """What one message says."""
    (message,) = read_messages("\r".join(segments).encode(), "utf-8")
    return reader.intake(message, NOW)


def values(*segments: str, reader: Reader = Reader()) -> dict[V, float | str | None]:  # noqa: B008 — frozen
    """The values of one message's usable results."""
    found = intake(header(), PID, OBR, *segments, reader=reader).values
    return {one.read.raw.variable: one.read.value for one in found if one.read.state is ValueState.USABLE}


def test_a_result_has_everything_around_it() -> None:
    """Patient, order, time, message."""
    found = intake(header(), PID, OBR, obx("24108-3^CA 19-9^LN", "37", "U/mL"))
    (value,) = found.values
    assert value.patient == PatientIdentity("4711", "HOSP", "Doe^Jane^Mary", "19600101", "F")
    assert (value.source, value.source_id, value.group) == ("hl7", "17", "F1")
    assert value.read.raw.observed_at == datetime(2024, 5, 5, 8, 30).astimezone()
    assert found.message is not None
    assert (found.message.sender, found.message.control_id, found.message.kind) == ("LAB|HOSP", "17", "ORU^R01")


@pytest.mark.parametrize(
    ("segment", "variable", "expected"),
    [
        (obx("718-7^Hemoglobin^LN", "13.5", "g/dL"), V.HAEMOGLOBIN, 135),
        (obx("HGB^Haemoglobin^L^718-7^Hemoglobin^LN", "135", "g/L"), V.HAEMOGLOBIN, 135),
        (obx("6690-2^WBC^LN", "6,1", "10\\S\\9/L"), V.WBC, 6.1),
        (obx("6690-2^WBC^LN", "6.1", "10*3/uL^^UCUM"), V.WBC, 6.1),
        (obx("6690-2^WBC^LN", "6.1", "10^9/L"), V.WBC, 6.1),
        (obx("6690-2^WBC^LN", "6.1", "x10^3/uL^^L"), V.WBC, 6.1),
        (obx("777-3^PLT^LN", "210", "^K/uL"), V.PLATELETS, 210),
        (obx("751-8^ANC^LN", "^4.2", "G/L", kind="SN"), V.NEUTROPHILS, 4.2),
        (obx("2039-6^CEA^LN", "4.2", "ng/ml", kind="ST"), V.CEA, 4.2),
        (obx("21906-3^cN^LN", "N1^regional nodes^99L", kind="CWE"), V.CLINICAL_N, "N1"),
        (obx("33732-9^Grade^LN", "1663004^G3^SCT", kind="CE"), V.DIFFERENTIATION, "poor"),
        (obx("1975-2^Bili^LOINC", "1", "mg/dL", status="C"), V.BILIRUBIN_TOTAL, 17.104),
    ],
)
def test_senders_write_in_dialects(segment: str, variable: V, expected: float | str) -> None:
    """LOINC first or alternate, units as code or text, numbers in NM, SN and ST, words in CE and CWE."""
    want = expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-3)
    assert values(segment) == {variable: want}


def test_local_codes_are_those_that_the_site_names() -> None:
    """Without that they are left alone."""
    segment = obx("TM199^CA 19-9^L", "37", "U/mL")
    assert values(segment) == {}
    assert values(segment, reader=Reader(codes={"TM199": V.CA19_9})) == {V.CA19_9: 37}


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        (obx("24108-3^CA^LN", "<^0.6", "U/mL", kind="SN"), ValueReason.CENSORED),
        (obx("24108-3^CA^LN", ">1000", "U/mL", kind="ST"), ValueReason.CENSORED),
        (obx("24108-3^CA^LN", "hemolysed", "U/mL", kind="TX"), ValueReason.SPECIMEN),
        (obx("24108-3^CA^LN", "37"), ValueReason.UNIT_MISSING),
        (obx("6690-2^WBC^LN", "6.1", "10"), ValueReason.UNIT_NOT_ACCEPTED),
        (obx("6690-2^WBC^LN", "6.1", "10^Giga per litre"), ValueReason.UNIT_NOT_ACCEPTED),
        (obx("24108-3^CA^LN", "37~38", "U/mL"), ValueReason.NOT_A_NUMBER),
        (obx("24108-3^CA^LN", "^1^:^2", "U/mL", kind="SN"), ValueReason.NOT_A_NUMBER),
        (obx("24108-3^CA^LN", "37^38", "U/mL"), ValueReason.NOT_A_NUMBER),
        (obx("24108-3^CA^LN", "-3", "U/mL"), ValueReason.NEGATIVE),
        (obx("24108-3^CA^LN", "37", "U/mL", status="P"), ValueReason.NOT_FINAL),
        (obx("24108-3^CA^LN", "37", "U/mL", status="W"), ValueReason.WITHDRAWN),
        (obx("24108-3^CA^LN", "37", "U/mL", moment="20991231"), ValueReason.FUTURE),
    ],
)
def test_what_cannot_be_used_has_its_reason(segment: str, reason: ValueReason) -> None:
    """The message is taken, the value is a state."""
    (value,) = intake(header(), PID, OBR, segment).values
    assert value.read.reason is reason


def test_without_any_time_a_result_is_held() -> None:
    """Neither order nor result says when."""
    (value,) = intake(header(), PID, obx("24108-3^CA^LN", "37", "U/mL")).values
    assert value.read.reason is ValueReason.NO_TIME


@pytest.mark.parametrize(
    ("ids", "issuer", "expected"),
    [
        ("99^^^NHS^NH~4711^^^HOSP^MR", "", ("4711", "HOSP")),
        ("99^^^NHS^NH~4711^^^HOSP^MR", "NHS", ("99", "NHS")),
        ("4711", "HOSP", ("4711", "")),
        ("4711^^^HOSP&1.2.3&ISO", "", ("4711", "HOSP")),
    ],
)
def test_of_several_patient_ids_ours_is_taken(ids: str, issuer: str, expected: tuple[str, str]) -> None:
    """By issuer, else the medical record number, else the first."""
    pid = f"PID|1||{ids}||Doe^Jane"
    (value,) = intake(header(), pid, OBR, obx("24108-3^CA^LN", "37", "U/mL"), reader=Reader(issuer)).values
    assert value.patient.key() == expected


def test_a_message_may_hold_several_patients() -> None:
    """Each result is of the patient before it."""
    one = obx("24108-3^CA^LN", "37", "U/mL")
    found = intake(header(), PID, OBR, one, "PID|2||4712", OBR, one).values
    assert [value.patient.patient_id for value in found] == ["4711", "4712"]


def test_a_merge_names_both_numbers() -> None:
    """Several pairs in one message."""
    found = intake(header("ADT^A40"), "EVN|A40", PID, "MRG|OLD1^^^HOSP~", "PID|1||4712^^^HOSP", "MRG|OLD2^^^HOSP")
    assert [(one.prior.key(), one.survivor.key()) for one in found.merges] == [
        (("OLD1", "HOSP"), ("4711", "HOSP")),
        (("OLD2", "HOSP"), ("4712", "HOSP")),
    ]


@pytest.mark.parametrize(("event", "is_undone"), [("A24", False), ("A37", True)])
def test_two_patients_are_linked_and_parted(event: str, is_undone: bool) -> None:
    """Each message names both by PID."""
    (found,) = intake(header(f"ADT^{event}"), f"EVN|{event}", PID, "PV1|1", "PID|2||4712^^^HOSP").merges
    assert (found.prior.key(), found.survivor.key(), found.is_undone) == (
        ("4712", "HOSP"), ("4711", "HOSP"), is_undone
    )  # fmt: skip


PATHOLOGY_OBR = "|".join(["OBR", "1", "P1", "F9^PATH", "88305", "", "", "20240420", *[""] * 16, "SP"])
"""With the section of the laboratory in OBR-24."""


def reported(*segments: str, reader: Reader = Reader()) -> dict[V, tuple[str | float | None, str]]:  # noqa: B008 — frozen
    """What a pathology message says of each variable: the value, and the reason not to use it."""
    found = intake(header(), PID, PATHOLOGY_OBR, *segments, reader=reader)
    return {
        one.read.raw.variable: (one.read.value, one.read.reason.name if one.read.reason else "") for one in found.values
    }


PATHOLOGY = (
    obx("22637-3^Diagnosis^LN", "Adenocarcinoma of the head of the pancreas,", kind="TX"),
    obx("22637-3^Diagnosis^LN", "moderately differentiated.\\.br\\pT3 pN1 (2/15)", kind="TX"),
)


def test_a_pathologists_text_is_read_over_all_its_lines() -> None:
    """Segments, repetitions and layout commands are lines of one report."""
    assert reported(*PATHOLOGY) == {
        V.CLINICAL_N: ("N1", ""),
        V.DIFFERENTIATION: ("moderate", ""),
        V.LESION_SITE: ("head", ""),
    }
    whole = obx("P^Bericht^L", "Lauren classification: diffuse~pN0 (0/9)", kind="FT")
    assert reported(whole, reader=Reader(reports=("P",))) == {
        V.CLINICAL_N: ("N0", ""),
        V.LAUREN_TYPE: ("diffuse", ""),
    }


def test_what_a_text_leaves_open_is_for_a_person() -> None:
    """With the excerpt to look at, and no value that could be accepted unread."""
    text = obx("22637-3^Diagnosis^LN", "Suspicious for poorly differentiated carcinoma", kind="TX")
    assert reported(text) == {V.DIFFERENTIATION: (None, "AMBIGUOUS")}


def test_a_text_that_no_pathologist_wrote_is_not_read() -> None:
    """The same words in a radiology report, or in the clinical history, say what somebody has heard."""
    history = obx("22636-5^History^LN", "pN1", kind="TX")
    other = obx("18748-4^Imaging report^LN", "pN1", kind="TX")
    assert values(history, other) == {}
    assert values(obx("X^Text^L", "pN1", kind="TX")) == {}


def test_a_corrected_report_takes_back_what_it_no_longer_says() -> None:
    """All of it when the report is withdrawn."""
    corrected = obx("22637-3^Diagnosis^LN", "pN0", kind="TX", status="C")
    found = reported(corrected)
    assert found[V.CLINICAL_N] == ("N0", "")
    assert {variable for variable, (_, why) in found.items() if why == "WITHDRAWN"} == {
        V.CLINICAL_T, V.DIFFERENTIATION, V.LAUREN_TYPE, V.LESION_SITE
    }  # fmt: skip
    withdrawn = reported(obx("22637-3^Diagnosis^LN", "pN1", kind="TX", status="X"))
    assert {why for _, why in withdrawn.values()} == {"WITHDRAWN"}


def test_an_update_says_how_a_patient_is_called_now() -> None:
    """Name, birth date and sex."""
    assert intake(header("ADT^A08"), "EVN|A08", PID).updates == (
        PatientIdentity("4711", "HOSP", "Doe^Jane^Mary", "19600101", "F"),
    )


def test_other_admission_messages_are_taken_note_of() -> None:
    """They are sent to everybody; refusing them would stop the sender's queue."""
    found = intake(header("ADT^A01"), PID)
    assert (found.values, found.merges, found.updates) == ((), (), ())


@pytest.mark.parametrize(
    ("segments", "code"),
    [
        ((header("ORM^O01"), PID), "AR"),
        ((header(control_id=""), PID), "AR"),
        ((header(control_id="x" * 200), PID), "AR"),
        ((header(),), "AE"),
        ((header(), obx("24108-3^CA^LN", "37", "U/mL"), PID), "AE"),
        ((header(), "PID|1|||", OBR), "AE"),
        ((header(), f"PID|1||{'9' * 65}", OBR), "AE"),
        ((header("ADT^A40"), PID), "AE"),
        ((header("ADT^A08"),), "AE"),
        ((header("ADT^A37"), PID), "AE"),
        ((header(), PID, OBR, *[obx("24108-3^CA^LN", "37", "U/mL")] * 1001), "AR"),
    ],
)
def test_what_cannot_be_taken_has_an_acknowledgement_code(segments: tuple[str, ...], code: str) -> None:
    """AR where sending again cannot help, AE where the message lacks something; no patient in the text."""
    with pytest.raises(Unacceptable) as fault:
        intake(*segments)
    assert fault.value.code == code
    assert "4711" not in fault.value.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20240506083015.1234+0200", datetime(2024, 5, 6, 6, 30, 15, tzinfo=UTC)),
        ("202405060830-0500", datetime(2024, 5, 6, 13, 30, tzinfo=UTC)),
        ("20240506", datetime(2024, 5, 6).astimezone()),
        ("", None),
        ("2024", None),
        ("20240230", None),
        ("202405062530", None),
        ("20240506083015+9999", None),
        ("yesterday", None),
    ],
)
def test_times_are_read(text: str, expected: datetime | None) -> None:
    """To the day at least; what is no time is none."""
    assert read_time(text) == expected
