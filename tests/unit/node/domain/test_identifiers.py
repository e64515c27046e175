"""Identifiers: a value that exists is well formed, and the same parts always give the same name."""

import pytest

from node.domain.identifiers import AeTitle, InstanceUID, JobId, SeriesUID, Uid


@pytest.mark.parametrize("text", ["1.2.840.10008.1.1", "0", "0.0.0", "2.25.329800735698586629295641978511506172918"])
def test_a_uid_is_numbers_and_dots(text: str) -> None:
    """What PS3.5 section 9.1 allows is taken as it is."""
    assert Uid(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "1.02",
        "00.1",
        "1.2 ",
        " 1.2",
        "1.2\n",
        "1.2\0",
        "1.a",
        "1,2",
        "-1.2",
        "1.²",
        "\u0661.\u0662",
    ],
)
def test_anything_else_is_no_uid(text: str) -> None:
    """Empty parts, leading zeros, spaces, padding, letters and digits of other scripts are refused."""
    with pytest.raises(ValueError, match="not a DICOM UID"):
        Uid(text)


def test_a_uid_has_at_most_64_characters() -> None:
    """64 pass, 65 do not, and the error quotes no endless value."""
    longest = "1." + "2" * 62
    assert Uid(longest) == longest
    with pytest.raises(ValueError, match="not a DICOM UID") as fault:
        Uid(longest * 1000)
    assert len(str(fault.value)) < 120


def test_derived_uids_are_the_same_for_ever() -> None:
    """A re-run, also by a later release, repeats its UIDs: the value below must never change."""
    derived = InstanceUID.derived("series", "manifest", "kind")
    assert derived == "2.25.231645311208804185503910715936107301475"
    assert isinstance(derived, InstanceUID)


def test_other_parts_give_other_uids() -> None:
    """Each part counts, and so does their order."""
    made = {InstanceUID.derived(*parts) for parts in (("a", "b"), ("b", "a"), ("a",), ("a", "b", ""), ("a", "c"))}
    assert len(made) == 5


@pytest.mark.parametrize("text", ["A", "CELADON", "STORE SCP", "1234567890123456", "a-z_0.9"])
def test_an_ae_title_is_up_to_16_printable_characters(text: str) -> None:
    """Letters, digits, punctuation, spaces inside."""
    assert AeTitle(text) == text


def test_spaces_around_an_ae_title_do_not_count() -> None:
    """Padding on the wire is insignificant (PS3.5 section 6.2)."""
    assert AeTitle("  PACS            ") == "PACS"


@pytest.mark.parametrize("text", ["", "    ", "12345678901234567", "A\\B", "A\tB", "A\nB", "A\0", "PÄCS"])
def test_anything_else_is_no_ae_title(text: str) -> None:
    """Nothing, too much, backslashes, control characters and letters beyond ASCII are refused."""
    with pytest.raises(ValueError, match="AE title"):
        AeTitle(text)


def test_a_job_is_named_by_series_and_version() -> None:
    """Short, the same for the same version, another for another."""
    series = SeriesUID("1.2.3")
    first = JobId.of(series, 1)
    assert first == JobId.of(series, 1)
    assert len({first, JobId.of(series, 2), JobId.of(SeriesUID("1.2.31"), 1)}) == 3
    assert len(first) == 16
