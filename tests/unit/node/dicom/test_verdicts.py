"""Verdicts in documents of the archive: found wherever they stand; hostile documents are refused."""

import random
from pathlib import Path

import pytest

from node.dicom.sandbox_wire import BadMessage, Message, verdict_from, verdict_message
from node.dicom.verdicts import MOST_REFERENCES, read_verdict
from node.domain.reasons import ReasonCode
from node.domain.verdict import VERDICT_CODES, VerdictKind
from node.errors import Refused, Retryable
from tests.factories import PATIENT, STUDY, ct_slice, verdict_document, vital_signs, write


@pytest.mark.parametrize("modality", ["SR", "KO"])
def test_a_document_says_who_thinks_what_of_which_objects(tmp_path: Path, modality: str) -> None:
    """A structured report or a key object selection."""
    document = verdict_document(
        ["2.25.1", "2.25.2"], "V_DISAGREE", own_class=("1228929004", "SCT"), comment="fat plane kept",
        modality=modality,
    )  # fmt: skip
    (path,) = write([document], tmp_path)
    found = read_verdict(path)
    assert found is not None
    assert (found.study_uid, found.patient, found.is_final) == (STUDY, PATIENT, True)
    assert (found.observers, found.references) == (("Jones^Anna",), ("2.25.1", "2.25.2"))
    assert (found.verdicts, found.own_classes) == ((VerdictKind.DISAGREE,), ("CT2",))
    assert found.reason == "fat plane kept"
    assert verdict_from(verdict_message(found)) == found


@pytest.mark.parametrize("code", [value for value, _ in VERDICT_CODES])
def test_every_kind_of_verdict_has_its_code(tmp_path: Path, code: str) -> None:
    """In our scheme, and in no other."""
    (path,) = write([verdict_document(["2.25.1"], code)], tmp_path)
    found = read_verdict(path)
    assert found is not None
    assert found.verdicts == (VERDICT_CODES[(code, "99CELADON")],)
    stranger = verdict_document(["2.25.1"], code)
    stranger.ContentSequence[0].ContentSequence[-1].ConceptCodeSequence[0].CodingSchemeDesignator = "99OTHER"
    (path,) = write([stranger], tmp_path)
    assert read_verdict(path) is None


def test_a_document_without_a_verdict_has_none(tmp_path: Path) -> None:
    """Body size, or an image."""
    for one in (vital_signs(("8302-2", "LN", "172", "cm")), ct_slice()):
        (path,) = write([one], tmp_path)
        assert read_verdict(path) is None
    assert verdict_from(verdict_message(None)) is None


def test_whoever_verified_it_counts_before_whoever_is_named_within(tmp_path: Path) -> None:
    """Verifying Observer Sequence (PS3.3 section C.17.2)."""
    document = verdict_document(["2.25.1"], "V_AGREE")
    verifying = ct_slice()
    verifying.VerifyingObserverName = "Chief^Carl"
    document.VerifyingObserverSequence = [verifying]
    (path,) = write([document], tmp_path)
    found = read_verdict(path)
    assert found is not None
    assert found.observers == ("Chief^Carl",)


@pytest.mark.parametrize("changes", [{"CompletionFlag": "PARTIAL"}, {"PreliminaryFlag": "PRELIMINARY"}])
def test_what_is_not_complete_is_not_final(tmp_path: Path, changes: dict[str, str]) -> None:
    """As the document says of itself."""
    (path,) = write([verdict_document(["2.25.1"], "V_AGREE", **changes)], tmp_path)
    found = read_verdict(path)
    assert found is not None
    assert not found.is_final


def test_there_is_an_end_to_what_is_read(tmp_path: Path) -> None:
    """Of references, and of a comment."""
    many = verdict_document([f"2.25.{n}" for n in range(3000)], "V_AGREE", comment="x" * 9000)
    (path,) = write([many], tmp_path)
    found = read_verdict(path)
    assert found is not None
    assert len(found.references) == MOST_REFERENCES
    assert len(found.reason) == 4000


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bytes_that_were_tampered_with_are_refused_or_read_and_nothing_else(tmp_path: Path) -> None:
    """Three hundred documents, each with bytes changed, cut or put in."""
    (path,) = write([verdict_document(["2.25.1"], "V_AGREE", comment="word")], tmp_path)
    whole, chance = path.read_bytes(), random.Random(11)  # noqa: S311 — the same every time
    codes = []
    for number in range(300):
        content = bytearray(whole)
        for _ in range(1 + number % 8):
            place = chance.randrange(132, len(content))
            content[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        path.write_bytes(content[: chance.randrange(140, len(content))] if number % 3 == 0 else content)
        try:
            read_verdict(path)
        except Refused as exc:
            codes.append(exc.reason.code)
    assert 3 < len(codes) < 300
    assert set(codes) == {ReasonCode.DOCUMENT_UNREADABLE}


def test_a_file_that_is_gone_is_no_verdict_on_its_content(tmp_path: Path) -> None:
    """The disk is asked again later."""
    with pytest.raises(Retryable):
        read_verdict(tmp_path / "none")


@pytest.mark.parametrize("header", [{}, {"verdict": 3}, {"verdict": {"verdicts": ["x"]}}, {"verdict": {"patient": []}}])
def test_a_reply_that_is_no_verdict_is_no_answer(header: dict[str, object]) -> None:
    """A decoder that was taken over cannot make one up that does not hold."""
    with pytest.raises(BadMessage):
        verdict_from(Message(header))
