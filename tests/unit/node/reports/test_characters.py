"""Character sets."""

import pytest

from node.reports.characters import CharacterSet


@pytest.mark.parametrize("terms", [(), ("ISO_IR 100",), ("ISO_IR 192",), ("GB18030",), ("GBK",)])
def test_a_plain_character_set_is_kept(terms: tuple[str, ...]) -> None:
    """A source with one plain character set, or none, gives it to its results."""
    characters = CharacterSet(terms)
    assert characters.is_kept
    assert characters.term == (terms[0] if terms else None)


def test_chinese_code_extensions_become_utf_8() -> None:
    """The example of PS3.5 section K.2 (empty first term, ISO 2022 IR 58) is read right and written in UTF-8."""
    characters = CharacterSet(("", "ISO 2022 IR 58"))
    name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="
    assert characters.term == "ISO_IR 192"
    assert characters.decode(name) == "Zhang^XiaoDong=张^小东="


def test_japanese_code_extensions_become_utf_8() -> None:
    """The example of PS3.5 section H.3.1 is read right."""
    characters = CharacterSet(("", "ISO 2022 IR 87"))
    name = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
    assert characters.decode(name) == "Yamada^Tarou=山田^太郎"


def test_undeclared_text_is_not_guessed() -> None:
    """Bytes beyond ASCII without a declared character set are unreadable, not somebody's other name."""
    assert CharacterSet(()).decode(b"\xcd\xf5^A") == "\ufffd\ufffd^A"


def test_our_own_text_fits_the_character_set_of_the_source() -> None:
    """What the character set cannot hold becomes a question mark instead of breaking the object."""
    assert CharacterSet(()).fit("胰腺 head") == "?? head"
    assert CharacterSet(("GB18030",)).fit("胰腺 head") == "胰腺 head"
