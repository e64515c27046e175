"""HL7 v2 messages as text: characters, segments, fields, components (HL7 v2.5.1 chapter 2, ER7 encoding).

Read here rather than by python-hl7 or hl7apy: what comes from the network is hostile, and python-hl7 0.4.5 takes 32 s
for a well-formed message of 3.8 MB and writes fields that it cannot unescape to the log. Fields are split only when
they are asked for. Tests read the same messages with python-hl7 and compare.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LARGEST_SEGMENTS: Final = 20_000

_FEWEST_HEADER_BYTES: Final = 8
_MSH_18: Final = 17
_SEGMENT_ENDS: Final = re.compile(r"\r\n|\r|\n")
_ESCAPE_LENGTH: Final = 12

# HL7 table 0211, and how senders spell it; Python's names of the codecs.
_CHARACTER_SETS: Final = {
    "ASCII": "ascii",
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/5": "iso8859-5",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "ISO-8859-1": "iso8859-1",
    "ISO8859-1": "iso8859-1",
    "GB 18030-2000": "gb18030",
    "GB18030": "gb18030",
}


class NotHl7(Exception):
    """Bytes that are no HL7 message; the text is a code without anything of the message."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: its name and fields, split on demand."""

    fields: tuple[str, ...]
    """``fields[n]`` is field n as the standard counts; of MSH, field 1 is the separator itself."""
    separators: str
    """Component, repetition, escape and subcomponent."""

    @property
    def name(self) -> str:
        """The three letters."""
        return self.fields[0]

    def raw(self, number: int) -> str:
        """Field ``number`` as it was sent; empty when the segment is shorter."""
        return self.fields[number] if number < len(self.fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """The repetitions of a field, still with their components."""
        return self.raw(number).split(self.separators[1])

    def components(self, repetition: str) -> list[str]:
        """The components of one repetition, each cut to its first subcomponent, without escapes."""
        return [
            unescape(part.partition(self.separators[3])[0], self.separators)
            for part in repetition.split(self.separators[0])
        ]

    def component(self, number: int, position: int = 1) -> str:
        """Component ``position`` of the first repetition of a field; the null value ``""`` is empty."""
        parts = self.components(self.repetitions(number)[0])
        text = parts[position - 1].strip() if position <= len(parts) else ""
        return "" if text == '""' else text


@dataclass(frozen=True, slots=True)
class Message:
    """A message: MSH first, then the others."""

    segments: tuple[Segment, ...]

    @property
    def header(self) -> Segment:
        """MSH."""
        return self.segments[0]

    @property
    def control_id(self) -> str:
        """MSH-10."""
        return self.header.component(10)

    @property
    def kind(self) -> tuple[str, str]:
        """MSH-9: message code and trigger event."""
        return self.header.component(9), self.header.component(9, 2)


def read_messages(content: bytes, default_encoding: str) -> list[Message]:
    """The messages of one frame: one, or those of a batch (FHS, BHS, …).

    Raises:
        NotHl7: it is none; ``NO_HEADER``, ``CHARACTER_SET``, ``CHARACTERS``, or ``SEGMENTS`` when there are too many.
    """
    text = _decode(content, default_encoding)
    lines = [line for line in _SEGMENT_ENDS.split(text) if line.strip()]
    if len(lines) > LARGEST_SEGMENTS:
        raise NotHl7("SEGMENTS")
    messages: list[list[str]] = []
    for line in lines:
        if line.startswith("MSH"):
            messages.append([line])
        elif line[:3] in ("FHS", "BHS", "BTS", "FTS"):
            continue
        elif messages:
            messages[-1].append(line)
        else:
            raise NotHl7("NO_HEADER")
    if not messages:
        raise NotHl7("NO_HEADER")
    return [_message(one) for one in messages]


def is_batch(content: bytes) -> bool:
    """Whether a frame is a batch, which is answered by a batch."""
    return content.lstrip()[:3] in (b"FHS", b"BHS")


def unescape(text: str, separators: str) -> str:
    """``text`` with its escape sequences resolved (HL7 v2.5.1 section 2.7); those of layout are left out."""
    escape = separators[2]
    if escape not in text:
        return text
    return "".join(_unescaped(text, separators))


def _unescaped(text: str, separators: str) -> Iterator[str]:
    escape = separators[2]
    letters = {"F": "|", "S": separators[0], "T": separators[3], "R": separators[1], "E": escape}
    rest = text
    while rest:
        before, found, rest = rest.partition(escape)
        yield before
        if not found:
            return
        code, closed, after = rest.partition(escape)
        if not closed or len(code) > _ESCAPE_LENGTH:
            yield found  # a lone escape character is a character
            continue
        yield letters.get(code, "")
        rest = after


def _message(lines: list[str]) -> Message:
    header = lines[0]
    if len(header) < _FEWEST_HEADER_BYTES:
        raise NotHl7("NO_HEADER")
    field, separators = (
        header[3],
        (header[4:8] if header[8:9] in (header[3], "") else header[4:].split(header[3])[0][:4]),
    )
    if len(separators) < 4 or field.isalnum() or len({field, *separators}) != 5:  # noqa: PLR2004 — ^~\& and |
        raise NotHl7("NO_HEADER")
    first, *others = lines
    name, *fields = first.split(field)
    segments = [Segment((name, field, *fields), separators)]
    segments += [Segment(tuple(line.strip().split(field)), separators) for line in others]
    return Message(tuple(segments))


def _decode(content: bytes, default_encoding: str) -> str:
    encoding = _encoding(content, default_encoding)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as exc:
        raise NotHl7("CHARACTERS") from exc


def _encoding(content: bytes, default_encoding: str) -> str:
    """The codec that MSH-18 names, or the default where it names none.

    The header must be split to know how it is written: in GB18030 a separator may be half of a character.
    """
    start = content.find(b"MSH")
    if start < 0:
        raise NotHl7("NO_HEADER")
    line = re.split(rb"[\r\n]", content[start : start + 4096], maxsplit=1)[0]
    named = [_named(line.decode(codec, "replace")) for codec in ("iso8859-1", "gb18030")]
    if named[1] == "GB18030" or named[1] == "GB 18030-2000":
        return "gb18030"
    if not named[0]:
        return default_encoding
    if named[0] not in _CHARACTER_SETS:
        raise NotHl7("CHARACTER_SET")
    return _CHARACTER_SETS[named[0]]


def _named(header: str) -> str:
    """What the first repetition of MSH-18 says, upper case."""
    fields = header.split(header[3:4] or "|")
    return fields[_MSH_18].split("~")[0].strip().upper() if len(fields) > _MSH_18 else ""
