"""HL7 v2 text: read as python-hl7 reads it, quickly, and whatever comes."""

import time

import hl7
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.clinical.hl7_text import NotHl7, is_batch, read_messages, unescape

HEADER = "MSH|^~\\&|LAB|HOSP|CELADON|NODE|20240506083000||ORU^R01^ORU_R01|17|P|2.5.1"
BODY = "\rPID|1||4711^^^HOSP^MR~99^^^OTHER||Doe&van^Jane\rOBX|1|NM|24108-3^CA 19-9^LN||37|U/mL|||||F"
SETS = ("ASCII", "8859/1", "UNICODE UTF-8", "GB 18030-2000", "GB18030")


def with_character_set(name: str, text: str = BODY) -> str:
    """A message that says in MSH-18 how it is written."""
    return f"{HEADER}||||||{name}{text}"


def test_fields_and_components_are_where_the_standard_counts_them() -> None:
    """MSH-1 is the separator itself; a field has repetitions, these components, these subcomponents."""
    (message,) = read_messages((HEADER + BODY).encode(), "utf-8")
    assert (message.control_id, message.kind) == ("17", ("ORU", "R01"))
    assert (message.header.raw(1), message.header.raw(2), message.header.component(3)) == ("|", "^~\\&", "LAB")
    pid, obx = message.segments[1:]
    assert [pid.components(one)[0] for one in pid.repetitions(3)] == ["4711", "99"]
    assert (pid.component(5), pid.component(5, 2), pid.component(99), pid.component(5, 9)) == ("Doe", "Jane", "", "")
    assert (obx.component(3), obx.component(5), obx.component(11)) == ("24108-3", "37", "F")


def test_python_hl7_reads_the_same() -> None:
    """Every field of every segment, compared with a parser that others wrote."""
    text = HEADER + BODY
    theirs = hl7.parse(text)
    (ours,) = read_messages(text.encode(), "utf-8")
    for segment, other in zip(ours.segments, theirs, strict=True):
        assert [segment.raw(number) for number in range(len(other))] == [str(field) for field in other]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r"])
def test_segments_end_as_senders_end_them(end: str) -> None:
    """The standard says CR; files have the others."""
    (message,) = read_messages((HEADER + BODY).replace("\r", end).encode(), "utf-8")
    assert [segment.name for segment in message.segments] == ["MSH", "PID", "OBX"]


@pytest.mark.parametrize(
    ("name", "codec", "family"),
    [
        ("", "utf-8", "Müller"),
        ("ASCII", "ascii", "Mueller"),
        ("8859/1", "iso8859-1", "Müller"),
        ("UNICODE UTF-8", "utf-8", "山田"),
        ("GB 18030-2000", "gb18030", "亅乗亅"),
        ("GB18030", "gb18030", "王"),
    ],
)
def test_character_sets_are_those_that_msh_18_names(name: str, codec: str, family: str) -> None:
    """In GB18030 the second byte of a character may look like a separator."""
    text = with_character_set(name, f"\rPID|1||4711||{family}^Jane")
    (message,) = read_messages(text.encode(codec), "utf-8")
    assert message.segments[1].component(5) == family


def test_a_header_in_gb18030_may_hold_separators_in_its_characters() -> None:
    """The sending application is written in characters of which half is a vertical bar."""
    name = next(chr(code) for code in range(0x4E00, 0x9FFF) if chr(code).encode("gb18030")[1:2] == b"|")
    text = with_character_set("GB 18030-2000").replace("LAB", name)
    (message,) = read_messages(text.encode("gb18030"), "utf-8")
    assert message.header.component(3) == name


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "NO_HEADER"),
        (b"MSH", "NO_HEADER"),
        (b"MSH|", "NO_HEADER"),
        (b"MSH|^~", "NO_HEADER"),
        (b"MSH|^^^^|x|y|z", "NO_HEADER"),
        (b"MSHA^~\\&A", "NO_HEADER"),
        (b"GET / HTTP/1.1\r\n\r\n", "NO_HEADER"),
        (b"PID|1\rMSH|^~\\&|LAB", "NO_HEADER"),
        (with_character_set("KLINGON").encode(), "CHARACTER_SET"),
        (with_character_set("ASCII").replace("Doe", "Müller").encode(), "CHARACTERS"),
        (HEADER.encode() + b"\rPID|1||\xff", "CHARACTERS"),
        ((HEADER + "\rOBX|1" * 20_001).encode(), "SEGMENTS"),
    ],
)
def test_what_is_no_message_is_a_code(content: bytes, code: str) -> None:
    """Without anything of what was sent."""
    with pytest.raises(NotHl7) as fault:
        read_messages(content, "utf-8")
    assert str(fault.value) == code


def test_a_batch_is_its_messages() -> None:
    """File and batch segments around them are left out."""
    text = f"FHS|^~\\&|LAB\rBHS|^~\\&|LAB\r{HEADER}{BODY}\r{HEADER.replace('|17|', '|18|')}{BODY}\rBTS|2\rFTS|1"
    assert is_batch(text.encode())
    assert [message.control_id for message in read_messages(text.encode(), "utf-8")] == ["17", "18"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        (r"a\S\b\F\c\T\d\R\e\E\f", "a^b|c&d~e\\f"),
        (r"line\.br\break\H\bold\N\ ", "linebreakbold "),
        (r"5 \ 6", r"5 \ 6"),
        ("\\", "\\"),
    ],
)
def test_escapes_are_resolved(text: str, expected: str) -> None:
    """Separators come back, layout goes, a lone backslash stays."""
    assert unescape(text, "^~\\&") == expected


def test_a_message_of_ten_megabytes_takes_no_time_to_speak_of() -> None:
    """Work grows with the bytes: no field is split that nobody asks for."""
    content = (HEADER + "\rOBX|" + "^" * 10_000_000 + "\rOBX|" + "\\" * 100_000).encode()
    began = time.process_time()
    (message,) = read_messages(content, "utf-8")
    assert message.segments[2].component(1) != "x"
    assert time.process_time() - began < 5


@settings(deadline=None, max_examples=300)
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda text: (HEADER + "\r" + text).encode()),
        st.sampled_from(SETS).flatmap(
            lambda name: st.binary(max_size=100).map(lambda tail: with_character_set(name).encode() + tail)
        ),
    )
)
def test_any_bytes_are_messages_or_a_code(content: bytes) -> None:
    """Nothing else comes out, and every field of what does can be asked for."""
    try:
        messages = read_messages(content, "utf-8")
    except NotHl7:
        return
    for message in messages:
        for segment in message.segments:
            for number in range(30):
                segment.component(number)
