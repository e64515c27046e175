"""The CSV file: whole or not at all, every fault with its line."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.clinical.csv_file import CsvFile, read_csv
from node.domain.clinical import ClinicalVariable, ValueReason
from node.domain.imaging import PatientIdentity

NOW = datetime(2024, 5, 6, 12, tzinfo=UTC)
HEADER = "patient_id,variable,value,unit,observed_at\n"


def read(text: str | bytes) -> CsvFile:
    """A file of that content."""
    return read_csv(text if isinstance(text, bytes) else text.encode(), "labs.csv", NOW)


def test_a_row_is_a_value() -> None:
    """With its line as where it comes from."""
    found = read(HEADER + "4711,ca19_9,37,U/mL,2024-05-05T08:30+02:00\n")
    ((line, value),) = found.values
    assert (line, found.errors) == (2, ())
    assert value.patient == PatientIdentity("4711")
    assert (value.read.value, value.read.unit, value.source, value.source_id) == (37.0, "U/mL", "csv", "labs.csv:2")
    assert value.read.raw.observed_at == datetime(2024, 5, 5, 6, 30, tzinfo=UTC)


def test_every_column_has_its_place() -> None:
    """In any order and case, with LOINC for the variable; a semicolon file of a spreadsheet with a byte order mark."""
    text = (
        "\ufeffOrder;Sex;Birth_Date;Name;Issuer;Unit;Value;Variable;Patient_ID;observed_at\r\n"
        'A1;F;1960-01-01;"Doe^Jane";HOSP;g/dL;13,5;718-7;4711;2024-05-05\r\n'
    )
    ((_, value),) = read(text).values
    assert value.patient == PatientIdentity("4711", "HOSP", "Doe^Jane", "1960-01-01", "F")
    assert (value.read.raw.variable, value.group) == (ClinicalVariable.HAEMOGLOBIN, "A1")
    assert value.read.value == pytest.approx(135)


def test_what_cannot_be_believed_is_no_error_of_the_file() -> None:
    """It is taken in and held, for people to see."""
    found = read(HEADER + "4711,ca19_9,<0.6,U/mL,2024-05-05\n4711,wbc,6.1,,2024-05-05\n4711,wbc,6.1,10*9/L,\n")
    assert found.errors == ()
    assert [value.read.reason for _, value in found.values] == [
        ValueReason.CENSORED,
        ValueReason.UNIT_MISSING,
        ValueReason.NO_TIME,
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "lacks patient_id"),
        ("patient_id,variable\n", 1, "lacks value"),
        ("patient_id,variable,value,diagnosis\n", 1, "1 column(s) not known"),
        ("patient_id,variable,value,value\n", 1, "twice"),
        (HEADER + "4711,ca19_9,37\n", 2, "3 cells"),
        (HEADER + "\n,ca19_9,37,U/mL,\n", 3, "patient_id"),
        (HEADER + "x" * 65 + ",ca19_9,37,U/mL,\n", 2, "patient_id"),
        (HEADER + "4711,ca-nineteen,37,U/mL,\n", 2, "variable"),
        (HEADER + "4711,ca19_9,37,U/mL,yesterday\n", 2, "observed_at"),
        (HEADER + "4711,ca19_9,37,U/mL,05/06/2024\n", 2, "observed_at"),
        (HEADER + '4711,ca19_9,"37\n', 2, "no CSV"),
    ],
)
def test_what_cannot_be_understood_is_an_error_with_its_line(text: str, line: int, words: str) -> None:
    """So that a person can mend the file."""
    (error,) = read(text).errors
    assert (error.line, words in error.message) == (line, True), error


def test_errors_quote_no_patient() -> None:
    """They end in terminals and tickets."""
    errors = read(HEADER + "Secret4711,Secret-variable,Secret-value,Secret,Secret\n").errors
    assert "Secret" not in " ".join(error.message for error in errors)


def test_a_file_of_another_encoding_is_an_error_where_it_shows() -> None:
    """Latin 1 is not guessed at."""
    (error,) = read(HEADER.encode() + "4711,ca19_9,37,µ,\n".encode("latin-1")).errors
    assert error.line == 2


def test_the_same_content_is_the_same_file() -> None:
    """Whatever it is called."""
    content = (HEADER + "4711,ca19_9,37,U/mL,2024-05-05\n").encode()
    assert read_csv(content, "a.csv", NOW).identity == read_csv(content, "b.csv", NOW).identity
    assert read_csv(content + b"\n", "a.csv", NOW).identity != read_csv(content, "a.csv", NOW).identity


@settings(deadline=None, max_examples=200)
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: (HEADER + text).encode())))
def test_any_bytes_are_values_or_errors(content: bytes) -> None:
    """Nothing that is in a file can stop the program."""
    found = read(content)
    assert isinstance(found, CsvFile)
