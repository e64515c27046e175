"""Reading what a source sent: each kind of bad input is a state with its reason."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.clinical.reading import read
from node.domain.clinical import ClinicalVariable as V
from node.domain.clinical import ValueReason, ValueState
from node.domain.clinical_intake import RawValue
from node.domain.clinical_variables import ROWS, NumberRow

NOW = datetime(2024, 5, 6, 12, tzinfo=UTC)
YESTERDAY = NOW - timedelta(days=1)


def raw(text: str, unit: str = "U/mL", variable: V = V.CA19_9, **more: object) -> RawValue:
    """A CA19-9 of yesterday, changed."""
    return RawValue(variable, text, unit, **({"observed_at": YESTERDAY} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "number"),
    [("37", 37), (" 37.5 ", 37.5), ("37,5", 37.5), ("0,123", 0.123), ("1e3", 1000), ("+4", 4), ("0", 0)],
)
def test_numbers_as_laboratories_write_them(text: str, number: float) -> None:
    """A point or a decimal comma, an exponent, spaces around."""
    found = read(raw(text), NOW)
    assert (found.value, found.unit, found.state, found.reason) == (number, "U/mL", ValueState.USABLE, None)


@pytest.mark.parametrize(
    ("text", "unit", "reason", "state"),
    [
        ("<0.6", "U/mL", ValueReason.CENSORED, ValueState.HELD),
        (">1000", "U/mL", ValueReason.CENSORED, ValueState.HELD),
        ("≥ 1000", "U/mL", ValueReason.CENSORED, ValueState.HELD),
        ("less than 2", "U/mL", ValueReason.CENSORED, ValueState.HELD),
        ("hemolysed", "U/mL", ValueReason.SPECIMEN, ValueState.REFUSED),
        ("Haemolyzed sample", "U/mL", ValueReason.SPECIMEN, ValueState.REFUSED),
        ("QNS", "U/mL", ValueReason.SPECIMEN, ValueState.REFUSED),
        ("see comment", "U/mL", ValueReason.NOT_A_NUMBER, ValueState.REFUSED),
        ("", "U/mL", ValueReason.NOT_A_NUMBER, ValueState.REFUSED),
        ("1,234", "U/mL", ValueReason.NOT_A_NUMBER, ValueState.REFUSED),
        ("1.234,5", "U/mL", ValueReason.NOT_A_NUMBER, ValueState.REFUSED),
        ("nan", "U/mL", ValueReason.NOT_A_NUMBER, ValueState.REFUSED),
        ("inf", "U/mL", ValueReason.NOT_A_NUMBER, ValueState.REFUSED),
        ("٣٧", "U/mL", ValueReason.NOT_A_NUMBER, ValueState.REFUSED),
        ("-5", "U/mL", ValueReason.NEGATIVE, ValueState.REFUSED),
        ("9" * 200, "U/mL", ValueReason.TOO_LONG, ValueState.REFUSED),
        ("99999999", "U/mL", ValueReason.IMPLAUSIBLE, ValueState.HELD),
        ("37", "", ValueReason.UNIT_MISSING, ValueState.HELD),
        ("37", "ng/mL", ValueReason.UNIT_NOT_ACCEPTED, ValueState.HELD),
        ("37", "florins", ValueReason.UNIT_UNKNOWN, ValueState.HELD),
    ],
)
def test_what_is_no_number_is_a_state_with_a_reason(
    text: str, unit: str, reason: ValueReason, state: ValueState
) -> None:
    """Nothing is guessed, and nothing is lost: a person sees why."""
    found = read(raw(text, unit), NOW)
    assert (found.reason, found.state) == (reason, state)


def test_a_value_of_the_future_is_held() -> None:
    """A clock may be ten minutes wrong, not a day."""
    assert read(raw("37", observed_at=NOW + timedelta(minutes=5)), NOW).reason is None
    assert read(raw("37", observed_at=NOW + timedelta(days=1)), NOW).reason is ValueReason.FUTURE


def test_a_value_without_time_is_held_unless_a_person_says_it() -> None:
    """Whether it is of the time of the study cannot be known; a person who enters it vouches for that."""
    assert read(raw("37", observed_at=None), NOW).reason is ValueReason.NO_TIME
    assert read(raw("37", observed_at=None), NOW, needs_time=False).reason is None


def test_preliminary_and_withdrawn_results_are_not_used() -> None:
    """Only a final result counts."""
    assert read(raw("37", is_final=False), NOW).reason is ValueReason.NOT_FINAL
    assert read(raw("37", is_withdrawn=True), NOW).state is ValueState.SUPERSEDED


def test_a_haemoglobin_of_the_wrong_unit_is_not_believed() -> None:
    """13.5 g/L is 13.5 g/dL with the wrong unit: no living patient has the former."""
    assert read(raw("13.5", "g/L", V.HAEMOGLOBIN), NOW).reason is ValueReason.IMPLAUSIBLE


@pytest.mark.parametrize(
    ("variable", "text", "word"),
    [
        (V.SEX, "Female", "F"),
        (V.CLINICAL_N, "cN1", "N1"),
        (V.CLINICAL_T, "T4a", "T4"),
        (V.LESION_SITE, "Head of  pancreas", "head"),
        (V.DIFFERENTIATION, "poorly differentiated", "poor"),
        (V.LAUREN_TYPE, "Diffuse", "diffuse"),
    ],
)
def test_categories_are_read_by_their_spellings(variable: V, text: str, word: str) -> None:
    """Case and spaces do not matter."""
    found = read(raw(text, "", variable), NOW)
    assert (found.value, found.unit, found.state) == (word, "", ValueState.USABLE)


@pytest.mark.parametrize(
    ("variable", "text"),
    [(V.CLINICAL_T, "pT1"), (V.CLINICAL_N, "ypN1"), (V.CLINICAL_N, "NX"), (V.SEX, "O"), (V.SEX, "")],
)
def test_other_words_are_held(variable: V, text: str) -> None:
    """A pathological T is not a clinical one, a stage after therapy is another, and unknown is not a category."""
    assert read(raw(text, "", variable), NOW).reason is ValueReason.UNKNOWN_CATEGORY


@settings(deadline=None, max_examples=300)
@given(variable=st.sampled_from(list(V)), text=st.text(max_size=150), unit=st.text(max_size=40))
def test_anything_is_read_without_an_error(variable: V, text: str, unit: str) -> None:
    """Whatever comes, it is a believable value in the models' unit or a reason."""
    found = read(raw(text, unit, variable), NOW)
    row = ROWS[variable]
    if found.state is not ValueState.USABLE:
        assert found.reason is not None
    elif isinstance(row, NumberRow):
        assert isinstance(found.value, float)
        assert row.plausible[0] <= found.value <= row.plausible[1]
        assert found.unit == row.unit
    else:
        assert found.value in row.categories


@settings(deadline=None)
@given(
    row=st.sampled_from([row for row in ROWS.values() if isinstance(row, NumberRow)]),
    share=st.floats(0.001, 0.999),
    data=st.data(),
)
def test_a_number_comes_back_in_whatever_unit_it_was_sent(row: NumberRow, share: float, data: st.DataObject) -> None:
    """A believable value, written in any accepted unit, reads as itself."""
    from node.clinical.units import convert  # noqa: PLC0415 — the inverse is made of the same factor

    low, high = row.plausible
    value = low + share * (high - low)
    code = data.draw(st.sampled_from(row.accepted))
    text = f"{value / convert(1.0, code, row):.9e}"
    assert read(raw(text, code, row.variable), NOW).value == pytest.approx(value, rel=1e-6)
