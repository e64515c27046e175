"""The guarded upper layer, over real connections on the loopback interface."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from itertools import repeat
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pynetdicom.presentation import build_context

from node.dicom.upper_layer import End, Limits, StoreRequest, UpperLayerServer
from node.domain.identifiers import AeTitle
from node.domain.reasons import ReasonCode
from tests.factories import as_file, ct_slice
from tests.raw_peer import (
    ABORT,
    CT,
    ECHO,
    FIND,
    ME,
    RELEASE_RP,
    RELEASE_RQ,
    UNSUPPORTED,
    RawPeer,
    Recorder,
    acceptor,
    associate_rq,
    bytewise,
    command_set,
    data_tf,
    echo_rq,
    elements_of,
    pdu,
    serving,
    store,
    store_rq,
    ui,
    us,
    value,
)

SOON_S = 0.5
"""Long for a peer that is here, however busy the machine: a shorter pause of ours would be taken for its silence."""
IMPATIENT = Limits(
    artim_s=SOON_S, handshake_s=SOON_S, pdu_s=SOON_S, idle_s=5.0, pause_s=SOON_S, closing_s=SOON_S, room_s=SOON_S
)
WITHIN_S = 10.0


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def _data_set(index: int = 0, **changes: object) -> tuple[str, bytes]:
    """UID and data set, as it goes over the wire, of a small CT image."""
    file = as_file(ct_slice(index, **changes))
    meta_length = int.from_bytes(file[140:144], "little")
    return str(ct_slice(index).SOPInstanceUID), file[144 + meta_length :]


# ---- associations


def test_an_echo_is_answered_and_the_association_released() -> None:
    """A C-ECHO is answered 0x0000, to the message that asked; the release is answered and reported."""
    user = Recorder()
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate()
        peer.send(data_tf(value(ECHO, echo_rq(message_id=77))))
        response = elements_of(peer.response())
        assert (response[0x100], response[0x120], response[0x900]) == (us(0x8030), us(77), us(0))
        assert int.from_bytes(response[0], "little") == sum(8 + len(one) for one in response.values()) - 12
        peer.release()
        assert user.how_it_ended() is End.RELEASED


def test_the_release_ends_the_connection() -> None:
    """After a release response the server waits for the peer to close, and closes itself when it does not."""
    with serving(limits=IMPATIENT) as server, RawPeer(server.port) as peer:
        peer.associate().send(RELEASE_RQ)
        peer.expect(6)
        assert peer.answer() is None
        _until(lambda: server.connection_count == 0, "the connection is closed")


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"called": "OTHER"}, (1, 1, 7)),
        ({"calling": "STRANGER"}, (1, 1, 3)),
        ({"application": "1.2.3"}, (1, 1, 2)),
        ({"longest": 8}, (1, 1, 1)),
    ],
)
def test_a_wrong_request_is_rejected_with_its_reason(changes: dict[str, object], result: tuple[int, ...]) -> None:
    """Called and calling AE title, application context and PDU length each have their code (PS3.8 table 9-21)."""
    with serving(accepts=acceptor(calling_aes=frozenset({ME}))) as server, RawPeer(server.port) as peer:
        peer.send(associate_rq(**changes))  # type: ignore[arg-type]
        assert tuple(peer.expect(3)[1][1:]) == result
        assert peer.answer() is None


def test_another_protocol_version_is_rejected() -> None:
    """Bit 0 of the protocol version must be set; the other bits are not looked at."""
    request = bytearray(associate_rq())
    with serving() as server:
        for version, kind in ((0x8001, 2), (0x0002, 3)):
            request[6:8] = version.to_bytes(2, "big")
            with RawPeer(server.port) as peer:
                peer.send(bytes(request))
                body = peer.expect(kind)[1]
        assert tuple(body[1:]) == (1, 2, 2)


def test_the_user_decides_who_is_admitted() -> None:
    """A calling AE title from an address that the user does not admit is rejected as not recognized."""
    user = Recorder(admitted=lambda title, address: (title, address) == (ME, "127.0.0.2"))
    with serving(user) as server, RawPeer(server.port) as stranger, RawPeer(server.port, source="127.0.0.2") as known:
        stranger.send(associate_rq())
        assert tuple(stranger.expect(3)[1][1:]) == (1, 1, 3)
        assert known.associate().echo() == 0


def test_contexts_are_negotiated_one_by_one() -> None:
    """An unknown SOP class and an unknown transfer syntax are refused by themselves; the rest is accepted."""
    proposed = [
        build_context(CTImageStorage, [DeflatedExplicitVRLittleEndian]),
        build_context(CTImageStorage, [DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian]),
        build_context(FIND),
    ]
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    with serving() as server, RawPeer(server.port) as peer:
        peer.send(associate_rq(contexts=proposed, window=(0, 0)))
        items = _items(peer.expect(2)[1][68:])
    contexts = [body for kind, body in items if kind == 0x21]
    assert [(body[0], body[2]) for body in contexts] == [(1, 4), (3, 0), (5, 3)]
    (information,) = [body for kind, body in items if kind == 0x50]
    kinds = dict(_items(information))
    assert int.from_bytes(kinds[0x51], "big") == Limits().data_pdu
    assert 0x53 not in kinds, "an asynchronous operations window must not be granted"


def _items(data: bytes) -> list[tuple[int, bytes]]:
    items, offset = [], 0
    while offset < len(data):
        kind, length = struct.unpack_from(">BxH", data, offset)
        items.append((kind, data[offset + 4 : offset + 4 + length]))
        offset += 4 + length
    return items


def test_an_abort_by_the_peer_is_quiet() -> None:
    """An A-ABORT is not answered; the association is reported as ended by the peer."""
    user = Recorder()
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().send(ABORT)
        assert peer.answer() is None
        assert user.how_it_ended() is End.ABORTED_BY_PEER


def test_a_lost_connection_is_reported() -> None:
    """A peer that vanishes ends its association, once."""
    user = Recorder()
    with serving(user) as server:
        with RawPeer(server.port) as peer:
            peer.associate()
        assert user.how_it_ended() is End.LOST
        _until(lambda: server.connection_count == 0, "the connection is forgotten")
    assert len(user.ended) == 1


# ---- what may not be sent


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (pdu(9, b"1234"), (2, 1)),
        (b"GET / HTTP/1.1\r\n\r\n", (2, 1)),
        (RELEASE_RP, (2, 2)),
        (associate_rq(), (2, 2)),
        (pdu(5, b"12345678"), (2, 2)),
        (pdu(4, b""), (2, 6)),
        (pdu(4, b"\0\0\0"), (2, 6)),
        (pdu(4, struct.pack(">IBB", 1, ECHO, 3)), (2, 6)),
        (pdu(4, struct.pack(">IBB", 2**32 - 1, ECHO, 3) + b"12"), (2, 6)),
        (data_tf(*[value(ECHO, b"", last=False)] * 257), (2, 6)),
        (data_tf(value(UNSUPPORTED, echo_rq())), (2, 6)),
        (data_tf(value(99, echo_rq())), (2, 6)),
        (data_tf(value(CT, b"data", command=False)), (2, 5)),
        (data_tf(value(CT, store_rq()), value(CT, store_rq())), (2, 5)),
        (data_tf(value(CT, store_rq()), value(ECHO, b"data", command=False)), (2, 5)),
        (data_tf(value(ECHO, b"")), (2, 6)),
        (data_tf(value(ECHO, b"\0\0\2\0")), (2, 6)),
        (data_tf(value(ECHO, echo_rq()[:-1])), (2, 6)),
        (data_tf(value(ECHO, b"\x08" + echo_rq()[1:])), (2, 6)),
        (data_tf(value(ECHO, echo_rq() + echo_rq())), (2, 6)),
        (data_tf(value(ECHO, command_set((0x100, us(0x30)), (0x800, us(0x0101))))), (2, 6)),
        (data_tf(value(ECHO, command_set((0x100, b"\x30"), (0x110, us(1)), (0x800, us(0x0101))))), (2, 6)),
        (data_tf(value(ECHO, echo_rq(field_=0x8030))), (2, 5)),
        (data_tf(value(CT, store_rq().replace(us(0x800) + b"\2\0\0\0\0\0", us(0x800) + b"\2\0\0\0\1\1"))), (2, 6)),
    ],
)
def test_what_has_no_place_in_an_association_aborts_it(sent: bytes, reason: tuple[int, int]) -> None:
    """Each fault is answered with an A-ABORT of the provider and its reason (PS3.8 table 9-26), and a closed end."""
    user = Recorder()
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().send(sent)
        assert peer.abort_reason() == reason
        assert user.how_it_ended() is End.ABORTED
        assert not user.stored


_FIXED_AND_APPLICATION = associate_rq()[6:99]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x00" * 64, id="zeros"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x11" * 64, id="TLS hello"),
        pytest.param(data_tf(value(ECHO, echo_rq())), id="data"),
        pytest.param(RELEASE_RQ, id="release"),
        pytest.param(pdu(1, b""), id="empty request"),
        pytest.param(pdu(1, b"\x00\x01" + b"\xff" * 200), id="request of noise"),
        pytest.param(pdu(1, _FIXED_AND_APPLICATION + b"\x10\0\0\0" * 5000), id="thousands of items"),
        pytest.param(pdu(1, _FIXED_AND_APPLICATION + b"\x20\0\0\4\1\0\0\0"), id="a context without syntaxes"),
        pytest.param(pdu(1, _FIXED_AND_APPLICATION + b"\x20\0\xff\xff\1\0\0\0"), id="an item that lies"),
    ],
)
def test_what_is_no_association_request_is_aborted(sent: bytes) -> None:
    """Anything but a readable association request gets an A-ABORT by the user (PS3.8 table 9-10: AA-1)."""
    user = Recorder()
    with serving(user, IMPATIENT) as server, RawPeer(server.port) as peer:
        peer.send(sent)
        assert peer.abort_reason() == (0, 0)
        _until(lambda: server.connection_count == 0, "the connection is closed")
    assert not user.ended


@pytest.mark.parametrize("length", [Limits().request_pdu + 1, 0xFFFFFFFF])
def test_a_request_that_claims_too_much_is_cut_at_its_header(length: int) -> None:
    """Before an association the longest PDU is short; a longer one is not read."""
    with serving() as server, RawPeer(server.port) as peer:
        peer.send(struct.pack(">BxI", 1, length))
        assert peer.abort_reason() == (0, 0)


@pytest.mark.parametrize("length", [Limits().data_pdu + 1, 0xFFFFFFFF])
def test_data_that_claim_too_much_are_cut_at_their_header(length: int) -> None:
    """Within an association no PDU may be longer than was agreed."""
    with serving() as server, RawPeer(server.port) as peer:
        peer.associate().send(struct.pack(">BxI", 4, length))
        assert peer.abort_reason() == (2, 6)


def test_the_longest_pdu_agreed_is_taken() -> None:
    """The limit is what was agreed, not a byte less."""
    user = Recorder()
    data = bytes(Limits().data_pdu - 6)
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().send(store(data, step=len(data)))
        assert peer.status() == 0
    assert user.stored[0].data_set == data


def test_a_request_in_crumbs_is_cut() -> None:
    """Thousands of values with next to nothing in them are not put together."""
    crumbs = data_tf(*[value(CT, b"12", command=False, last=False)] * 200)
    with serving() as server, RawPeer(server.port) as peer:
        peer.associate().send(data_tf(value(CT, store_rq())) + crumbs * 6)
        assert peer.abort_reason() == (2, 6)


def test_an_endless_command_is_cut() -> None:
    """A command set longer than any command is not collected."""
    limits = Limits(command_set=1024)
    with serving(limits=limits) as server, RawPeer(server.port) as peer:
        peer.associate().send(data_tf(value(ECHO, bytes(1000), last=False), value(ECHO, bytes(1000), last=False)))
        assert peer.abort_reason() == (2, 6)


# ---- slow and silent peers


def test_ten_partial_headers_hold_up_nobody() -> None:
    """While ten peers stop within a PDU's header, a legitimate one is served; they are still there afterwards."""
    patient = replace(IMPATIENT, artim_s=WITHIN_S, pdu_s=WITHIN_S)
    with serving(limits=patient) as server, ExitStack() as held:
        for _ in range(5):
            held.enter_context(RawPeer(server.port)).send(b"\x01\x00\x00")
            held.enter_context(RawPeer(server.port)).associate().send(b"\x04\x00\x00")
        with RawPeer(server.port) as peer:
            assert peer.associate().echo() == 0
        assert server.active_count >= 5
        assert server.connection_count >= 10


@pytest.mark.parametrize("sent", [b"", b"\x01", associate_rq()[:50]])
def test_silence_before_an_association_ends_it(sent: bytes) -> None:
    """Without a whole request by the ARTIM deadline the connection is closed (PS3.8 table 9-10: AA-2)."""
    with serving(limits=IMPATIENT) as server, RawPeer(server.port) as peer:
        peer.send(sent)
        assert peer.answer() is None


@pytest.mark.parametrize(
    "sent",
    [
        b"\x04\x00\x00",
        data_tf(value(ECHO, echo_rq()))[:-1],
        data_tf(value(ECHO, echo_rq()[:8], last=False)),
        data_tf(value(CT, store_rq())),
        store(bytes(100))[:-20],
    ],
)
def test_silence_within_a_request_ends_the_association(sent: bytes) -> None:
    """Neither a PDU nor a request may stop halfway: a deadline ends the association."""
    user = Recorder()
    with serving(user, IMPATIENT) as server, RawPeer(server.port) as peer:
        peer.associate().send(sent)
        assert peer.abort_reason() == (2, 0)
        assert user.how_it_ended() is End.ABORTED


def _fails_to_send(pieces: Iterable[bytes], peer: RawPeer) -> bool:
    """Whether the connection ends before all of ``pieces`` are sent."""
    try:
        for piece in pieces:
            peer.send(piece)
    except OSError:
        return True
    return False


def test_a_trickle_is_cut() -> None:
    """A byte now and then does not move a PDU's deadline."""
    with serving(limits=IMPATIENT) as server, RawPeer(server.port) as peer, RawPeer(server.port) as other:
        other.associate()
        assert _fails_to_send(bytewise(associate_rq(), SOON_S / 10), peer)
        assert _fails_to_send(bytewise(data_tf(value(ECHO, echo_rq())), SOON_S / 10), other)


def test_a_request_of_small_pdus_must_keep_a_pace() -> None:
    """Whole PDUs that come in time but make no progress do not keep a request alive."""
    limits = replace(IMPATIENT, request_s=SOON_S, slowest=10**6)  # far fewer PDUs than would be crumbs
    with serving(limits=limits) as server, RawPeer(server.port) as peer:
        peer.associate().send(data_tf(value(CT, store_rq())))
        tiny = data_tf(value(CT, b"12", command=False, last=False))
        assert _fails_to_send((time.sleep(SOON_S / 10) or tiny for _ in range(1000)), peer)


def test_a_silent_association_lives_until_the_idle_time() -> None:
    """Silence between requests is allowed for longer than any within them, and not for ever."""
    with serving(limits=replace(IMPATIENT, idle_s=60.0)) as server, RawPeer(server.port) as peer:
        peer.associate()
        time.sleep(2 * SOON_S)
        assert peer.echo() == 0
    with serving(limits=replace(IMPATIENT, idle_s=SOON_S)) as server, RawPeer(server.port) as peer:
        assert peer.associate().abort_reason() == (2, 0)


def test_a_peer_that_does_not_read_is_cut() -> None:
    """Requests whose answers are never read end the association instead of filling memory."""
    user = Recorder()
    with serving(user, IMPATIENT) as server, RawPeer(server.port) as peer:
        peer.associate()
        assert _fails_to_send(repeat(data_tf(value(ECHO, echo_rq())) * 1000), peer)
        assert user.how_it_ended() is End.ABORTED


# ---- how many


def test_a_host_has_only_so_many_connections() -> None:
    """One host too many times is rejected at once, transiently; other hosts are not touched by it."""
    with serving(limits=Limits(connections_per_host=2)) as server, ExitStack() as held:
        for _ in range(2):
            held.enter_context(RawPeer(server.port, source="127.0.0.2"))
        excess = held.enter_context(RawPeer(server.port, source="127.0.0.2"))
        assert tuple(excess.expect(3)[1][1:]) == (2, 3, 2)
        assert excess.answer() is None
        assert held.enter_context(RawPeer(server.port)).associate().echo() == 0


def test_there_are_only_so_many_connections_in_all() -> None:
    """The total is limited too, and a place that becomes free is given to the next."""
    with serving(limits=Limits(connections=2)) as server, ExitStack() as held:
        first = held.enter_context(RawPeer(server.port, source="127.0.0.2"))
        held.enter_context(RawPeer(server.port, source="127.0.0.3"))
        excess = held.enter_context(RawPeer(server.port, source="127.0.0.4"))
        assert tuple(excess.expect(3)[1][1:]) == (2, 3, 2)
        first.socket.close()
        _until(lambda: server.connection_count == 1, "the place is free")
        assert held.enter_context(RawPeer(server.port)).associate().echo() == 0


def _threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_hostile_connections_leave_nothing_behind() -> None:
    """After 200 bad ends there are as many threads and descriptors as before."""
    threads, descriptors = _threads(), _descriptors()
    with serving(limits=IMPATIENT) as server:
        for number in range(200):
            with RawPeer(server.port) as peer:
                _misbehave(peer, number)
        _until(lambda: server.connection_count == 0, "all are closed")
    _until(lambda: _threads() == threads, "all threads have ended")
    assert _descriptors() == descriptors


def _misbehave(peer: RawPeer, number: int) -> None:
    match number % 5:
        case 0:
            peer.send(b"\x01\x00")
        case 1:
            peer.associate().send(store(bytes(1000))[:-100])
        case 2:
            peer.associate().send(b"\xff" * 100)
        case 3:
            peer.send(struct.pack(">BxI", 1, 0xFFFFFFFF))
        case _:
            peer.associate().send(store(bytes(100), number))


# ---- requests


def test_an_object_arrives_as_it_was_sent() -> None:
    """The request carries everything that its sender said, and a DICOM file that reads as the object."""
    user = Recorder()
    uid, data = _data_set()
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().send(store(data, 41, uid=uid))
        response = elements_of(peer.response())
        assert (response[0x100], response[0x120], response[0x900]) == (us(0x8001), us(41), us(0))
        assert (response[2], response[0x1000]) == (ui(CTImageStorage), ui(uid))
    (request,) = user.stored
    assert request.data_set == data
    assert (request.sop_class_uid, request.sop_instance_uid, request.message_id) == (CTImageStorage, uid, 41)
    assert (request.abstract_syntax, request.transfer_syntax) == (CTImageStorage, ExplicitVRLittleEndian)
    association = request.association
    assert (association.calling_ae, association.called_ae, association.address) == (ME, "CELADON", "127.0.0.1")
    read = dcmread(BytesIO(request.content))
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert read.file_meta.MediaStorageSOPInstanceUID == uid
    assert read.file_meta.FileMetaInformationGroupLength == request.data_set_offset - 144
    assert read.PatientName == ct_slice().PatientName


@pytest.mark.parametrize("step", [1, 2, 101, 4096, 10**6])
def test_a_data_set_may_come_in_any_pieces(step: int) -> None:
    """However a data set is split into values and PDUs, it is the same."""
    user = Recorder()
    uid, data = _data_set()
    pieces = data[: 1000 * step]
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().send(store(pieces, step=step, uid=uid))
        assert peer.status() == 0
    assert user.stored[0].data_set == pieces


def test_one_pdu_may_hold_several_requests() -> None:
    """A command, its data in several values, and the next request, all in one PDU, are taken in order."""
    user = Recorder()
    everything = data_tf(
        value(CT, store_rq(1)[:30], last=False),
        value(CT, store_rq(1)[30:]),
        value(CT, b"first ", command=False, last=False),
        value(CT, b"", command=False, last=False),
        value(CT, b"object", command=False),
        value(ECHO, echo_rq(2)),
        value(CT, store_rq(3)),
        value(CT, b"second", command=False),
    )
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().send(everything)
        answered = [int.from_bytes(elements_of(peer.response())[0x120], "little") for _ in range(3)]
    assert answered == [1, 2, 3]
    assert [request.data_set for request in user.stored] == [b"first object", b"second"]


def test_pdus_may_come_byte_by_byte() -> None:
    """Where TCP splits the stream has no meaning."""
    user = Recorder()
    with serving(user) as server, RawPeer(server.port) as peer:
        for byte in bytewise(associate_rq() + store(b"0123456789", step=4), 0.0001):
            peer.send(byte)
        peer.expect(2)
        assert peer.status() == 0
    assert user.stored[0].data_set == b"0123456789"


def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    """A sender that awaits no answer gets all of them, in order, and never two requests are handled at once."""
    running, most = 0, 0

    def slow(_: StoreRequest) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.005)
        running -= 1
        return 0

    user = Recorder(answer=slow)
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().send(b"".join(store(bytes(20000), number) for number in range(50)))
        answered = [int.from_bytes(elements_of(peer.response())[0x120], "little") for _ in range(50)]
    assert answered == list(range(50))
    assert most == 1


def test_a_sender_is_held_back_while_its_request_is_handled() -> None:
    """While a handler is busy, only socket buffers fill: a flood stops at the sender."""
    go_on = threading.Event()
    user = Recorder(answer=lambda _: 0 if go_on.wait(WITHIN_S) else 0x0110)
    flood = store(bytes(200_000)) * 100
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            peer.send(flood)
        assert len(user.stored) == 1
        assert server.budget.used < 300_000
        go_on.set()


def test_a_handlers_fault_is_a_status_and_the_association_lives() -> None:
    """An exception is answered 0x0110, which a sender repeats later; the next request is served."""
    answers = iter([ValueError("PATIENT^NAME"), 0xA700, (0xC000, "why\\not é" + "x" * 80)])

    def answer(_: StoreRequest) -> int | tuple[int, str]:
        one = next(answers)
        if isinstance(one, Exception):
            raise one
        return one

    with serving(Recorder(answer=answer)) as server, RawPeer(server.port) as peer:
        peer.associate().send(store(b"12") + store(b"34") + store(b"56"))
        failed = elements_of(peer.response())
        assert (failed[0x900], failed[0x902]) == (us(0x0110), b"ValueError")
        assert peer.status() == 0xA700
        refused = elements_of(peer.response())
        assert (refused[0x900], refused[0x902]) == (us(0xC000), (b"why?not ?" + b"x" * 80)[:64])
        assert peer.echo() == 0


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"uid": ""}, 0xC000, ReasonCode.UID_INVALID),
        ({"uid": "../../etc/passwd"}, 0xC000, ReasonCode.UID_INVALID),
        ({"uid": "1." * 40 + "1"}, 0xC000, ReasonCode.UID_INVALID),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.4"}, 0xA900, ReasonCode.UID_MISMATCH),
    ],
)
def test_wrong_identifiers_are_refused_with_a_status(changes: dict[str, str], status: int, code: ReasonCode) -> None:
    """An object that names itself wrongly is received, not kept, and refused; the association lives."""
    user = Recorder()
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().send(store(bytes(50_000), **changes))
        assert peer.status() == status
        assert peer.echo() == 0
    assert user.refused == [code]
    assert not user.stored


def test_too_large_an_object_is_refused_and_not_kept() -> None:
    """Beyond the limit nothing is kept; the sender gets a status that does not invite it to try again."""
    user = Recorder()
    with serving(user, Limits(data_set=100_000)) as server, RawPeer(server.port) as peer:
        peer.associate().send(store(bytes(100_002)))
        assert peer.status() == 0xC000
        peer.send(store(bytes(100_000)))
        assert peer.status() == 0
    assert user.refused == [ReasonCode.TOO_LARGE]
    assert len(user.stored) == 1


@pytest.mark.parametrize(("field", "context"), [(0x0020, CT), (0x0021, CT), (0x0130, ECHO), (0x0150, ECHO)])
def test_other_operations_are_not_recognized(field: int, context: int) -> None:
    """C-FIND, C-MOVE, N-ACTION and the like are answered 0x0211, their data sets not kept."""
    user = Recorder()
    command = command_set((0x100, us(field)), (0x110, us(9)), (0x800, us(1)))
    with serving(user) as server, RawPeer(server.port) as peer:
        peer.associate().send(data_tf(value(context, command), value(context, bytes(50), command=False)))
        response = elements_of(peer.response())
        assert (response[0x100], response[0x120], response[0x900]) == (us(0x8000 | field), us(9), us(0x0211))
        assert peer.echo() == 0
    assert not user.stored


def test_a_cancellation_is_not_answered() -> None:
    """There is nothing that could be cancelled; the next answer is that of the next request."""
    cancel = command_set((0x100, us(0x0FFF)), (0x120, us(5)), (0x800, us(0x0101)))
    with serving() as server, RawPeer(server.port) as peer:
        peer.associate().send(data_tf(value(ECHO, cancel)))
        assert peer.echo() == 0


def test_an_answer_is_split_for_a_peer_that_takes_only_short_pdus() -> None:
    """No PDU is longer than the peer said."""
    with serving() as server, RawPeer(server.port) as peer:
        peer.associate(longest=64).send(store(b"12", uid="2.25." + "1" * 59))
        command, is_last = b"", False
        while not is_last:
            body = peer.expect(4)[1]
            assert len(body) <= 64
            command += body[6:]
            is_last = bool(body[5] & 2)
        assert elements_of(command)[0x1000] == ui("2.25." + "1" * 59)


# ---- memory


def test_a_spent_budget_makes_others_wait_until_it_is_given_back() -> None:
    """An object waits for its share of memory while another is handled, and is then taken."""
    go_on = threading.Event()
    user = Recorder(answer=lambda request: 0 if request.message_id == 2 or go_on.wait(WITHIN_S) else 1)
    with (
        serving(user, Limits(in_flight=100_000)) as server,
        RawPeer(server.port) as first,
        RawPeer(server.port) as second,
    ):
        first.associate().send(store(bytes(90_000), 1))
        _until(lambda: len(user.stored) == 1, "the first is being handled")
        second.associate().send(store(bytes(90_000), 2))
        time.sleep(SOON_S)
        assert len(user.stored) == 1
        assert server.budget.used <= 100_000
        go_on.set()
        assert (first.status(), second.status()) == (0, 0)
        _until(lambda: server.budget.used == 0, "everything is given back")


def test_who_waits_too_long_for_memory_is_told_to_come_again() -> None:
    """When no memory becomes free in time the object is refused as out of resources, and the association lives."""
    go_on = threading.Event()
    user = Recorder(answer=lambda _: 0 if go_on.wait(WITHIN_S) else 1)
    limits = replace(IMPATIENT, in_flight=100_000)
    with serving(user, limits) as server, RawPeer(server.port) as first, RawPeer(server.port) as second:
        first.associate().send(store(bytes(90_000), 1))
        _until(lambda: len(user.stored) == 1, "the first is being handled")
        second.associate().send(store(bytes(90_000), 2))
        assert second.status() == 0xA700
        assert second.echo() == 0
        go_on.set()
        assert first.status() == 0


def test_one_object_larger_than_the_budget_is_taken() -> None:
    """The object that has waited longest goes on beyond the budget: otherwise it would wait for ever."""
    user = Recorder()
    with serving(user, replace(IMPATIENT, in_flight=10_000)) as server, RawPeer(server.port) as peer:
        peer.associate().send(store(bytes(90_000)))
        assert peer.status() == 0


# ---- the end


def test_stopping_lets_a_request_and_its_association_finish() -> None:
    """A draining server answers what is under way, lets the peer go on and release, and takes nobody new."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(_: StoreRequest) -> int:
        entered.set()
        go_on.wait(WITHIN_S)
        return 0

    user = Recorder(answer=slow)
    server = UpperLayerServer(acceptor(), user)
    server.start("127.0.0.1", 0)
    with RawPeer(server.port) as peer:
        port = server.port
        peer.associate().send(store(b"12"))
        assert entered.wait(WITHIN_S)
        stopping = threading.Thread(target=server.stop, args=(WITHIN_S,))
        stopping.start()
        _until(lambda: not _connects(port), "the port is closed")
        go_on.set()
        assert peer.status() == 0
        peer.send(store(b"34"))
        assert peer.status() == 0
        peer.release()
        stopping.join(WITHIN_S)
        assert not stopping.is_alive()
    assert [end for _, end in user.ended] == [End.RELEASED]


def _connects(port: int) -> bool:
    try:
        with RawPeer(port):
            return True
    except OSError:
        return False


def test_stopping_aborts_what_has_not_finished() -> None:
    """After the grace period idle associations are aborted, and no thread is left."""
    threads = _threads()
    user = Recorder()
    server = UpperLayerServer(acceptor(), user)
    server.start("127.0.0.1", 0)
    with RawPeer(server.port) as peer, RawPeer(server.port) as silent:
        peer.associate()
        server.stop(0.1)
        assert peer.abort_reason() == (0, 0)
        assert silent.answer() is None
        assert [end for _, end in user.ended] == [End.ABORTED]
    assert _threads() <= threads


def test_answers_leave_at_once() -> None:
    """No answer waits for the peer's acknowledgement of the last one (Nagle's algorithm is off)."""
    with serving() as server, RawPeer(server.port) as peer:
        peer.associate()
        (connection,) = server._connections
        assert connection._wire._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_active_count_counts_associations() -> None:
    """Connections without an association, and those that ended, do not count."""
    user = Recorder()
    with serving(user) as server, RawPeer(server.port), RawPeer(server.port) as peer:
        peer.associate(calling=AeTitle("ANYBODY"))
        assert server.active_count == 1
        peer.release()
        user.how_it_ended()
        assert server.active_count == 0
