"""The answer to an A-ASSOCIATE-RQ: rejection, or the accepted contexts. Encoding and rules are pynetdicom's."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationVersionNameNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor

from node.dicom.pdus import Abort, PduType, ProtocolFault
from node.domain.identifiers import AeTitle


class Rejection(Enum):
    """Result, source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    NO_REASON = (1, 1, 1)
    APPLICATION_CONTEXT_NOT_SUPPORTED = (1, 1, 2)
    CALLING_AE_NOT_RECOGNIZED = (1, 1, 3)
    CALLED_AE_NOT_RECOGNIZED = (1, 1, 7)
    PROTOCOL_VERSION_NOT_SUPPORTED = (1, 2, 2)
    TEMPORARY_CONGESTION = (2, 3, 1)
    LOCAL_LIMIT_EXCEEDED = (2, 3, 2)


@dataclass(frozen=True, slots=True)
class Acceptor:
    """Who answers, and what it accepts."""

    ae_title: AeTitle
    contexts: tuple[PresentationContext, ...]
    """Of several transfer syntaxes that both sides know, the first one here is taken."""
    implementation_class_uid: str
    implementation_version_name: str
    calling_aes: frozenset[AeTitle] = frozenset()
    """Who may call; empty: anybody."""


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Request:
    """An association request that could be read; what it claims is not checked."""

    primitive: A_ASSOCIATE = field(repr=False)
    protocol_version: int

    @property
    def longest_pdu(self) -> int:
        """The longest PDU that the requestor takes; 0 is no limit (PS3.8 section D.1)."""
        length = self.primitive.maximum_length_received
        return _USUAL_PDU_BYTES if length is None else int(length)


APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"  # PS3.7 section A.2.1
_USUAL_PDU_BYTES: Final = 16 * 1024
_SHORTEST_PDU_BYTES: Final = 64
"""A peer that takes less could not be answered in any sensible time."""
_VERSION_1: Final = 0b1  # PS3.8 table 9-11: of the version only bit 0 is tested
_MOST_ITEMS: Final = 4096
"""Items and sub-items: as many as 128 contexts with 30 transfer syntaxes each have, too few to cost much time."""
_FIXED_BYTES: Final = 68  # PS3.8 table 9-11: what stands before the items
_ITEM: Final = struct.Struct(">BxH")
# PS3.8 tables 9-13 and 9-16: the items that have sub-items, and what stands before these.
_NESTED: Final = {0x20: 4, 0x50: 0}


def read_request(body: memoryview) -> Request:
    """The request in the body of an A-ASSOCIATE-RQ PDU; ProtocolFault when it cannot be read."""
    try:
        _require_few_items(body)
        pdu = A_ASSOCIATE_RQ()
        pdu.decode(struct.pack(">BxI", PduType.ASSOCIATE_RQ, len(body)) + body)
        return Request(pdu.to_primitive(), pdu.protocol_version)
    except ProtocolFault:
        raise
    except Exception as exc:  # the library raises many kinds on hostile bytes
        raise _unreadable(exc) from exc


def rejection_of(
    request: Request, acceptor: Acceptor, address: str, admit: Callable[[AeTitle, str], bool]
) -> Rejection | None:
    """Why there will be no association, or None. ``admit`` is asked last, of a calling AE title and its address."""
    primitive = request.primitive
    if not request.protocol_version & _VERSION_1:
        return Rejection.PROTOCOL_VERSION_NOT_SUPPORTED
    if primitive.application_context_name != APPLICATION_CONTEXT:
        return Rejection.APPLICATION_CONTEXT_NOT_SUPPORTED
    if primitive.called_ae_title != acceptor.ae_title:
        return Rejection.CALLED_AE_NOT_RECOGNIZED
    if 0 < request.longest_pdu < _SHORTEST_PDU_BYTES:
        return Rejection.NO_REASON
    try:
        calling = AeTitle(primitive.calling_ae_title)
    except ValueError:
        return Rejection.CALLING_AE_NOT_RECOGNIZED
    is_known = not acceptor.calling_aes or calling in acceptor.calling_aes
    return None if is_known and admit(calling, address) else Rejection.CALLING_AE_NOT_RECOGNIZED


def rejection_pdu(rejection: Rejection) -> bytes:
    """An A-ASSOCIATE-RJ PDU."""
    pdu = A_ASSOCIATE_RJ()
    pdu.result, pdu.source, pdu.reason_diagnostic = rejection.value
    return bytes(pdu.encode())


def accept(request: Request, acceptor: Acceptor, longest_pdu: int) -> tuple[bytes, Mapping[int, Context]]:
    """The A-ASSOCIATE-AC PDU, which says that we take PDUs up to ``longest_pdu``, and the accepted contexts by id.

    An asynchronous operations window is not answered, which means that there is none (PS3.7 section D.3.3.3); neither
    is extended negotiation or user identity.
    """
    try:
        results, role_replies = _negotiate(request.primitive, acceptor)
        pdu = A_ASSOCIATE_AC(_answer(request.primitive, acceptor, longest_pdu, results, role_replies))
        return bytes(pdu.encode()), {one.context_id: _context(one) for one in results if one.result == 0}
    except Exception as exc:  # as in ``read_request``: a context without a transfer syntax, for one
        raise _unreadable(exc) from exc


def _negotiate(asked: A_ASSOCIATE, acceptor: Acceptor) -> tuple[list[Any], list[Any]]:
    roles = {
        item.sop_class_uid: (item.scu_role, item.scp_role)
        for item in asked.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
    }
    results, replies = negotiate_as_acceptor(asked.presentation_context_definition_list, list(acceptor.contexts), roles)
    return results, replies


def _answer(
    asked: A_ASSOCIATE, acceptor: Acceptor, longest_pdu: int, results: list[Any], role_replies: list[Any]
) -> A_ASSOCIATE:
    answer = A_ASSOCIATE()
    answer.application_context_name = APPLICATION_CONTEXT
    answer.calling_ae_title, answer.called_ae_title = asked.calling_ae_title, asked.called_ae_title
    answer.presentation_context_definition_results_list = results
    answer.maximum_length_received = longest_pdu
    answer.implementation_class_uid = acceptor.implementation_class_uid
    answer.user_information += [_version_name(acceptor.implementation_version_name), *role_replies]
    return answer


def _unreadable(error: Exception) -> ProtocolFault:
    return ProtocolFault(Abort.INVALID_PARAMETER, f"an association request cannot be read: {type(error).__name__}")


def _context(accepted: Any) -> Context:
    return Context(accepted.context_id, str(accepted.abstract_syntax), str(accepted.transfer_syntax[0]))


def _version_name(name: str) -> Any:
    item = ImplementationVersionNameNotification()
    item.implementation_version_name = name
    return item


def _require_few_items(body: memoryview) -> None:
    """ProtocolFault when reading the items would take long: an empty item costs the peer four bytes, us far more."""
    count, spans = 0, [(_FIXED_BYTES, len(body))]
    while spans:
        offset, end = spans.pop()
        while offset + _ITEM.size <= end:
            kind, length = _ITEM.unpack_from(body, offset)
            start, offset = offset + _ITEM.size, offset + _ITEM.size + length
            count += 1
            if count > _MOST_ITEMS:
                raise ProtocolFault(Abort.INVALID_PARAMETER, "an association request has too many items")
            if kind in _NESTED:
                spans.append((start + _NESTED[kind], min(offset, end)))
