"""Presentation contexts: what is accepted, what is proposed, and the limit of 128."""

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from node.dicom.contexts import (
    ACCEPTED_SOP_CLASSES,
    ACCEPTED_TRANSFER_SYNTAXES,
    MAX_CONTEXTS,
    accepted_contexts,
    proposed_contexts,
    result_contexts,
    retrieval_contexts,
)

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_deflated_is_never_accepted() -> None:
    """No accepted context holds a deflated transfer syntax."""
    for context in accepted_contexts():
        assert DeflatedExplicitVRLittleEndian not in context.transfer_syntax


def test_every_context_takes_the_default_syntax() -> None:
    """Implicit VR Little Endian is accepted everywhere, as PS3.5 section 10.1 demands."""
    assert all(ImplicitVRLittleEndian in context.transfer_syntax for context in accepted_contexts())
    assert len(accepted_contexts()) == len(set(ACCEPTED_SOP_CLASSES))


def test_each_pair_is_proposed_on_its_own() -> None:
    """Every context that is proposed has one transfer syntax, and the same pair is proposed once."""
    ((compressed, explicit, implicit),) = proposed_contexts(
        [(CT, JPEG2000Lossless), (CT, ExplicitVRLittleEndian), (CT, JPEG2000Lossless)]
    )
    assert compressed.transfer_syntax == [JPEG2000Lossless]
    assert explicit.transfer_syntax == [ExplicitVRLittleEndian]
    assert implicit.transfer_syntax == [ImplicitVRLittleEndian]


def test_more_than_128_contexts_go_over_several_associations() -> None:
    """No association proposes more contexts than there are context ids."""
    many = [(f"1.2.3.{number}", JPEG2000Lossless) for number in range(300)]
    lists = proposed_contexts(many)
    assert [len(one) for one in lists] == [128, 128, 44]


def test_results_fit_into_one_association() -> None:
    """Everything that Celadon writes can be proposed at once."""
    assert 0 < len(result_contexts()) <= MAX_CONTEXTS


def test_retrieval_leaves_room_for_the_query_itself() -> None:
    """However many classes a study has, one context is left for C-GET."""
    assert len(retrieval_contexts([CT])) == len(ACCEPTED_TRANSFER_SYNTAXES)
    assert len(retrieval_contexts([f"1.2.3.{number}" for number in range(40)])) == 40
    assert len(retrieval_contexts([f"1.2.3.{number}" for number in range(200)])) == MAX_CONTEXTS - 1
