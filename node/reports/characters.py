"""Character sets: which one a result object declares, and how the source's text gets into it unchanged.

A source with one plain character set (or none) keeps it, and its bytes are copied as they are. A source that switches
character sets within a value (code extensions, PS3.5 section 6.1.2.5.3) is decoded once and written in UTF-8:
highdicom refuses an empty first term and pydicom mis-reads ISO 2022 IR 58.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes, python_encoding

UTF8: Final = "ISO_IR 192"
_PLAIN: Final = re.compile(r"ISO_IR \d+|GB18030|GBK")
_CHINESE: Final = "ISO 2022 IR 58"
_ESCAPES: Final = re.compile(rb"\x1b(?:\$\)|\(|\))[A-Z]")
# Where code extensions fall back to the first character set (PS3.5 section 6.1.2.5.3)
_PN_DELIMITERS: Final = {0x5E, 0x3D}


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """What the source declares (0008,0005) and what the results declare."""

    source: tuple[str, ...]
    """The defined terms of the source; empty when it declares none."""
    is_too_small: bool = False
    """Whether the results hold text that the source's set has no letters for."""

    @property
    def is_kept(self) -> bool:
        """Whether the source's bytes can be copied as they are."""
        return self._is_plain and not self.is_too_small

    @property
    def _is_plain(self) -> bool:
        return not self.source or (len(self.source) == 1 and bool(_PLAIN.fullmatch(self.source[0])))

    def holding(self, text: str) -> "CharacterSet":
        """This one where it has letters for ``text``, else the same source written in UTF-8."""
        return self if self.fit(text) == text else replace(self, is_too_small=True)

    @property
    def term(self) -> str | None:
        """Specific Character Set (0008,0005) of the results; None: leave it out, as the source did."""
        if not self.is_kept:
            return UTF8
        return self.source[0] if self.source else None

    @property
    def codec(self) -> str:
        """The Python codec of ``term``; undeclared text is ASCII (PS3.5 section 6.1.2.1)."""
        return "ascii" if self.term is None else python_encoding.get(self.term, "ascii")

    def decode(self, value: bytes) -> str:
        """The text of the source's ``value``; what cannot be read becomes U+FFFD, and is never guessed."""
        if self._is_plain:
            codec = python_encoding.get(self.source[0], "ascii") if self.source else "ascii"
            return value.decode(codec, errors="replace")
        if _CHINESE in self.source:
            return _ESCAPES.sub(b"", value).decode("gb2312", errors="replace")
        return str(decode_bytes(value, convert_encodings(list(self.source)), _PN_DELIMITERS))

    def fit(self, text: str) -> str:
        """Our own ``text`` as far as the results' character set can hold it; the rest becomes question marks."""
        return text.encode(self.codec, errors="replace").decode(self.codec)
