"""The names of things: DICOM unique identifiers, application entity titles and job ids.

Each is a ``str`` that has been checked, so that a signature says which identifier it means and a value that exists is
well formed.
"""

import re
import uuid
from typing import Final, Self

MANUFACTURER: Final = "Celadon"
"""Manufacturer (0008,0070) of every object that this program makes, and how it knows its own again."""

_UID_GRAMMAR = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_UID_MAX_CHARACTERS = 64
_AE_MAX_CHARACTERS = 16
# Celadon's own name space for derived identifiers: fixed for ever, since changing it would change every result's UID.
_NAMESPACE = uuid.UUID("6f0c5f0e-5a0b-5d5c-9e57-0a6f5e1ad0c4")


class Uid(str):
    """A DICOM unique identifier: dotted decimal, no leading zeros, at most 64 characters (PS3.5 section 9.1)."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Check ``value`` against the grammar; ValueError when it is not a UID."""
        if len(value) > _UID_MAX_CHARACTERS or not _UID_GRAMMAR.fullmatch(value):
            raise ValueError(f"not a DICOM UID: {value[:80]!r}")
        return super().__new__(cls, value)

    @classmethod
    def derived(cls, *parts: str) -> Self:
        """The UID under 2.25 (PS3.5 section B.2) that the same parts always give: re-runs repeat their UIDs."""
        return cls(f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(parts)).int}")


IMPLEMENTATION_CLASS_UID: Final = Uid.derived("implementation", "celadon")
"""Which implementation speaks, in associations and in files (PS3.7 section D.3.3.2.1)."""
IMPLEMENTATION_VERSION_NAME: Final = "CELADON"
"""The same for people (PS3.7 section D.3.3.2.3), at most 16 characters."""


class StudyUID(Uid):
    """A Study Instance UID (0020,000D)."""

    __slots__ = ()


class SeriesUID(Uid):
    """A Series Instance UID (0020,000E)."""

    __slots__ = ()


class InstanceUID(Uid):
    """A SOP Instance UID (0008,0018)."""

    __slots__ = ()


class FrameOfReferenceUID(Uid):
    """A Frame of Reference UID (0020,0052)."""

    __slots__ = ()


class AeTitle(str):
    """An application entity title: 1 to 16 characters, no backslash or control character (PS3.5 section 6.2)."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Strip the insignificant spaces and check; ValueError when it is not an AE title."""
        title = value.strip(" ")
        if not title or len(title) > _AE_MAX_CHARACTERS or not title.isascii() or not title.isprintable():
            raise ValueError(f"not an AE title: {value[:40]!r}")
        if "\\" in title:
            raise ValueError(f"an AE title has no backslash: {value[:40]!r}")
        return super().__new__(cls, title)


class JobId(str):
    """The name of one analysis: a version of one series. Short enough to type, the same for the same version."""

    __slots__ = ()

    @classmethod
    def of(cls, series: SeriesUID, version: int) -> Self:
        """The id of ``version`` (1 is the first) of ``series``."""
        return cls(uuid.uuid5(_NAMESPACE, f"{series}|{version}").hex[:16])
